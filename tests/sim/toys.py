"""Small simulations for tests: scenarios as mappings, agents as functions."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from thence.core.event import EventFields
from thence.sim import replay, resume
from thence.sim.again.replay_input import ReplayInput
from thence.sim.record.events import Event
from thence.sim.run.agents import Action, BaseAgent, BaseValidator
from thence.sim.run.engine import BaseEngine
from thence.sim.run.run import SimulationOrchestrator
from thence.sim.run.simulation import Components, Simulation
from thence.sim.scenario.scenario import SimulationConfig

SCENARIO = "spatial_trade_network"


def config(
    *,
    turns: int = 3,
    agent_vars: Sequence[Mapping[str, Any]] = ({"name": "x", "type": "int"},),
    global_vars: Sequence[Mapping[str, Any]] = ({"name": "sum", "type": "int"},),
    **sections: Any,
) -> SimulationConfig:
    """Returns a scenario of a few turns; any section may be given."""
    return SimulationConfig.from_mapping(
        {
            "simulation": {"name": "toy", "max_turns": turns, "seed": 1},
            "state_variables": {
                "agent_vars": list(map(dict, agent_vars)),
                "global_vars": list(map(dict, global_vars)),
            },
            **sections,
        }
    )


class Doer(BaseAgent):
    """An agent that decides by a function of the observation."""

    def __init__(self, name: str, answer: Callable[[Any], Any], remembers: bool = False) -> None:
        super().__init__(name)
        self.answer = answer
        self.remembers = remembers

    def decide_action(self, observation: Any) -> Any:
        return self.answer(observation)


class Adder(BaseEngine):
    """An engine: `add` adds to the agent's x; each turn the world's x is the sum of all."""

    def apply_action(self, view: Any, action: Action) -> None:
        own = view.agent(action.agent_id)
        own["x"] = own["x"] + action.payload["amount"]


def made(kind: type, **methods: Callable[..., Any]) -> Any:
    """Returns a component of a kind of which some methods are others."""
    return type(kind.__name__, (kind,), methods)()


def add(amount: int = 1) -> Action:
    return Action("add", {"amount": amount})


def always(action: Any) -> Callable[[Any], Any]:
    return lambda observation: action


def one_by_one(emit: Callable[[Event], object]) -> Callable[[Sequence[EventFields]], None]:
    """Returns a function for the pieces of a run that passes each event to `emit`."""

    def emit_each(piece: Sequence[EventFields]) -> None:
        for members in piece:
            emit(Event.from_dict(asdict(members)))

    return emit_each


def played(
    given: SimulationConfig,
    agents: Sequence[BaseAgent],
    engine: BaseEngine | None = None,
    validator: BaseValidator | None = None,
    alter: Mapping[str, object] | None = None,
) -> tuple[dict[str, Event], Simulation]:
    """Runs components in memory; returns the events by step, and the simulation."""
    events: list[Event] = []
    parts = Components(tuple(agents), engine or Adder(), validator or BaseValidator())
    simulation = Simulation(
        given, parts, one_by_one(events.append), again=ReplayInput(altered=alter or {})
    )
    asyncio.run(simulation.run())
    by_step = {event.step or event.event_id: event for event in events}
    assert len(by_step) == len(events), "a step stands once"
    return by_step, simulation


def orchestrator(
    folder: Path,
    agents: Sequence[BaseAgent] = (),
    engine: BaseEngine | None = None,
    turns: int = 3,
    given: SimulationConfig | None = None,
    **settings: Any,
) -> SimulationOrchestrator:
    """Returns a run with a folder, of a scenario of a few turns, whose changes are written."""
    settings = {"verbosity": "STATE", "engine": engine or Adder(), **settings}
    given = given or config(turns=turns)
    return SimulationOrchestrator(given, output_root=folder, agents=agents, **settings)


class Hiring(Adder):
    """An engine with agents that come and go: cid and dan come, ada goes, ben pauses."""

    def __init__(self, **initial: Any) -> None:
        super().__init__()
        self.initial = initial

    def apply_engine_rules(self, view: Any) -> None:
        if view.turn == 2:
            view.add_agent(Doer("cid", always(add())), {"x": 5, **self.initial})
            view.add_agent(Doer("dan", always(None)), {"x": 3, **self.initial})
        elif view.turn == 3:
            view.remove_agent("ada")
            view.pause("ben", until=5)


def hiring(root: Path, **options: Any) -> SimulationOrchestrator:
    """Returns a run of six turns in which agents come and go."""
    agents = [Doer("ada", always(add())), Doer("ben", always(add()))]
    return orchestrator(root, agents, **{"engine": Hiring(), "turns": 6, **options})


def causes(events: Mapping[str, Event], step: str) -> set[str]:
    """Returns the steps of the events that an event names."""
    steps = {event.event_id: event.step for event in events.values()}
    # a notice that sums up many has no step
    return {steps.get(cause, "notice") for cause in events[step].caused_by}


def lines(folder: Path) -> list[dict[str, Any]]:
    """Returns the events in the files of a run, oldest first."""
    files = [*sorted(folder.glob("events_*.jsonl")), folder / "events.jsonl"]
    data = [file.read_bytes() for file in files]
    assert all(text.endswith(b"\n") for text in data)
    return [json.loads(line) for text in data for line in text.splitlines()]


def killed(run):
    """Plays a run in a child process, which kills itself when `run` says so; returns nothing."""
    child = os.fork()
    if not child:
        try:
            run()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the run was killed"


def at_turn(turn):
    """Returns a function for on_turn that kills the process after a turn."""

    def on_turn(progress):
        if progress.turn == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_turn


def assert_goes_on(folder, start, parts, turn):
    """Plays a run as "whole", then as "killed" after a turn: resumed, it comes to the same.

    `start` returns the run of an id, `parts` the components that it was given as objects.
    """
    whole = start("whole", mode="sync").run()
    killed(lambda: start("killed", on_turn=at_turn(turn), mode="sync").run())
    resumed = resume(folder / "killed", **parts()).run()
    assert resumed.final_state == whole.final_state
    assert told(folder / "killed") == told(folder / "whole")
    for name in ("whole", "killed"):
        assert replay(folder / name, **parts()).step == ""


def told(folder):
    """Returns the events of a run in order, notices aside, with causes as steps."""
    events = lines(folder)
    steps = {each["event_id"]: each.get("step", "notice") for each in events}
    behind = {each["event_id"]: each for each in events if "step" not in each}

    def named(causes):
        steps_of, waiting, seen = set(), list(causes), set(causes)
        while waiting:
            cause = waiting.pop()
            if cause in behind:
                waiting += set(behind[cause]["caused_by"]) - seen
                seen.update(behind[cause]["caused_by"])
            else:
                steps_of.add(steps[cause])
        return sorted(steps_of)

    return [
        (
            each["event_type"],
            each["step"],
            each.get("agent_id"),
            each["details"],
            named(each.get("caused_by", ())),
        )
        for each in events
        if "step" in each
    ]


async def soon(value: Any) -> Any:
    """Returns a value after the event loop had a turn."""
    await asyncio.sleep(0)
    return value
