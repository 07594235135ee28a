"""Views record reads, keep writes within a call, and let nobody else change a value."""

import pytest
from tests.sim.toys import Adder, Doer, add, always, causes, config, played

from thence.errors import ThenceError


def test_observation_and_validated_state_change_nothing():
    def answer(seen):
        with pytest.raises(TypeError, match="an engine changes variables"):
            seen.agent("ada")["x"] = 1
        return add()

    _, simulation = played(config(turns=1), [Doer("ada", answer)])
    assert simulation.history[-1].agent("ada")["x"] == 1


def test_call_sees_its_own_writes_and_tells_them_once():
    class Twice(Adder):
        def apply_action(self, view, action):
            own = view.agent(action.agent_id)
            own["x"] = own["x"] + 1
            own["x"] = own["x"] + 1

    events, _ = played(config(turns=1), [Doer("ada", always(add()))], Twice())
    assert events["1.apply0.ada.agent/ada/x"].details["new_value"] == 2


def test_rule_played_twice_in_a_turn_has_steps_of_its_own():
    class Twice(Adder):
        def apply_engine_rules(self, view):
            for _ in range(2):
                with view.rule("grow"):
                    view.world["sum"] = view.world["sum"] + 1

    events, _ = played(config(turns=1), [], Twice())
    assert causes(events, "1.grow~2.-.global/sum") == {"1.grow.-.global/sum"}


def test_rule_inside_a_rule_depends_on_what_the_outer_one_read():
    class Nested(Adder):
        def apply_engine_rules(self, view):
            if view.agent("ada")["x"] > 0:
                with view.rule("inner"):
                    view.world["sum"] = 7

    events, _ = played(config(turns=1), [Doer("ada", always(add()))], Nested())
    assert causes(events, "1.inner.-.global/sum") == {"1.apply0.ada.agent/ada/x"}


def test_explanation_is_a_detail_with_the_causes_of_its_rule():
    class Explaining(Adder):
        def apply_engine_rules(self, view):
            with view.rule("sum"):
                view.world["sum"] = x = view.agent("ada")["x"]
                view.explain("global", "sum", "addition", {"x": x})

    events, _ = played(config(turns=1), [Doer("ada", always(add()))], Explaining())
    detail = events["1.sum-addition.-.global/sum"]
    assert detail.details["intermediate_values"] == {"x": 1}
    assert causes(events, "1.sum-addition.-.global/sum") == {"1.apply0.ada.agent/ada/x"}


def test_value_out_of_bounds_is_refused_or_brought_within():
    class Far(Adder):
        def apply_engine_rules(self, view):
            view.world.set_within("sum", 99)
            with pytest.raises(ThenceError, match="its maximum is 5"):
                view.world["sum"] = 6

    given = config(turns=1, global_vars=[{"name": "sum", "type": "int", "max": 5}])
    _, simulation = played(given, [], Far())
    assert simulation.history[-1].world["sum"] == 5


def test_random_numbers_of_an_agent_do_not_depend_on_others():
    def drawing(seen):
        return add(seen.random("amount").randint(1, 100))

    alone, _ = played(config(turns=2), [Doer("ada", drawing)])
    beside, _ = played(config(turns=2), [Doer("ben", drawing), Doer("ada", drawing)])
    for step in ("1.act.ada.0", "2.act.ada.0"):
        assert alone[step].details == beside[step].details
