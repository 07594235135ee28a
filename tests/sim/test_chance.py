"""Random numbers within the scopes of a turn: each scope has its own streams, which go on."""

import asyncio
from collections import Counter
from itertools import pairwise

from tests.sim.test_streams import chi_square, correlation, normal
from tests.sim.toys import Adder, Doer, add, config, played

from thence.sim.run.agents import Action, BaseAgent, BaseValidator, Verdict
from thence.sim.run.simulation import Components, Simulation

AGENTS = [f"a{number}" for number in range(10)]
TURNS = 60


def draw(view, purpose="n"):
    return view.random(purpose).random()


def play(answer=lambda seen: None, engine=None, names=AGENTS, turns=TURNS):
    """Plays agents that decide by one function; what they draw is all that counts."""
    parts = Components([Doer(name, answer) for name in names], engine or Adder(), BaseValidator())
    asyncio.run(Simulation(config(turns=turns), parts, lambda piece: None).run())


def test_two_dice_of_one_purpose_are_two_dice():
    dice = []

    def throw(seen):
        die = seen.random("die")
        dice.append((die.randint(1, 6), seen.random("die").randint(1, 6)))

    play(throw)
    assert chi_square([6 * a + b - 7 for a, b in dice], 36) < 3
    sums = Counter(a + b for a, b in dice)
    assert set(sums) == set(range(2, 13))
    assert normal(sums[7], len(dice) / 6, len(dice) * 5 / 36) < 3


def test_no_agent_foresees_the_coin_of_the_world():
    right = []

    class Coin(Adder):
        def apply_action(self, view, action):
            right.append(action.payload["guess"] == view.random("coin").getrandbits(1))

    def guess(seen):
        return Action("guess", {"guess": seen.random("coin").getrandbits(1)})

    play(guess, Coin())
    assert normal(sum(right), len(right) / 2, len(right) / 4) < 3


def test_births_in_a_loop_of_a_rule_are_as_many_as_chance_has_them():
    born = []

    class Births(Adder):
        def apply_engine_rules(self, view):
            with view.rule("births"):
                born.append(sum(view.random("birth").random() < 0.3 for _ in range(50)))

    play(engine=Births(), names=())
    assert normal(sum(born), 15 * TURNS, 10.5 * TURNS) < 3
    assert len(set(born)) > 5


def test_each_attempt_of_a_refused_agent_draws_anew():
    numbers: dict[tuple[str, int], list[float]] = {}

    class Never(BaseValidator):
        def validate_action(self, action, state):
            numbers[action.agent_id, state.turn].append(draw(state))
            return Verdict.reject("again")

    def answer(seen):
        numbers.setdefault((seen.agent_id, seen.turn), []).append(draw(seen))
        return add()

    given = config(turns=20, validator={"retries": 2})
    played(given, [Doer(name, answer) for name in AGENTS[:3]], validator=Never())
    rows = [*numbers.values()]
    assert {len(set(row)) for row in rows} == {6}, "three attempts, a verdict each"
    pairs = [pair for row in rows for pair in pairwise(row)]
    assert correlation(pairs) < 3


class EachScope(Adder):
    """Draws in every scope that an engine has, and tells `numbers` where."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers = numbers

    def note(self, view, *where):
        key = view.turn, *where
        assert key not in self.numbers
        self.numbers[key] = draw(view)

    def apply_actions(self, state, actions, writes):
        self.note(state, "before")
        for nth, action in enumerate(actions):
            where = action.agent_id, nth
            for again in range(2):
                with writes.action(action) as view:
                    self.note(view, "apply", *where, again)
                    with view.rule("inner"):
                        self.note(view, "inner", *where, again)
                self.note(state, "between", *where, again)

    def apply_engine_rules(self, view):
        self.note(view, "rules")
        for nth in range(2):
            with view.rule("price"):
                self.note(view, "price", nth)
                for inner in range(2):
                    with view.rule("price"):
                        self.note(view, "price", nth, inner)

    def check_termination(self, state):
        self.note(state, "end")


class Learner(BaseAgent):
    """An agent that draws when it decides, for two actions, and when it learns."""

    def __init__(self, name, engine):
        super().__init__(name)
        self.note = engine.note

    def decide_action(self, observation):
        self.note(observation, "decide", self.name)
        return [add(1), add(2)]

    def learn(self, outcome):
        self.note(outcome.observation, "learn", self.name)


def test_each_scope_of_a_turn_has_numbers_of_its_own():
    numbers: dict[tuple[object, ...], float] = {}
    engine = EachScope(numbers)
    played(config(turns=20), [Learner(name, engine) for name in AGENTS[:3]], engine)
    assert len(numbers) == 20 * (1 + 6 * 2 * 3 + 1 + 2 + 4 + 1 + 6)
    assert len(set(numbers.values())) == len(numbers)
    assert chi_square([int(number * 20) for number in numbers.values()], 20) < 3
    assert correlation([*pairwise(numbers.values())]) < 3


def test_a_purpose_goes_on_around_a_rule_and_begins_anew_within():
    drawn: list[float] = []

    class Around(Adder):
        def apply_engine_rules(self, view):
            drawn.append(draw(view))
            with view.rule("price"):
                drawn.append(draw(view))
            drawn.append(draw(view))
            stream = view.random("n")
            assert stream is view.random("n")

    play(engine=Around(), names=(), turns=1)
    assert len(set(drawn)) == 3
