"""Causes are true: what is no cause changes nothing, what is named as one mostly does."""

import os
import random
import statistics
from functools import partial
from itertools import islice

import pytest
from tests import tiers
from tests.sim import toys, truth
from tests.sim.toys import Doer, add, config
from tests.sim.truth import SHIPPED, Run, causes_named, sampled_causes, sampled_outsiders
from tests.tiers import tenth

from thence.core.codec import CAUSES_MAX
from thence.sim.record.events import VerbosityLevel
from thence.sim.run.agents import Action, BaseValidator, Verdict
from thence.sim.run.engine import BaseEngine
from thence.sim.run.simulation import Components
from thence.sim.scenario.scenario import SimulationConfig

RUNS = tenth(4, 2)
EVENTS_MIN = 300
SAMPLES = tenth(200, 40)
SHARE_MIN = 0.80
CAUSES_MEDIAN_MAX = 4
LOWER_SAMPLES = tenth(40, 8)


@pytest.fixture(scope="module")
def seed() -> int:
    """The seed of these tests, or the one that failed before, from THENCE_TEST_SEED."""
    given = os.environ.get("THENCE_TEST_SEED")
    return int(given) if given else tiers.seed("truth")


@pytest.fixture(scope="module", params=SHIPPED)
def runs(request: pytest.FixtureRequest, seed: int) -> list[Run]:
    """Runs of a shipped scenario, each with a seed of its own."""
    print(f"THENCE_TEST_SEED={seed}")
    rng = random.Random(seed)
    config = SimulationConfig.from_file(request.param)
    played = (Run(config, rng.getrandbits(32)) for _ in range(5 * RUNS))
    # one run of the epidemic in 25 is over after some ten turns, and shows little
    return list(islice((run for run in played if len(run.events) > EVENTS_MIN), RUNS))


