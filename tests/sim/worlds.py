"""Random worlds of agents that are run, killed, resumed and replayed: all must be one history.

Each seed makes a world: agents who read their neighbours and remember or not, a validator that
refuses, rules, `reach`, pauses, failures, answers from outside, an order of its own; with a
verbosity, an interval of checkpoints and an instant of death of its own.
`python -m tests.sim.worlds 200 7` tries 200.
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.sim.toys import config, told
from tests.sim.toys import killed as died

from thence.sim import SimulationOrchestrator, replay, resume
from thence.sim.again.replay import content_hash
from thence.sim.record.events import VerbosityLevel
from thence.sim.results.recorded import RecordedRun
from thence.sim.run.agents import Action, BaseAgent, BaseValidator, Verdict
from thence.sim.run.engine import BaseEngine
from thence.sim.scenario.scenario import SimulationConfig

TOP = 9
WORLD = ("a", "b", "c")
LEVELS = [level.name for level in VerbosityLevel]


class Fuse:
    """What kills the process at a call of a component that is chosen beforehand; -1: never."""

    def __init__(self, calls: int = -1) -> None:
        self.calls = calls
        self.count = 0

    def burn(self) -> None:
        self.count += 1
        if self.count == self.calls:
            os.kill(os.getpid(), signal.SIGKILL)


class Walker(BaseAgent):
    """An agent on a ring that reads more or fewer of its neighbours, as what it read decides."""

    def __init__(self, number: int, world: "World", fuse: Fuse) -> None:
        super().__init__(f"p{number}")
        rng = random.Random(f"walker {world.seed} {number}")
        self.world, self.fuse = world, fuse
        self.near = world.near(number)
        self.divisor, self.laziness = rng.randint(2, 4), rng.choice([0, 1, 2])
        self.remembers = world.memory != "none" and rng.random() < 0.7
        self.asks = world.asks and rng.random() < 0.3
        self.fails = world.fails and rng.random() < 0.2
        self.memory = 0
        if world.memory == "kept":
            self.get_state = lambda: {"memory": self.memory}
            self.set_state = lambda state: setattr(self, "memory", state["memory"])

    def decide_action(self, seen: Any) -> Any:
        self.fuse.burn()
        total = seen["x"]
        for name in self.near:
            if total % self.divisor:
                total += seen.agent(name)["x"]
        if total % 5 == 0:
            total += seen.world["a"]
        if self.fails and total % 7 == 0:
            raise ValueError(f"no answer for {total}")
        if self.remembers:  # a failure is not asked for again: it must change no memory
            total, self.memory = total + self.memory, total % (TOP + 1)
        if self.asks and total % 3 == 0:
            total += seen.outcome({"turn": seen.turn}, lambda: os.urandom(1)[0])
        if seen.rejections:
            total += 1 + seen.rejections[-1].verdict.facts["read"]
        if total % (2 + self.laziness):
            return None
        actions = [Action("add", {"amount": total % 4}), Action("skip", {"amount": total % 3})]
        return actions if total % 3 == 0 else actions[0]


class Judge(BaseValidator):
    """A validator that reads the neighbours of the agent it judges, and refuses some."""

    def __init__(self, world: "World", fuse: Fuse) -> None:
        super().__init__()
        self.world, self.fuse = world, fuse

    def validate_action(self, action: Action, state: Any) -> Verdict:
        self.fuse.burn()
        near = self.world.near(int(action.agent_id[1:]))
        read = sum(state.agent(name)["x"] for name in near) % 7
        return Verdict((read + action.payload["amount"]) % 4 != 0, "unlucky", {"read": read})


class Ring(BaseEngine):
    """An engine whose actions may change a neighbour too, with rules over all agents."""

    def __init__(self, world: "World", fuse: Fuse) -> None:
        super().__init__()
        self.world, self.fuse = world, fuse

    def reach(self, agent: str) -> Any:
        if not self.world.reaches:
            return None
        return [(f"agent/{name}", "x") for name in (agent, *self.world.near(int(agent[1:])))]

    def apply_action(self, view: Any, action: Action) -> None:
        self.fuse.burn()
        own = view.agent(action.agent_id)
        if action.action_type == "skip":
            own["y"] = action.payload["amount"]
            return
        own["x"] = (own["x"] + action.payload["amount"]) % (TOP + 1)
        if self.world.reaches and own["x"] > 6:
            other = view.agent(self.world.near(int(action.agent_id[1:]))[0])
            other["x"] = (other["x"] + own["x"]) % (TOP + 1)

    def apply_engine_rules(self, view: Any) -> None:
        self.fuse.burn()
        names = self.world.names
        with view.rule("sum", may_change=[("global", "a"), ("global", "b")]):
            total = sum(view.agent(name)["x"] for name in names[:: self.world.stride])
            if total % 2:
                view.world["a"] = total % (TOP + 1)
            if total % 3 == 0:
                view.world["b"] = total % (TOP + 1)
        with view.rule("drift"):
            view.world["c"] = (view.world["c"] + view.world["b"]) % (TOP + 1)
        if self.world.pauses and total % 4 == 0:
            view.pause(names[total % len(names)], until=view.turn + 2)

    def check_termination(self, state: Any) -> str | None:
        self.fuse.burn()
        if not self.world.ends:
            return None
        total = sum(state.agent(name)["x"] for name in self.world.names)
        return "enough" if total > TOP * len(self.world.names) * 2 // 3 else None


class World:
    """All that a seed decides; `components` are made anew for each process that plays."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"world {seed}")
        self.seed = seed
        self.size = rng.choice([3, 5, 9, 14, 40, 64])
        self.names = [f"p{number}" for number in range(self.size)]
        self.distance = rng.randint(1, min(4, (self.size - 1) // 2))
        self.memory = rng.choice(["none", "kept", "kept", "kept", "lost"])
        self.stride = rng.choice([1, 1, 2])
        self.reaches, self.asks, self.fails, self.pauses, self.ends, self.judges = (
            rng.random() < share for share in (0.5, 0.3, 0.3, 0.3, 0.5, 0.7)
        )
        turns = rng.randint(3, 9) if self.size < 40 else rng.randint(3, 6)
        self.verbosity = rng.choice(LEVELS)
        self.mode = rng.choice(["sync", "async"])
        self.interval = rng.choice([0, 1, 2, 3, 10])
        number = {"type": "int", "min": 0, "max": TOP}
        self.config: SimulationConfig = config(
            turns=turns,
            agent_vars=[{"name": name, **number, "default": rng.randint(0, TOP)} for name in "xy"],
            global_vars=[{"name": name, **number} for name in WORLD],
            validator={"retries": rng.randint(0, 2)},
        )
        self.policy = rng.choice(["skip", "pause"]) if self.fails else "fail"
        self.instant = rng.random()
        self.cut = rng.random()
        self.is_cut = rng.random() < 0.5
        order = rng.choice(["together", "together", "in turn", "random"])
        simulation = replace(self.config.simulation, order=order)
        self.config = replace(self.config, simulation=simulation)

    def near(self, number: int) -> list[str]:
        offsets = range(-self.distance, self.distance + 1)
        return [self.names[(number + offset) % self.size] for offset in offsets if offset]

    def components(self, fuse: Fuse) -> dict[str, Any]:
        validator = Judge(self, fuse) if self.judges else BaseValidator()
        agents = [Walker(number, self, fuse) for number in range(self.size)]
        return {"agents": agents, "engine": Ring(self, fuse), "validator": validator}

    def orchestrator(self, root: Path, run_id: str, fuse: Fuse) -> SimulationOrchestrator:
        return SimulationOrchestrator(
            self.config,
            output_root=root,
            run_id=run_id,
            verbosity=self.verbosity,
            mode=self.mode,
            on_full="block",
            on_agent_error=self.policy,
            checkpoint_interval=self.interval,
            **self.components(fuse),
        )


def history(folder: Path) -> tuple[str, list[Any]]:
    """Returns the content hash of a run, and its events, notices and checkpoints aside."""
    with RecordedRun(folder) as run:
        events = [event for event in run.log.read() if event.step]
    own = [event for event in events if ".checkpoint." not in event.step]
    return content_hash(own), [event for event in told(folder) if ".checkpoint." not in event[1]]


def unlike(expected: list[Any], resumed: list[Any]) -> list[str]:
    """Returns the first event that became another one, and how many there are if not as many."""
    pairs = zip(expected, resumed, strict=False)
    differences = [f"{then} became {now}" for then, now in pairs if then != now][:1]
    if len(expected) != len(resumed):
        differences.append(f"{len(resumed)} events, not {len(expected)}")
    return differences


def faults(seed: int, root: Path) -> list[str]:
    """Plays one world in all three ways; returns what was not the same, and where."""
    world, fuse = World(seed), Fuse()
    whole = world.orchestrator(root, "whole", fuse).run()
    expected = history(whole.output_dir)
    differences = []
    again = replay(whole.output_dir, **world.components(Fuse()))
    if again.step:
        differences.append(f"replay: {again.step}: {again.difference}")
    calls = 1 + int(world.instant * fuse.count)
    # an answer from outside is drawn anew in a run of its own: the recorded ones are taken along
    killed = world.orchestrator(root, "killed", Fuse(calls))
    outcomes = whole.output_dir / "outcomes.jsonl"
    if outcomes.exists():
        (root / "killed" / "outcomes.jsonl").write_bytes(outcomes.read_bytes())
    killed.close()
    died(lambda: resume(root / "killed", **world.components(Fuse(calls))).run())
    log = root / "killed" / "events.jsonl"
    if world.is_cut and log.exists():  # what the disk had not got yet is gone
        os.truncate(log, int(log.stat().st_size * world.cut))
    result = resume(root / "killed", **world.components(Fuse())).run()
    if result.final_state != whole.final_state:
        differences.append("resumed: another final state")
    resumed = history(root / "killed")
    if resumed[0] != expected[0]:
        differences.append("resumed: another content hash")
    differences += [f"resumed: {difference}" for difference in unlike(expected[1], resumed[1])]
    again = replay(root / "killed", **world.components(Fuse()))
    if again.step:
        differences.append(f"replay of the resumed: {again.step}: {again.difference}")
    return differences


def main(arguments: list[str]) -> int:
    """Tries so many worlds from a seed on; prints each that broke."""
    count = int(arguments[0]) if arguments else 200
    first = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().getrandbits(32)
    print(f"{count} worlds, seeds from {first} on", flush=True)
    start_s, broken = time.monotonic(), 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as root:
            for fault in faults(seed, Path(root)):
                broken += 1
                print(f"world {seed}, {World(seed).verbosity}: {fault:.400}", flush=True)
    print(f"{broken} faults in {count} worlds, {time.monotonic() - start_s:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
