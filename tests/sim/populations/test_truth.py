"""What a row did not read and did not write changes nothing for it, and its events are true too."""

import random

import numpy as np
import pytest
from tests import tiers
from tests.sim.populations.people import Flu, Givers
from tests.sim.populations.test_population import run_of
from tests.sim.truth import Run, sampled_outsiders
from tests.tiers import tenth

from thence.sim import BaseEngine, SimulationConfig, open_run
from thence.sim.populations.population import Population
from thence.sim.populations.why import PlayedRow

pytestmark = [pytest.mark.promise("O6"), pytest.mark.xdist_group("truth")]
TURNS = 7
ALTERATIONS = tenth(600, 24)
SAMPLES = tenth(200, 20)


class Friends(Population):
    """Each has a friend, asks it for its mood, and now and then cheers it up."""

    def __init__(self, name: str, size: int = 80):
        columns = {"friend": "int32", "mood": "int16", "cheers": "int16"}
        super().__init__(name, size, columns)

    def start(self, rows):
        rows.set("friend", rows.integers("friend", 0, rows.size))
        rows.set("mood", rows.integers("mood", 0, 5))

    def decide(self, rows):
        friend, mood = rows["friend"], rows["mood"]
        theirs = rows.get("mood", of=friend)
        cheers = (theirs < mood) & (rows.random("cheers") < 0.5)
        rows.add("mood", 1, of=friend, where=cheers)
        rows.add("cheers", 1, where=cheers)
        rows.add("mood", -1, where=theirs < 2)


def reached(played, turn, row):
    """Returns, by column, the rows whose values the decision of one row may have changed."""
    after = played.turn(turn).after
    masks = {name: np.zeros(len(column.values), bool) for name, column in after.items()}
    for later in range(turn, played.turns + 1):
        rows = played.turn(later).rows
        deciding = np.zeros(len(next(iter(masks.values()))), bool)
        deciding[row] = later == turn
        for name, of in rows.reads:
            deciding |= masks[name].any() if of is None else masks[name][of]
        for write in rows.writes:
            for name in write.values:
                masks[name][write.of[deciding]] = True
    return masks


@pytest.mark.whole
@pytest.mark.parametrize("kind", [Flu, Givers, Friends])
def test_decision_of_a_row_changes_only_values_that_rest_on_it(tmp_path, kind):
    seed = tiers.seed("rows")
    print(f"seed {seed}")
    rng = random.Random(seed)
    result = run_of(
        tmp_path, kind("people"), turns=TURNS, checkpoint_interval=0, verbosity="MILESTONE"
    )
    parts = {"agents": [kind("people")], "engine": BaseEngine()}
    changed = outside = 0
    with open_run(result.output_dir) as run:
        subject = f"people/0/{next(iter(kind('people').first))}"
        played = PlayedRow(run, subject, parts)
        final = {name: column.values for name, column in played.turn(TURNS).after.items()}
        size = len(final[next(iter(final))])
        for _ in range(ALTERATIONS):
            turn, row = rng.randrange(1, TURNS + 1), rng.randrange(size)
            masks = reached(played, turn, row)
            other = PlayedRow(run, subject, parts)
            columns = other.without(f"{turn}.decide.people/{row}.0")
            for name, column in columns.items():
                differs = column.values != final[name]
                assert not (differs & ~masks[name]).any(), f"{turn}.decide.people/{row}.0"
                changed += np.count_nonzero(differs)
                outside += np.count_nonzero(~masks[name])
    assert changed, "some decisions matter"
    assert outside > ALTERATIONS * size / 2, "not everything rests on everything"


SCENARIO = {
    "simulation": {"name": "mixed", "max_turns": 9, "seed": 1},
    "state_variables": {
        "agent_vars": [{"name": "fish", "type": "int", "min": 0, "max": 50}],
        "global_vars": [{"name": "stock", "type": "int", "min": 0, "max": 500, "default": 90}],
    },
    "agents": [
        {"name": "people", "type": "tests.sim.populations.people:Givers", "size": 30},
        {"name": "watcher", "type": "tests.sim.populations.people:Watcher", "count": 2},
        {"name": "loner", "type": "tests.sim.populations.people:Loner", "count": 3},
    ],
    "engine": {"type": "tests.sim.populations.people:Sea"},
}


class Mixed(Run):
    """A run whose columns can't be altered as a whole: a row can."""

    def outsiders(self, effect):
        events = super().outsiders(effect)
        return [event for event in events if event.details.get("scope") != "agent/people"]


def is_checksum(effect):
    """Reports whether an event holds a digest of the columns, whose causes it does not name."""
    return "populations" in effect.details


@pytest.mark.whole
def test_events_of_a_population_are_true_causes_beside_those_of_agents():
    seed = tiers.seed("mixed")
    print(f"seed {seed}")
    rng = random.Random(seed)
    run = Mixed(SimulationConfig.from_mapping(SCENARIO), rng.getrandbits(32))
    assert any(event.details.get("scope") == "agent/people" for event in run.events)
    wrong = [each for each in sampled_outsiders(run, rng, SAMPLES) if not is_checksum(each[0])]
    assert not wrong
