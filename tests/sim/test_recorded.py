import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.codes import raises_code
from tests.sim.toys import SCENARIO, Doer, Hiring, add, always, hiring, lines, orchestrator

from thence.errors import ExtraMissing, InvalidFilter, NotALog
from thence.log.open import open_log
from thence.sim import EventWriter, SimulationOrchestrator, open_run, sweep_table
from thence.sim.record.events import create_state_event
from thence.sim.results.recorded import fitting
from thence.sim.scenario.state import State

pytestmark = pytest.mark.promise("O14")

FEW_TURNS = 6


@pytest.fixture(scope="module")
def trade(tmp_path_factory):
    """A run of the shipped scenario over several files, with its orchestrator."""
    root = tmp_path_factory.mktemp("trade")
    run = SimulationOrchestrator(
        SCENARIO, output_root=root, verbosity="DETAIL", max_turns=FEW_TURNS, max_file_size=60_000
    )
    run.run()
    assert len(list(run.output_dir.glob("events*.jsonl"))) > 1
    return run


def row_of(state: State, turn: int) -> dict[str, Any]:
    """Returns the row that the table of variables must have for a state."""
    values = state.as_dict()
    flat = {f"{scope}/{name}": value for scope in values for name, value in values[scope].items()}
    return {"turn": turn, **flat}


def toy(root: Path, turns: int = 3, **options: Any) -> SimulationOrchestrator:
    """Returns a run in which ada adds 1 a turn, and nobody ever changes the sum."""
    return orchestrator(root, [Doer("ada", always(add()))], turns=turns, **options)


def stored(folder: Path, event_type: str) -> list[Mapping[str, Any]]:
    return [event for event in lines(folder) if event["event_type"] == event_type]


def test_table_of_variables_holds_every_value_after_every_turn(trade):
    with open_run(trade.output_dir) as run:
        table = run.variables()
        expected = [row_of(state, turn) for turn, state in enumerate(trade.history)]
        assert table.columns == tuple(expected[0])
        assert list(table) == expected
        assert len(table) == FEW_TURNS + 1


def rows_of(run: SimulationOrchestrator) -> list[dict[str, Any]]:
    """Returns the rows that the history of a run gives; None before an agent came."""
    rows = [row_of(state, turn) for turn, state in enumerate(run.history)]
    return [dict.fromkeys(rows[-1]) | row for row in rows]


def test_table_of_variables_is_the_history_of_agents_that_come_and_go(tmp_path):
    run = hiring(tmp_path)
    result = run.run()
    expected = rows_of(run)
    assert [row["agent/dan/x"] for row in expected] == [None, None, 3, 3, 3, 3, 3]
    assert [row["agent/cid/x"] for row in expected] == [None, None, 5, 6, 7, 8, 9]
    with open_run(result.output_dir) as recorded:
        assert list(recorded.variables()) == expected
        assert list(recorded.variables("agent/cid")) == [
            {"turn": row["turn"], "agent/cid/x": row["agent/cid/x"]} for row in expected
        ]
        assert recorded.variables().kinds["agent/dan/x"] == "int"
    named = [dict.fromkeys(("run_id", "seed")) | row for row in expected]
    rows = list(sweep_table(result.output_dir, "turns"))
    assert rows == [row | {"run_id": result.run_id, "seed": 1} for row in named]
    (row,) = sweep_table(result.output_dir)
    final = {
        f"{scope}/{name}": v for scope, of in result.final_state.items() for name, v in of.items()
    }
    assert {name: row[name] for name in final} == final
    (result.output_dir / "result.json").unlink()
    with open_run(result.output_dir) as recorded:  # nothing has changed the sum
        for row in expected:
            del row["global/sum"]
        assert list(recorded.variables()) == expected


def test_agent_that_comes_in_a_turn_that_fails_is_in_no_table(tmp_path):
    class Failing(Hiring):
        def apply_engine_rules(self, view: Any) -> None:
            super().apply_engine_rules(view)
            if view.turn == 2:
                raise RuntimeError("stop")

    result = orchestrator(tmp_path, [Doer("ada", always(add()))], Failing()).run()
    assert (result.status, result.turns) == ("failed", 1)
    with open_run(result.output_dir) as run:
        assert [*run.variables()] == [
            {"turn": turn, "global/sum": 0, "agent/ada/x": turn} for turn in range(2)
        ]


