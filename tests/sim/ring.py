"""200 people on a ring who read three neighbours on either side, and may adopt their opinion."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.sim.toys import config

from thence.core.event import Event
from thence.sim import Action, BaseAgent, BaseEngine, SimulationOrchestrator

PEOPLE = 200
TURNS = 40
CHECKPOINTS = 5
_NEAR = (-3, -2, -1, 1, 2, 3)


def neighbours(name: str) -> list[str]:
    """Returns the names of the six people who are read."""
    return [f"p{(int(name[1:]) + offset) % PEOPLE}" for offset in _NEAR]


class Person(BaseAgent):
    remembers = False

    def decide_action(self, observation: Any) -> Action | None:
        own = observation["opinion"]
        count = sum(observation.agent(name)["opinion"] for name in neighbours(self.name))
        is_undecided = count == 3 and observation.random("mood").random() < 0.15
        is_outvoted = count != 3 and own != (count > 3)
        return Action("adopt", {"opinion": 1 - own}) if is_undecided or is_outvoted else None


class Ring(BaseEngine):
    """An engine in which a person's action changes that person alone, or might change two more."""

    def __init__(self, reaches: bool) -> None:
        super().__init__()
        self.reaches = reaches

    def initialize_state(self, state: Any) -> Any:
        rng = random.Random(5)
        opinions = {(f"agent/p{n}", "opinion"): rng.randint(0, 1) for n in range(PEOPLE)}
        return state.replace(opinions)

    def reach(self, agent: str) -> Iterable[str] | None:
        return [agent, *neighbours(agent)[2:4]] if self.reaches else None

    def apply_action(self, view: Any, action: Action) -> None:
        view.agent(action.agent_id)["opinion"] = action.payload["opinion"]


def components(reaches: bool = False) -> dict[str, Any]:
    """Returns the components of the run, which a replay or resume needs again."""
    return {"agents": [Person(f"p{n}") for n in range(PEOPLE)], "engine": Ring(reaches)}


def orchestrator(
    root: Path, verbosity: str, reaches: bool = False, **settings: Any
) -> SimulationOrchestrator:
    """Returns the run, ready to begin."""
    run = {"name": "ring", "max_turns": TURNS, "seed": 1, "checkpoint_interval": CHECKPOINTS}
    opinion = {"name": "opinion", "type": "int", "min": 0, "max": 1}
    given = config(simulation=run, agent_vars=[opinion], global_vars=[])
    terms = {"verbosity": verbosity, "on_full": "block", **components(reaches), **settings}
    return SimulationOrchestrator(given, output_root=root, **terms)


def cone_sizes(events: Sequence[Event]) -> list[int]:
    """Returns how many events, notices aside, are causes of each STATE, the smallest first."""
    places = {event.event_id: place for place, event in enumerate(events)}
    with_step = sum(1 << place for place, event in enumerate(events) if event.step)
    cones: list[int] = []  # of each event a number with the bits of its causes' places
    for event in events:
        causes = [places[cause] for cause in event.caused_by]
        cone = 0
        for place in causes:
            cone |= cones[place] | 1 << place
        cones.append(cone)
    return sorted(
        (cone & with_step).bit_count()
        for cone, event in zip(cones, events, strict=True)
        if event.event_type == "STATE"
    )