@pytest.mark.promise("O6")
@pytest.mark.xdist_group("truth")
@pytest.mark.whole
def test_what_is_no_cause_of_an_effect_never_changes_it(runs, seed):
    rng = random.Random(f"outside {seed}")
    wrong = [each for run in runs for each in sampled_outsiders(run, rng, SAMPLES // RUNS)]
    told = [f"{effect.step} by {event.step} = {value!r}" for effect, event, value in wrong]
    assert not wrong, f"THENCE_TEST_SEED={seed}: " + "; ".join(told)


@pytest.mark.promise("O6")
@pytest.mark.xdist_group("truth")
@pytest.mark.whole
def test_most_direct_causes_change_their_effect_when_altered(runs, seed, record_property):
    rng = random.Random(f"direct {seed}")
    idle = [each for run in runs for each in sampled_causes(run, rng, SAMPLES // RUNS)]
    share = 1 - len(idle) / SAMPLES
    print(f"{share:.1%} of {SAMPLES} direct causes change their effect")
    record_property("share_of_direct_causes_that_matter", share)
    assert share >= SHARE_MIN, f"THENCE_TEST_SEED={seed}: {share:.1%}"


@pytest.mark.xdist_group("truth")
def test_play_from_a_checkpoint_comes_to_what_the_run_came_to(runs):
    for run in runs:
        for turn in random.sample(sorted(run.checkpoints), 3):
            begins_at = run.checkpoints[turn]
            events = {e.step: e for e in truth.played(run.config, begins_at=begins_at) if e.step}
            rest = {e.step: e for e in run.events if e.step and e.turn_number > turn}
            assert events.keys() == rest.keys(), f"turn {turn}"
            assert all(events[step].details == rest[step].details for step in rest), f"turn {turn}"


@pytest.mark.promise("O6")
@pytest.mark.xdist_group("truth")
def test_median_event_names_few_causes(runs):
    assert max(causes_named(run) for run in runs) <= CAUSES_MEDIAN_MAX


@pytest.mark.promise("O6")
@pytest.mark.xdist_group("truth")
@pytest.mark.parametrize("verbosity", ["ACTION", "DECISION"])
@pytest.mark.parametrize("scenario", SHIPPED)
@pytest.mark.whole
def test_causes_are_as_true_and_as_few_where_no_state_is_written(scenario, verbosity, seed):
    print(f"THENCE_TEST_SEED={seed}")
    rng = random.Random(f"{verbosity} {seed}")
    config = SimulationConfig.from_file(scenario)
    run = Run(config, rng.getrandbits(32), VerbosityLevel[verbosity])
    wrong = sampled_outsiders(run, rng, LOWER_SAMPLES)
    told = [f"{effect.step} by {event.step} = {value!r}" for effect, event, value in wrong]
    assert not wrong, f"THENCE_TEST_SEED={seed}: " + "; ".join(told)
    seeds = [rng.getrandbits(32) for _ in range(tenth(4, 2))]
    others = [Run(config, each, VerbosityLevel[verbosity]) for each in seeds]
    # one run of the epidemic in 75 has a median of 5 at DECISION
    assert statistics.median(map(causes_named, (run, *others))) <= CAUSES_MEDIAN_MAX
    assert max(len(event.caused_by) for event in run.events) <= CAUSES_MAX


@pytest.mark.promise("O6")
@pytest.mark.xdist_group("truth")
def test_samples_are_not_vacuous(runs):
    assert len(runs) == RUNS
    for run in runs:
        effect = run.events[-2]
        outside, inside = len(run.outsiders(effect)), len(run.cone(run.events[-1]))
        assert outside > 100, "the cone of an effect is not simply all that went before"
        assert inside > 1
        assert len(run.direct_pairs) > len(run.events) / 2


AGENTS = ("ada", "ben", "cleo")
WORLD = ("a", "b", "c", "d")
OWN = ("x", "y")
TURNS = 6
TOP = 9
WORLD_SAMPLES = 40


class Habit:
    """A fixed way to walk through variables: what is read or drawn depends on what was read."""

    def __init__(self, rng, own=None):
        self.own = own
        subjects = [("global", name) for name in WORLD]
        subjects += [(f"agent/{agent}", name) for agent in AGENTS for name in OWN]
        self.steps = [(rng.choice(subjects), rng.randint(2, 3)) for _ in range(4)]
        self.draws = rng.random() < 0.5
        self.start = rng.randint(0, TOP)

    def value(self, view):
        """Returns a number made of what it read; about half of the variables are skipped."""
        total = self.start
        for (scope, name), divisor in self.steps:
            if total % divisor:
                total += view.get(scope, name) + 1
            elif self.draws:
                total += view.random("habit").randint(1, TOP)
            else:
                total += 1
        return total % (TOP + 1)


def agent_of(name, rng):
    habit, kind = Habit(rng), rng.choice(["plain", "several", "remembers"])
    memory = [0]

    def answer(seen):
        value = habit.value(seen)
        if kind == "remembers":
            value, memory[0] = (value + memory[0]) % (TOP + 1), value
        if seen.rejections:
            value += 1 + seen.rejections[-1].verdict.facts["read"]
        if value % 3 == 0:
            return None
        if kind == "several" and value % 2:
            return [add(value), Action("skip", {"amount": value})]
        return add(value)

    return Doer(name, answer, remembers=kind == "remembers")


class RandomValidator(BaseValidator):
    def __init__(self, rng):
        super().__init__()
        self.habit = Habit(rng)

    def validate_action(self, action, state):
        read = self.habit.value(state)
        return Verdict((read + action.payload["amount"]) % 3 != 0, "unlucky", {"read": read})


class RandomEngine(BaseEngine):
    """Rules write on conditions, and say what they may change; actions change own variables."""

    def __init__(self, rng):
        super().__init__()
        self.acting = {name: Habit(rng) for name in AGENTS}
        self.rules = [
            (f"rule{number}", Habit(rng), rng.sample(WORLD, 2), rng.randint(2, 4))
            for number in range(4)
        ]
        self.looking = {name: Habit(rng) for name in AGENTS}
        self.ending = Habit(rng) if rng.random() < 0.3 else None

    def apply_action(self, view, action):
        own, value = view.agent(action.agent_id), self.acting[action.agent_id].value(view)
        if value % 2:
            own["x"] = (value + action.payload["amount"]) % (TOP + 1)
        if action.action_type == "add" and value % 3:
            own["y"] = value

    def apply_engine_rules(self, view):
        for name, habit, (first, second), divisor in self.rules:
            with view.rule(name, may_change=[("global", first), ("global", second)]):
                value = habit.value(view)
                if value % divisor:
                    view.world[first] = value
                    if value % 2:
                        view.world[second] = (value + view.world[second]) % (TOP + 1)
        for name, habit in self.looking.items():  # each draws for some values only
            own = f"agent/{name}", "y"
            with view.rule(f"look-{name}", may_change=[own]):
                if habit.value(view) % 2:
                    with view.rule("birth"):
                        view.set(*own, view.random("birth").randint(0, TOP))
        with view.rule("births", may_change=[(f"agent/{name}", "x") for name in AGENTS]):
            for name in AGENTS:
                if view.agent(name)["y"] % 2:
                    view.agent(name)["x"] = view.random("birth").randint(0, TOP)

    def check_termination(self, state):
        return "ended" if self.ending and self.ending.value(state) == state.turn else None


def by_value(view):
    """An order: by the agents' values, the least first; some sit the turn out."""
    values = {name: view.agent(name)["x"] for name in view.agents()[view.world["a"] % 2 :]}
    return sorted((name for name in values if values[name] % 4), key=lambda name: values[name])


def order_of(seed):
    orders = ("together", "in turn", "random", "tests.sim.test_truth:by_value")
    return random.Random(f"order {seed}").choice(orders)


def played(seed, alter=None, verbosity=VerbosityLevel.DETAIL):
    rng = random.Random(f"world {seed}")
    number = {"type": "int", "min": 0, "max": TOP}
    given = config(
        simulation={"name": "toy", "max_turns": TURNS, "seed": 1, "order": order_of(seed)},
        global_vars=[{"name": name, **number} for name in WORLD],
        agent_vars=[{"name": name, **number} for name in OWN],
        validator={"retries": rng.randint(0, 2)},
    )
    agents = tuple(agent_of(name, rng) for name in AGENTS)
    parts = Components(agents, RandomEngine(rng), RandomValidator(rng))
    return truth.played(given, alter, verbosity=verbosity, parts=parts)


def wrong_causes(seed, verbosity):
    rng = random.Random(f"samples {seed}")

    def other(event, _):
        if event.event_type != "STATE":
            return None
        return rng.choice([v for v in range(TOP + 1) if v != event.new_value])

    play = partial(played, seed, verbosity=verbosity)
    return truth.wrong_causes(play, other, WORLD_SAMPLES, rng)


@pytest.mark.promise("O6")
@pytest.mark.parametrize("verbosity", ["DETAIL", "STATE", "ACTION", "DECISION"])
@pytest.mark.whole
def test_nothing_changes_without_a_cause_in_any_world(verbosity):
    first = tiers.seed(f"worlds {verbosity}")
    for seed in range(first, first + tenth(15, 2)):
        wrong = wrong_causes(seed, VerbosityLevel[verbosity])
        assert not wrong, f"world {seed}: altered event, value, changed event: {wrong[:5]}"


@pytest.mark.promise("O6")
def test_refused_decision_is_named_by_its_rejection_alone_in_any_world():
    first = random.SystemRandom().getrandbits(32)
    for seed in range(first, first + 40):
        events = played(seed)
        kinds = {each.event_id: getattr(each, "error_type", "") for each in events}
        rejections = [each for each in events if kinds[each.event_id] == "action_rejected"]
        rejected, refused = ({r.event_id for r in rejections}, {r.caused_by[0] for r in rejections})
        for event in events:
            if refused.intersection(event.caused_by):
                assert kinds[event.event_id] == "action_rejected", f"world {seed}: {event.step}"
            if rejected.intersection(event.caused_by):
                assert kinds[event.event_id] == "action_retried", f"world {seed}: {event.step}"


@pytest.mark.promise("O6")
def test_retry_names_what_let_the_other_action_of_its_agent_be_accepted():
    class Strict(BaseValidator):
        def validate_action(self, action, state):
            if action.action_type == "add":
                return Verdict.reject("no")
            return Verdict(state.world["sum"] < 5, "too much")

    class Summing(BaseEngine):
        def apply_engine_rules(self, view):
            view.world["sum"] = view.turn

    def answer(seen):
        return add(len(seen.rejections)) if seen.rejections else [add(), Action("skip", {})]

    given = config(turns=2, validator={"retries": 1})
    events, _ = toys.played(given, [Doer("ada", answer)], Summing(), Strict())
    assert "1.rules.-.global/sum" in toys.causes(events, "2.retry1.ada.0")
    sixth = {"1.rules.-.global/sum": 6}
    altered, _ = toys.played(given, [Doer("ada", answer)], Summing(), Strict(), sixth)
    values = [one["2.decide1.ada.0"].new_value for one in (events, altered)]
    assert values == [{"amount": 1}, {"amount": 2}]


@pytest.mark.promise("O6")
def test_worlds_are_lively():
    kinds = [each.event_type for seed in range(20) for each in played(seed)]
    steps = [each.step for seed in range(20) for each in played(seed)]
    assert min(kinds.count(kind) for kind in ("STATE", "DECISION", "ACTION", "SYSTEM")) > 100
    assert any(".decide2." in step for step in steps)
    assert any(step.endswith("end.-.0") and not step.startswith(f"{TURNS}.") for step in steps)
