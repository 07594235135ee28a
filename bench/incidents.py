"""Twenty incidents, one planted cause each: does `measure` find it? `python -m bench.incidents`.

An incident is a seeded run of one of three worlds in which one agent, in one early turn, decides
something that it decides only once. At least eight turns later something happens that would not
have happened without. Which seeds make such a run is decided without measuring: the run is played
with the planted decision and without it, an effect is taken that only the first one has, and at
least 30 of the effect's causes must be decisions, actions or changes.

Each is measured as by `thence why EFFECT --measure`, with its 64 plays and with 256. It is found
if the planted decision is among the first three.
"""

import copy
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.sim import (
    Action,
    BaseAgent,
    BaseEngine,
    Observation,
    RecordedRun,
    SimulationConfig,
    SimulationOrchestrator,
    View,
    measure,
)
from thence.sim.run.simulation import make_components
from thence.sim.scenario.component_classes import load

SCENARIOS = Path(__file__).parents[1] / "scenarios"
TradeNetwork: Any = load("traders.py", "TradeNetwork", SCENARIOS)
Fishery: Any = load("fishery.py", "Fishery", SCENARIOS)
LATER = 8
CAUSES_MIN = 30
FIRST = 3
RUNS = (64, 256)
SEEDS_MAX = 100
SEED = os.environ.get("INCIDENTS", "published")
ALTERABLE = ("DECISION", "ACTION", "STATE")
Effects = Callable[[Event], bool]


class Planted(BaseAgent):
    """An agent that does as another one, and in one turn something else before."""

    remembers = False

    def __init__(self, agent: BaseAgent, turn: int, action: Action) -> None:
        super().__init__(agent.name)
        self.agent, self.turn, self.action = agent, turn, action

    def decide_action(self, observation: Observation) -> Any:
        usual = self.agent.decide_action(observation)
        if observation.turn != self.turn or observation.rejections:
            return usual
        assert not hasattr(usual, "__await__"), "an async agent is not chosen"
        return [self.action, usual] if usual else self.action


class World(NamedTuple):
    """One world with its planted decision, and which of its events may be the effect."""

    config: SimulationConfig
    agents: Sequence[BaseAgent]
    engine: BaseEngine
    planted: str
    is_effect: Effects


class Poached(Fishery):
    """A fishery in which fish may be poached; every tenth turn it is closed if few are left."""

    LIMIT = 300.0
    poacher = ""

    def reach(self, agent: str) -> Any:
        return [*super().reach(agent), *([("global", "fish")] if agent == self.poacher else [])]

    def apply_action(self, view: View, action: Action) -> None:
        if action.action_type != "poach":
            return super().apply_action(view, action)
        view.world["fish"] = max(0.0, view.world["fish"] - action.payload["tons"])
        return None

    def apply_engine_rules(self, view: View) -> None:
        super().apply_engine_rules(view)
        if view.turn % 10 == 0:
            with view.rule("review"):
                view.world["closed"] = view.world["fish"] < self.LIMIT


def fishery(rng: random.Random, *, is_reviewed: bool) -> World:
    """A fisher takes a third or more of the fish at once; later the water is closed, or empty."""
    given = _shipped("fishery", rng, global_vars=[{"name": "closed", "type": "bool"}])
    given["validator"]["quota"] = rng.choice([14, 16, 18])
    config = SimulationConfig.from_mapping(given, SCENARIOS / "fishery.yaml")
    components = make_components(config)
    name = rng.choice(["ada", "ben", "cleo", "dov", "esme"])
    turn = rng.randint(4, 10)
    tons = rng.choice([250.0, 300.0, 350.0])
    engine = Poached(config, **config.engine.params)
    engine.poacher = name
    agents = [
        Planted(agent, turn, Action("poach", {"tons": tons})) if agent.name == name else agent
        for agent in components.agents
    ]

    def is_closed(event: Event) -> bool:
        return event.payload.get("variable_name") == "closed"

    def is_end(event: Event) -> bool:
        return event.payload.get("milestone_type") == "simulation_end"

    effect = is_closed if is_reviewed else is_end
    return World(config, agents, engine, f"{turn}.decide.{name}.0", effect)


