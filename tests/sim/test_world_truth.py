"""In no grid or network does anything change without a cause, whatever moves or is seen."""

import itertools
import random
from functools import partial

import pytest
from tests import tiers
from tests.sim import truth
from tests.sim.toys import Doer, config

from thence.errors import ThenceError
from thence.sim.record.events import VerbosityLevel
from thence.sim.run.agents import Action, BaseValidator
from thence.sim.run.engine import BaseEngine
from thence.sim.run.simulation import Components

NAMES = ("ada", "ben", "cleo", "dov", "esme")
PLACES = ("a", "b", "c", "d", "e", "f")
LEVELS = ("unaware", "external", "insider")
TOP, TURNS, SAMPLES = 9, 6, 30


def edges_of(names, rng):
    pairs = list(itertools.combinations(names, 2))
    return [[a, b] for a, b in rng.sample(pairs, 6)]


def spatial_of(kind, rng):
    wraps = rng.random() < 0.5
    size = {"width": rng.randint(2, 4), "height": rng.randint(1, 4), "wraps": wraps}
    grid = {**size, "neighbours": rng.choice((4, 8))}
    places = [{"name": name} for name in PLACES]
    of_agents = {"edges": edges_of(NAMES, rng), "nodes": "agents", "directed": rng.random() < 0.3}
    return {
        "moving on a grid": {"grid": grid},
        "still on a grid": {"grid": grid, "moves": False},
        "moving on a network": {"places": places, "network": {"edges": edges_of(PLACES, rng)}},
        "agents linked": {"network": of_agents},
    }[kind]


class Mind:
    """A fixed way to ask the map and to read others; what is asked depends on what was read."""

    def __init__(self, rng):
        self.asks = [(rng.randrange(6), rng.choice(NAMES), rng.randint(1, 2)) for _ in range(3)]
        self.divisor = rng.randint(2, 3)

    def value(self, view, name):
        total, world = 1, view.world_map
        for ask, other, steps in self.asks:
            if total % self.divisor == 0:
                total += 1
                continue
            try:
                total += self._answer(view, world, ask, name, other, steps)
            except ThenceError as error:
                if error.code != "not_seen":
                    raise
                total += 3
        return total

    def _answer(self, view, world, ask, name, other, steps):
        if ask == 0:
            return len(world.agents_within(name, steps))
        if ask == 1:
            near = world.agents_within(name, 1)
            return sum(view.agent(each)["x"] for each in near)
        if ask == 2:
            return view.agent(other)["secret"] + view.world["sum"]
        if ask == 3:
            return world.distance(world.position(name), world.position(other)) or 0
        if ask == 4:
            return len(world.agents_within(name, steps, among=NAMES[:2]))
        return view.agent(other)["x"] + len(world.neighbours(world.position(other)))


def agent_of(name, rng):
    mind = Mind(rng)

    def answer(seen):
        value = mind.value(seen, name)
        if value % 4 == 0:
            return None
        return Action(("add", "push", "change")[value % 3], {"amount": value % (TOP + 1)})

    return Doer(name, answer)


class Crowd(BaseEngine):
    """An engine whose actions change an agent, one near it, or a position."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def reach(self, agent):
        return "neighbours"

    def apply_action(self, view, action):
        world, name, amount = view.world_map, action.agent_id, action.payload["amount"]
        own = view.agent(name)
        near = world.agents_within(name, 1)
        if action.action_type == "push" and near:
            other = view.agent(near[amount % len(near)])
            other["x"] = (other["x"] + amount + own["x"]) % (TOP + 1)
        elif action.action_type == "change" and "moving" in self.kind:
            places = world.neighbours(world.position(name))
            if places:
                world.move(name, places[amount % len(places)])
        else:
            own["x"] = (own["x"] + amount) % (TOP + 1)
            own["secret"] = amount

    def apply_engine_rules(self, view):
        with view.rule("sum"):
            view.world["sum"] = sum(view.agent(name)["x"] for name in NAMES[::2]) % (TOP + 1)


def played(kind, seed, alter=None, verbosity=VerbosityLevel.DETAIL):
    rng = random.Random(f"{kind} {seed}")
    number = {"type": "int", "min": 0, "max": TOP}
    sights = [
        rng.choice(({}, {"sight": {"level": level, "within": rng.randint(0, 2)}}))
        for level in rng.choices(LEVELS, k=5)
    ]
    given = config(
        turns=TURNS,
        global_vars=[{"name": "sum", **number}],
        agent_vars=[{"name": "x", **number}, {"name": "secret", **number, "sight": "internal"}],
        spatial=spatial_of(kind, rng),
        agents=[
            {"name": name, "type": "tests.sim.test_world_truth:Anybody", **sight}
            for name, sight in zip(NAMES, sights, strict=True)
        ],
    )
    agents = tuple(agent_of(name, rng) for name in NAMES)
    parts = Components(agents, Crowd(kind), BaseValidator())
    return truth.played(given, alter, verbosity=verbosity, parts=parts)


class Anybody(Doer):
    def __init__(self, name):
        super().__init__(name, lambda seen: None)


def wrong_causes(kind, seed, verbosity):
    rng = random.Random(f"samples {seed}")

    def other(event, events):
        if event.event_type != "STATE":
            return None
        of_variable = [
            each
            for each in events
            if each.event_type == "STATE" and each.variable_name == event.variable_name
        ]
        values = [v for each in of_variable for v in (each.old_value, each.new_value)]
        return rng.choice([v for v in values if v != event.new_value] or [event.old_value])

    play = partial(played, kind, seed, verbosity=verbosity)
    return truth.wrong_causes(play, other, SAMPLES, rng)


KINDS = ("moving on a grid", "still on a grid", "moving on a network", "agents linked")


@pytest.mark.promise("O14a")
@pytest.mark.parametrize("verbosity", ["DETAIL", "ACTION", "DECISION"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.whole
def test_nothing_changes_without_a_cause_in_any_grid_or_network(kind, verbosity):
    first = tiers.seed(f"{kind} {verbosity}")
    for seed in range(first, first + tiers.tenth(8, 1)):
        wrong = wrong_causes(kind, seed, VerbosityLevel[verbosity])
        assert not wrong, f"world {seed}: altered event, value, changed event: {wrong[:5]}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.whole(rows=3)
def test_worlds_are_lively(kind):
    runs = [played(kind, seed) for seed in range(10)]
    names = [e.variable_name for events in runs for e in events if e.event_type == "STATE"]
    assert names.count("x") > 50
    if "moving" in kind:
        assert names.count("position") > 20
    outside = [
        len(events) - len(truth.cone({e.event_id: e for e in events}, events[-5]))
        for events in runs
    ]
    assert max(outside) > 10, "not simply all that went before is a cause"