@pytest.mark.parametrize("patterns", [["*"], ["place/*/price_*", "agent/ada/*"], ["agent/*", "*"]])
@pytest.mark.whole(rows=2)
def test_courses_of_variables_are_the_columns_of_their_table(trade, patterns):
    with open_run(trade.output_dir) as run:
        table, (turns, courses) = run.variables(), run.courses(patterns)
        assert [*courses] == fitting(table.columns[1:], patterns)
        rows = list(table)
    assert turns == [row["turn"] for row in rows]
    assert courses == {name: [row[name] for row in rows] for name in courses}
    (trade.output_dir / "result.json").rename(trade.output_dir / "hidden.json")
    try:  # then only what has changed is known
        with open_run(trade.output_dir) as run:
            table, (_, courses) = run.variables(), run.courses(["*"])
            assert courses == {name: [row[name] for row in table] for name in table.columns[1:]}
            with pytest.raises(InvalidFilter, match="no variable of the run"):
                run.courses(["place/Nowhere/x"])
    finally:
        (trade.output_dir / "hidden.json").rename(trade.output_dir / "result.json")


def test_table_of_states_is_flat_and_complete(trade):
    with open_run(trade.output_dir) as run:
        table = run.events(type="STATE")
        events = stored(trade.output_dir, "STATE")
        assert table.columns[-4:] == ("variable", "scope", "old", "new")
        assert len(table) == len(events)
        for row, event in zip(table, events, strict=True):
            details = event["details"]
            assert (row["event_id"], row["turn"]) == (event["event_id"], event["turn_number"])
            assert (row["step"], list(row["caused_by"])) == (event["step"], event["caused_by"])
            assert (row["variable"], row["scope"]) == (details["variable_name"], details["scope"])
            assert (row["old"], row["new"]) == (details["old_value"], details["new_value"])


def test_details_of_each_type_are_columns(trade):
    with open_run(trade.output_dir) as run:
        decision = next(iter(run.events("DECISION")))
        assert {"decision_type", "old", "new", "agent"} <= set(decision)
        bought = [row for row in run.events("ACTION") if row["action_type"] == "buy"]
        assert bought
        assert all(row["good"] and row["amount"] > 0 for row in bought)
        assert "price_of_stock" in {row["calculation_type"] for row in run.events("DETAIL")}
        several = run.events(type=["DECISION", "ACTION"])
        assert {row["event_type"] for row in several} == {"DECISION", "ACTION"}
        assert len(several) == len(run.events("DECISION")) + len(run.events("ACTION"))
        assert len(run.events()) == len(run.log.events())


def test_member_named_like_a_column_keeps_both_values(tmp_path):
    with EventWriter(tmp_path, "r") as writer:
        from thence.sim import ActionEvent, Event

        payload = {"turn": "mine", "step": 2, "good": {"a": 1}}
        writer.emit(ActionEvent(agent_id="ada", action_type="go", action_payload=payload))
        writer.emit(Event(event_type="visit", details={"agent": "bo"}))
    with open_run(tmp_path) as run:
        went, visit = run.events()
    assert (went["turn"], went["action_payload.turn"]) == (0, "mine")
    assert (went["action_payload.step"], went["good"]) == (2, {"a": 1})
    assert (visit["agent"], visit["details.agent"]) == (None, "bo")


def test_tables_are_longer_than_any_page(tmp_path):
    count = 12_000
    with EventWriter(tmp_path, "long", verbosity="STATE", on_full="block") as writer:
        for turn in range(1, count + 1):
            writer.emit(create_state_event("long", turn, "n", turn - 1, turn))
    with open_run(tmp_path) as run:
        table = run.variables()
        assert len(table) == count + 1
        assert [row["global/n"] for row in table] == list(range(count + 1))
        assert [row["new"] for row in run.events("STATE")] == list(range(1, count + 1))


def test_run_below_state_says_why_it_has_no_table_of_variables(tmp_path):
    result = toy(tmp_path, verbosity="ACTION").run()
    with open_run(result.output_dir) as run:
        for ask in (run.variables, lambda: run.events(type="STATE")):
            with raises_code("not_recorded") as refused:
                ask()
            assert "verbosity ACTION" in refused.value.cause
            assert "--verbosity STATE" in refused.value.hint
        assert len(run.events("ACTION")) == 3