class Troubled(TradeNetwork):
    """Traders who may borrow, which is due 12 turns later, and may burn what a place has."""

    DUE = 12
    arsonist = ""
    burnt = ""

    def reach(self, agent: str) -> Any:
        own = [*super().reach(agent), (f"agent/{agent}", "debt"), (f"agent/{agent}", "due")]
        goods = [(f"place/{self.burnt}", f"stock_{good}") for good in ("grain", "ore", "cloth")]
        return [*own, *(goods if agent == self.arsonist else [])]

    def apply_action(self, view: View, action: Action) -> None:
        own = view.agent(action.agent_id)
        if action.action_type == "borrow":
            own["debt"], own["due"] = action.payload["money"], view.turn + self.DUE
        elif action.action_type == "burn":
            for good in ("grain", "ore", "cloth"):
                view.place(self.burnt)[f"stock_{good}"] = 0
        else:
            super().apply_action(view, action)

    def apply_engine_rules(self, view: View) -> None:
        super().apply_engine_rules(view)
        for trader in self.facts.traders:
            own = view.agent(trader)
            with view.rule("settle"):
                if own["due"] == view.turn:
                    own["bankrupt"] = own["money"] < own["debt"]
        if view.turn % 10 == 0:
            for (place, good), market in self.facts.markets.items():
                with view.rule(f"review_{good}"):
                    is_dear = view.place(place)[f"price_{good}"] > 1.5 * market.base_price
                    view.place(place)[f"dear_{good}"] = is_dear


def traders(rng: random.Random, *, is_fire: bool) -> World:
    """A trader borrows more than he will have, or burns a place's stock; later one is poor."""
    own: list[dict[str, Any]] = [
        {"name": "debt", "type": "float", "min": 0, "max": 2000},
        {"name": "due", "type": "int", "min": 0, "max": 100},
        {"name": "bankrupt", "type": "bool"},
    ]
    dear = [{"name": f"dear_{good}", "type": "bool"} for good in ("grain", "ore", "cloth")]
    given = _shipped("spatial_trade_network", rng, agent_vars=own, place_vars=dear)
    config = SimulationConfig.from_mapping(given, SCENARIOS / "spatial_trade_network.yaml")
    components = make_components(config)
    engine = Troubled(config, **_markets(components.engine, config))
    name = rng.choice(sorted(engine.facts.traders))
    place = rng.choice(sorted({place for place, _ in engine.facts.markets}))
    turn = rng.randint(3, 10)
    action = Action("borrow", {"money": float(rng.randint(60, 160))})
    if is_fire:
        action, engine.arsonist, engine.burnt = Action("burn", {"place": place}), name, place
    agents = [
        Planted(agent, turn, action) if agent.name == name else agent for agent in components.agents
    ]

    def is_effect(event: Event) -> bool:
        variable = str(event.payload.get("variable_name"))
        is_new = event.payload.get("new_value") is True
        return is_new and (variable.startswith("dear_") if is_fire else variable == "bankrupt")

    return World(config, agents, engine, f"{turn}.decide.{name}.0", is_effect)


PEOPLE = 200


class Reader(BaseAgent):
    """A person who reads others, posts on topics, passes a rumour on, and may sell for it."""

    remembers = False

    def __init__(self, name: str, read: Sequence[str], is_holder: bool) -> None:
        super().__init__(name)
        self.read, self.is_holder = tuple(read), is_holder

    def decide_action(self, observation: Observation) -> Action | None:
        if observation["sold"]:
            return None
        topics = [observation.agent(name)["topic"] for name in self.read]
        tellers = sum(observation.agent(name)["told"] for name in self.read)
        topic, count = Counter(topics).most_common(1)[0]
        is_busy = count == len(topics) and topic == observation["topic"]
        draw = observation.random("mood").random()
        if self.is_holder and observation["told"] and tellers >= 2:
            return Action("sell", {})
        if tellers and not observation["told"] and not is_busy and draw < 0.6:
            return Action("tell", {})
        if draw > 0.85:
            return Action("post", {"topic": topic if draw < 0.95 else int(draw * 1000) % 5})
        return None


class Town(BaseEngine):
    """Readers on a ring, some with one acquaintance farther away."""

    def initialize_state(self, state: Any) -> Any:
        rng = random.Random(self.config.simulation.seed if self.config else 0)
        return state.replace({(f"agent/p{n}", "topic"): rng.randrange(5) for n in range(PEOPLE)})

    def apply_action(self, view: View, action: Action) -> None:
        own = view.agent(action.agent_id)
        if action.action_type == "post":
            own["topic"] = action.payload["topic"]
        else:
            own["told" if action.action_type == "tell" else "sold"] = True


def readers(rng: random.Random) -> World:
    """One of 200 people tells a rumour; later somebody who holds shares sells them."""
    seed = rng.randrange(1_000_000)
    variables = [
        {"name": "topic", "type": "int", "min": 0, "max": 4},
        {"name": "told", "type": "bool"},
        {"name": "sold", "type": "bool"},
    ]
    config = SimulationConfig.from_mapping(
        {
            "simulation": {"name": "readers", "max_turns": 24, "seed": seed},
            "state_variables": {"agent_vars": variables},
        }
    )
    agents: list[BaseAgent] = []
    for n in range(PEOPLE):
        read = [f"p{(n + offset) % PEOPLE}" for offset in (-2, -1, 1, 2)]
        if rng.random() < 0.1:
            read.append(f"p{rng.randrange(PEOPLE)}")
        agents.append(Reader(f"p{n}", read, rng.random() < 0.1))
    number, turn = rng.randrange(PEOPLE), rng.randint(2, 5)
    agents[number] = Planted(agents[number], turn, Action("tell", {}))

    def is_effect(event: Event) -> bool:
        return event.payload.get("variable_name") == "sold"

    return World(config, agents, Town(config), f"{turn}.decide.p{number}.0", is_effect)


