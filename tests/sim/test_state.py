"""Variables hold only what they are declared to hold; the last states are kept."""

import pytest
from tests.sim.toys import Doer, add, always, orchestrator

from thence.errors import ThenceError
from thence.sim import open_run
from thence.sim.scenario.state import Declaration, State, StateHistory, VariableTable


def declared(kind, **bounds):
    return Declaration(name="v", kind=kind, default=bounds.pop("default", None), **bounds)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("float", [1, 2.5, -1.0], ["1", True, None, [1]]),
        ("int", [1, -3], [1.0, "1", True, None]),
        ("bool", [True, False], [0, 1, "yes"]),
        ("str", ["", "x"], [1, None]),
        ("list", [[], [1, [2]], (1,)], ["ab", {}, 1]),
        ("dict", [{}, {"a": [1]}], [[], "a"]),
    ],
)
def test_values_are_of_the_declared_type(kind, good, bad):
    variable = declared(kind)
    assert [variable.fault(value) for value in good] == [""] * len(good)
    assert all(variable.fault(value) for value in bad)


def test_categorical_knows_its_choices():
    variable = declared("categorical", choices=("dry", "wet"))
    assert variable.fault("wet") == ""
    assert variable.fault("cold") == "knows no 'cold', only dry, wet"


@pytest.mark.parametrize(("value", "is_good"), [(0, True), (5, True), (-1, False), (6, False)])
def test_bounds_are_inclusive(value, is_good):
    assert (declared("int", minimum=0, maximum=5).fault(value) == "") is is_good
    assert (declared("list", minimum=0, maximum=5).fault([0] * max(0, value)) == "") is (value < 6)


def test_number_that_is_none_is_out_of_bounds():
    assert declared("float", minimum=0).fault(float("nan"))


@pytest.mark.parametrize(("value", "nearest"), [(-2, 0), (9.5, 5), (3.9, 3)])
def test_nearest_value_is_within_bounds(value, nearest):
    assert declared("int", minimum=0, maximum=5).nearest(value) == nearest


def table():
    x = Declaration(name="x", kind="float", default=1)
    items = Declaration(name="items", kind="list", default=[])
    return VariableTable(
        global_vars=[x], place_vars=[x], agent_vars=[x, items], places=["A"], agents=["ada", "ben"]
    )


def test_unknown_variable_names_the_nearest():
    with pytest.raises(ThenceError, match="declares no such one") as caught:
        table().index("agent/ada", "y")
    assert caught.value.hint == "the nearest is agent/ada/x"


def test_state_is_frozen():
    first = State(table(), table().defaults())
    given = [1]
    second = first.replace({("agent/ada", "items"): given, ("global", "x"): 2})
    given.append(2)
    second.agent("ada")["items"].append(3)
    second.get("agent/ada", "items").append(3)
    assert first.agent("ada") == {"x": 1.0, "items": []}
    assert second.agent("ada")["items"] == [1]
    assert second.world["x"] == 2.0
    assert type(second.world["x"]) is float
    assert second != first
    assert second.as_dict()["place/A"] == {"x": 1.0}


def test_value_that_does_not_fit_is_refused():
    with pytest.raises(ThenceError, match="set agent/ada/x: it needs a float"):
        State(table(), table().defaults()).replace({("agent/ada", "x"): "much"})


class Wide(State):
    """A state of many values, without variables."""

    def __init__(self, size: int) -> None:
        super().__init__(VariableTable(), (0,) * size)


def held(history):
    """Returns the number of values in the states that are kept."""
    return sum(len(state.values()) for state in history)


@pytest.mark.promise("O14")
def test_history_holds_a_million_values_and_counts_all_states():
    history = StateHistory()
    for _ in range(25):
        history.append(Wide(100_000))
        assert held(history) <= 1_000_000
    assert (len(history), len(list(history))) == (25, 10)
    with pytest.raises(IndexError, match="after turn 14 is no longer kept; see open_run"):
        history[14]
    with pytest.raises(IndexError, match="no state after turn 25 yet"):
        history[25]


@pytest.mark.promise("O14")
def test_states_that_are_kept_no_more_are_in_the_table_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.sim.scenario.state._HISTORY_VALUES_MAX", 9)
    turns = 8
    run = orchestrator(tmp_path, [Doer("ada", always(add()))], turns=turns)
    result = run.run()
    assert len(run.history) == turns + 1
    assert [state.turn for state in run.history] == [6, 7, 8]
    with pytest.raises(IndexError, match="open_run"):
        run.history[1]
    with open_run(result.output_dir) as recorded:
        table = recorded.variables("agent/ada", "x")
    assert [row["agent/ada/x"] for row in table] == list(range(turns + 1))
