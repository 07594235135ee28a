"""The states that a run keeps in memory are bounded; older ones are in its log."""

import pytest
from tests.sim.toys import Adder, Doer, add, always, config

from thence.sim import SimulationOrchestrator, open_run
from thence.sim.state import State, StateHistory, VariableTable

pytestmark = pytest.mark.promise("O14")


class Wide(State):
    """A state of many values, without variables."""

    def __init__(self, size: int) -> None:
        super().__init__(VariableTable(), (0,) * size)


def held(history):
    """Returns the number of values in the states that are kept."""
    return sum(len(state.values()) for state in history)


def test_history_holds_a_million_values_and_counts_all_states():
    history = StateHistory()
    for _ in range(25):
        history.append(Wide(100_000))
        assert held(history) <= 1_000_000
    assert (len(history), len(list(history))) == (25, 10)
    with pytest.raises(IndexError, match="after turn 14 is kept no more; see open_run"):
        history[14]
    with pytest.raises(IndexError, match="no state after turn 25 yet"):
        history[25]


def test_history_of_states_that_grow_is_bounded_too():
    history = StateHistory()
    for _ in range(1000):
        history.append(Wide(1000))
    history.append(Wide(100_000))
    assert held(history) <= 1_000_000


def test_states_that_are_kept_no_more_are_in_the_table_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.sim.state._HISTORY_VALUES_MAX", 6)
    turns = 8
    run = SimulationOrchestrator(
        config(turns=turns),
        agents=[Doer("ada", always(add()))],
        engine=Adder(),
        output_root=tmp_path,
        verbosity="STATE",
    )
    result = run.run()
    assert len(run.history) == turns + 1
    assert [state.turn for state in run.history] == [6, 7, 8]
    with pytest.raises(IndexError, match="open_run"):
        run.history[1]
    with open_run(result.output_dir) as recorded:
        table = recorded.variables("agent/ada", "x")
    assert [row["agent/ada/x"] for row in table] == list(range(turns + 1))