def _shipped(name: str, rng: random.Random, **more: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a shipped scenario as a mapping, with a seed of its own and more variables."""
    given = copy.deepcopy(dict(SimulationConfig.from_file(name).given))
    given["simulation"]["seed"] = rng.randrange(1_000_000)
    for section, variables in more.items():
        given["state_variables"].setdefault(section, []).extend(variables)
    return given


def _markets(engine: Any, config: SimulationConfig) -> dict[str, Any]:
    return {"markets": tuple(engine.facts.markets.values()), "meal_price": engine.meal_price}


KINDS: Mapping[str, tuple[int, Callable[[random.Random], World]]] = {
    "fishery, closed at a review": (4, lambda rng: fishery(rng, is_reviewed=True)),
    "fishery, the stock collapses": (3, lambda rng: fishery(rng, is_reviewed=False)),
    "traders, a debt comes due": (3, lambda rng: traders(rng, is_fire=False)),
    "traders, a price after a fire": (3, lambda rng: traders(rng, is_fire=True)),
    "200 readers, a rumour": (7, readers),
}


class Incident(NamedTuple):
    """A run in a folder, its planted decision, and its effect as ids."""

    folder: Path
    world: World
    effect: Event
    causes: int


def incidents(kind: str, root: Path, count: int | None = None) -> list[Incident]:
    """Returns the incidents of a kind, or the first ones: of the first seeds that make one."""
    count = count or KINDS[kind][0]
    make = KINDS[kind][1]
    chosen: list[Incident] = []
    number = 0
    while len(chosen) < count:
        number += 1
        assert number <= SEEDS_MAX, f"hardly a seed makes an incident: {kind}"
        if (incident := _tried(make, f"{SEED} {kind} {number}", root)) is not None:
            chosen.append(incident)
    return chosen


def _tried(make: Callable[[random.Random], World], seed: str, root: Path) -> Incident | None:
    folders = []
    for is_planted in (True, False):
        world = make(random.Random(seed))
        run = SimulationOrchestrator(
            world.config,
            output_root=root,
            agents=world.agents,
            engine=world.engine,
            verbosity="STATE",
            on_full="block",
        )
        run.run(alter=None if is_planted else {world.planted: None})
        folders.append(run.output_dir)
    with RecordedRun(folders[1]) as without:
        details = {event.step: event.payload for event in without.log.read()}
    turn = int(world.planted.partition(".")[0])
    with RecordedRun(folders[0]) as run_:
        for event in run_.log.read():
            is_late = (event.turn_number or 0) >= turn + LATER
            if is_late and world.is_effect(event) and details.get(event.step) != event.payload:
                cone = [cause for cause, _ in run_.log.why(event).cone]
                causes = sum(cause.event_type in ALTERABLE for cause in cone)
                if causes < CAUSES_MIN or all(e.step != world.planted for e in cone):
                    return None
                return Incident(folders[0], make(random.Random(seed)), event, causes)
    return None


def main() -> None:
    """Prints a row for each incident, and how many were found."""
    counts = dict.fromkeys(RUNS, 0)
    print("world | causes | turns between | plays: place of the planted one, its weight, seconds")
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for incident in incidents(kind, Path(folder)):
                turns = (incident.effect.turn_number or 0) - int(
                    incident.world.planted.partition(".")[0]
                )
                row = [kind, str(incident.causes), str(turns)]
                for runs in RUNS:
                    place, told = measured(incident, runs)
                    counts[runs] += place <= FIRST
                    row.append(f"{runs}: {told}")
                print(" | ".join(row), flush=True)
    for runs, count in counts.items():
        print(f"{runs} plays: {count} of 20 among the first {FIRST}")


def measured(incident: Incident, runs: int) -> tuple[int, str]:
    """Returns the place of the planted decision among the weights, and the rest of its row."""
    start_s = time.perf_counter()
    world = incident.world
    answer = measure(
        incident.folder,
        incident.effect.event_id,
        agents=world.agents,
        engine=world.engine,
        runs=runs,
    )
    took_s = time.perf_counter() - start_s
    steps = [weight.event.step for weight in answer.weights]
    place = steps.index(world.planted) + 1 if world.planted in steps else sys.maxsize
    told = f"{place} | {answer.weights[place - 1].weight:.2f}" if world.planted in steps else "-, -"
    if "-v" in sys.argv:
        for weight in answer.weights[:6]:
            print("   ", f"{weight.weight:.2f} {weight.n} {weight.moved:.2f}", weight.event.step)
    return place, f"{told}, {took_s:.1f}"


if __name__ == "__main__":
    main()