def test_table_of_a_growing_run_ends_with_its_last_complete_turn(tmp_path):
    opened = []

    def on_turn(progress):
        if progress.turn == 1:
            opened.append(open_run(run.output_dir))
            opened.append(opened[0].variables())
        elif progress.turn == 3:
            read, early = opened
            assert [row["agent/ada/x"] for row in early] == [0, 1]
            assert [row["agent/ada/x"] for row in read.variables()] == [0, 1, 2, 3]
            assert "global/sum" not in read.variables().columns  # nothing has changed it so far
            begun = create_state_event(run.run_id, 4, "x", 3, 9, "agent/ada")
            run.event_writer.emit(begun)
            with (run.output_dir / "events.jsonl").open("ab") as file:
                file.write(b'{"event_id":"01')  # as a killed writer leaves it
            assert len(read.events("STATE")) == 4
            read.close()

    run = toy(tmp_path, turns=3, mode="sync", on_turn=on_turn)
    assert run.run().error is None


def test_scope_and_name_choose_variables_and_an_unknown_one_is_refused(trade):
    with open_run(trade.output_dir) as run:
        prices = run.variables(scope="place/*", name="price_grain")
        assert all(column.endswith("/price_grain") for column in prices.columns[1:])
        ore = run.variables(["place/Mill"], "stock_ore")
        assert ore.columns == ("turn", "place/Mill/stock_ore")
        with pytest.raises(InvalidFilter, match="name") as refused:
            run.variables(scope="place/Mill", name="price_grian")
        assert "price_grain" in refused.value.hint


def test_missing_changes_are_warned_of(tmp_path):
    result = toy(tmp_path, turns=4).run()
    path = result.output_dir / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    (lost,) = (line for line in lines if b'"new_value":2' in line)
    path.write_bytes(b"".join(line for line in lines if line != lost))
    with open_run(result.output_dir) as run:
        with pytest.warns(UserWarning, match="1 changes? follow"):
            table = run.variables()
        assert [row["agent/ada/x"] for row in table] == [0, 1, 1, 3, 4]


def test_frame_and_parquet_hold_what_the_rows_hold(trade, tmp_path):
    import pandas
    from pyarrow import parquet

    with open_run(trade.output_dir) as run:
        variables, states = run.variables(), run.events("STATE")
        for table in (variables, run.events()):
            table.to_parquet(tmp_path / "t.parquet")
            frame, file = table.to_pandas(), parquet.read_table(tmp_path / "t.parquet")
            assert tuple(frame.columns) == tuple(file.column_names) == table.columns
            assert len(frame) == file.num_rows == len(table)
        assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
        variables.to_parquet(tmp_path / "v.parquet")
        assert parquet.read_table(tmp_path / "v.parquet").to_pylist() == list(variables)
        assert variables.to_pandas().to_dict("records") == list(variables)
        states.to_parquet(tmp_path / "s.parquet")
        kept = parquet.read_table(tmp_path / "s.parquet").to_pylist()
        assert [json.loads(row["new"]) for row in kept] == [row["new"] for row in states]
        assert list(states.to_pandas()["new"]) == [row["new"] for row in states]
        assert isinstance(states.to_pandas()["timestamp"].dtype, pandas.DatetimeTZDtype)


def test_lines_of_another_tool_are_rows_whatever_they_hold(tmp_path):
    from pyarrow import parquet

    result = toy(tmp_path).run()
    note = {"event_id": "x", "event_type": "note", "turn_number": 10**30, "timestamp": "noon"}
    note["details"] = {"n": 10**30, "m": [1, {"k": 10**30}], "event_id": 7}
    with (result.output_dir / "events.jsonl").open("a") as file:
        file.write(json.dumps(note) + "\n")
    with open_run(result.output_dir) as run:
        table = run.events()
        (row,) = (row for row in table if row["event_type"] == "note")
        assert (row["n"], row["details.event_id"]) == (10**30, 7)
        table.to_parquet(tmp_path / "t.parquet")
        assert parquet.read_table(tmp_path / "t.parquet").num_rows == len(table)
        assert len(table.to_pandas()) == len(table)
        assert [row["agent/ada/x"] for row in run.variables()][:4] == [0, 1, 2, 3]


def test_missing_extra_is_named(trade, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open_run(trade.output_dir) as run:
        table = run.variables()
        asks = {"pandas": table.to_pandas, "tables": partial(table.to_parquet, tmp_path / "t")}
        for extra, ask in asks.items():
            with pytest.raises(ExtraMissing) as missing:
                ask()
            assert missing.value.hint == f"pip install 'thence[{extra}]'"


def test_what_is_no_run_is_refused(tmp_path):
    open_log(tmp_path / "orders", "plain").append("order.placed")
    with pytest.raises(NotALog, match="plain"):
        open_run(tmp_path / "orders")
    with pytest.raises(NotALog):
        open_run(tmp_path / "nowhere")
