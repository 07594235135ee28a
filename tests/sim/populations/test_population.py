"""A population is one agent of a run, and each of its rows one agent of its own."""

import hashlib
import re

import numpy as np
import pytest
from tests.log.processes import ran
from tests.sim.populations.people import Flu, Givers, Herd, Leaning
from tests.sim.toys import (
    Adder,
    Doer,
    add,
    assert_goes_on,
    at_turn,
    config,
    killed,
    lines,
    orchestrator,
)

from thence.errors import ScenarioError
from thence.sim import BaseEngine, Population, SimulationOrchestrator, replay, resume
from thence.sim.record.checkpoints import read_checkpoints

pytestmark = pytest.mark.promise("O15")
LEVELS = ("MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL")


TABLED = """
from thence.sim import Population


class People(Population):
    def __init__(self, name: str, size: int = 0, table: str | None = None, config=None):
        columns = {"age": "int8", "money": "int32", "gave": "int16"}
        super().__init__(name, size, columns, table=table, config=config)

    def decide(self, rows):
        gives = (rows["money"] > 0) & (rows["age"] > 18)
        rows.add("money", -1, where=gives)
        rows.add("gave", 1, where=gives)
"""


def steps(folder):
    return {line["step"]: line for line in lines(folder) if "step" in line}


def run_of(folder, population, turns=4, engine=None, **options):
    """Plays a run of a population alone."""
    options = {"agents": [population], "engine": engine or BaseEngine(), **options}
    return orchestrator(folder, turns=turns, **options).run()


def test_turn_of_a_population_is_a_decision_an_action_and_a_state_of_each_changed_column(tmp_path):
    result = run_of(tmp_path, Flu("people"))
    by_step = steps(result.output_dir)
    of_turn = [step for step in by_step if step.startswith("2.")]
    assert of_turn == [
        "2.turn_start.-.0",
        "2.decide.people.0",
        "2.act.people.0",
        "2.apply0.people.agent/people/sick",
        "2.apply0.people.agent/people/days",
        "2.turn_end.-.0",
    ]
    state = by_step["2.apply0.people.agent/people/sick"]["details"]
    assert (state["scope"], state["variable_name"]) == ("agent/people", "sick")
    old, new = state["old_value"], state["new_value"]
    assert new["type"] == "bool"
    assert new["sum"] - old["sum"] == new["rows"] > 0, "nobody is well again in turn 2"
    assert re.fullmatch("[0-9a-f]{64}", new["digest"])
    assert by_step["2.act.people.0"]["details"]["action_payload"]["sick"] == new["rows"]
    assert result.final_state["agent/people"]["sick"]["sum"] > 3


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_holds_the_same_digest_of_each_turn(tmp_path, level):
    def digests(verbosity):
        by_step = steps(run_of(tmp_path, Givers("people"), verbosity=verbosity).output_dir)
        ends = [end for step, end in by_step.items() if ".turn_end." in step]
        return [end["details"]["populations"]["people"] for end in ends]

    assert len(digests(level)) == len(set(digests(level))) == 4
    assert digests(level) == digests("STATE")


def test_what_rows_give_is_neither_lost_nor_made_and_the_digest_is_that_of_the_values(tmp_path):
    people = Givers("people", 500)
    result = run_of(tmp_path, people, turns=20)
    money = people.columns["money"].values
    assert money.min() == 0
    summary = result.final_state["agent/people"]["money"]
    assert summary["sum"] == money.sum() == 1_000
    assert summary["digest"] == hashlib.sha256(money.tobytes()).hexdigest()


def test_population_and_agents_live_in_one_world_and_their_events_name_each_other(tmp_path):
    def reader(observation):
        return add(observation.agent("herd")["age"]["sum"] % 5 + 1)

    class Pasture(Adder):
        def apply_engine_rules(self, view):
            view.world["sum"] = view.agent("herd")["alive"]["sum"]
            view.world["grass"] = 1.0 / (1 + view.world["sum"])

    world = [{"name": "sum", "type": "int"}, {"name": "grass", "type": "float", "default": 1.0}]
    given = config(turns=4, global_vars=world)
    run = orchestrator(tmp_path, [Doer("ada", reader), Herd("herd")], Pasture(), given=given)
    result = run.run()
    by_step = steps(result.output_dir)
    ids = {line["event_id"]: step for step, line in by_step.items()}
    named = {
        step: {ids[cause] for cause in line.get("caused_by", ())} for step, line in by_step.items()
    }
    assert "2.apply0.herd.agent/herd/age" in named["3.decide.ada.0"]
    assert "2.rules.-.global/grass" in named["3.decide.herd.0"]
    assert "2.apply0.herd.agent/herd/age" in named["3.decide.herd.0"]
    assert result.final_state["agent/ada"]["x"] > 4
    replayed = replay(
        result.output_dir, agents=[Doer("ada", reader), Herd("herd")], engine=Pasture()
    )
    assert replayed.difference == ""


@pytest.mark.parametrize("level", ["MILESTONE", "ACTION", "STATE"])
def test_killed_run_goes_on_to_the_same_events_and_columns(tmp_path, level):
    def parts():
        return {"agents": [Flu("people")], "engine": BaseEngine()}

    def start(run_id, **words):
        words = {"verbosity": level, "turns": 9, "checkpoint_interval": 2, **words}
        return orchestrator(tmp_path / str(turn), run_id=run_id, **parts(), **words)

    for turn in (1, 4, 7):
        assert_goes_on(tmp_path / str(turn), start, parts, turn)


def test_checkpoint_holds_the_columns_as_bytes_and_a_damaged_one_is_passed_over(tmp_path):
    people = Givers("people", 1_000)
    options = {"turns": 4, "checkpoint_interval": 2, "run_id": "given"}
    result = run_of(tmp_path, people, **options)
    (file,) = (result.output_dir / "checkpoints").glob("turn-*2.json")
    data = file.read_bytes()
    (checkpoint,) = read_checkpoints(result.output_dir)
    assert checkpoint.binary["agent/people"] in data
    flaw = data.index(b"NUMPY") + 2_000
    file.write_bytes(data[:flaw] + bytes([data[flaw] ^ 1]) + data[flaw + 1 :])
    assert [*read_checkpoints(result.output_dir)] == []


def test_replay_tells_a_population_that_decides_otherwise(tmp_path):
    result = run_of(tmp_path, Flu("people"), verbosity="MILESTONE")
    replayed = replay(result.output_dir, agents=[Flu("people", odds=0.1)], engine=BaseEngine())
    assert re.fullmatch(r"\d.turn_end.-.0", replayed.step)


def test_draws_are_by_row_and_purpose_and_not_by_the_number_of_rows(tmp_path):
    drawn = {}

    class Drawer(Givers):
        def decide(self, rows):
            draws = [rows.random("a"), rows.random("a"), rows.random("b"), rows.integers("c", 0, 9)]
            drawn.setdefault(rows.observation.turn, {})[self.name, len(rows.ids)] = draws

    for name, size in (("people", 60), ("people", 90), ("others", 60)):
        run_of(tmp_path, Drawer(name, size), turns=2)
    first = drawn[1]["people", 60]
    for few, many in zip(first, drawn[1]["people", 90], strict=True):
        assert (few == many[:60]).all()
    streams = [*first, *drawn[1]["others", 60], *drawn[2]["people", 60]]
    assert len({tuple(draw) for draw in streams}) == len(streams)
    assert abs(np.mean(drawn[1]["people", 90][0]) - 0.5) < 0.15


def test_turn_and_row_that_wrote_each_value_last_are_kept(tmp_path):
    class Passing(Population):
        def __init__(self):
            super().__init__("people", 5, {"x": "int16", "y": "float32"})

        def start(self, rows):
            rows.set("y", 0.5, where=rows.ids == 4)

        def decide(self, rows):
            turn = rows.observation.turn
            rows.add("x", 1, of=(rows.ids + 1) % rows.size, where=rows.ids == turn)
            rows.set("y", 2.5, where=(rows.ids < 2) & (turn == 2))

    people = Passing()
    result = run_of(tmp_path, people, turns=3)
    x, y = people.columns["x"], people.columns["y"]
    assert [*x.values] == [0, 0, 1, 1, 1]
    assert ([*x.turns], [*x.writers]) == ([0, 0, 1, 2, 3], [-1, -1, 1, 2, 3])
    assert [*y.values] == [2.5, 2.5, 0, 0, 0.5]
    assert ([*y.turns], [*y.writers]) == ([2, 2, 0, 0, 0], [0, 1, -1, -1, 4])
    summaries = result.final_state["agent/people"]
    assert (summaries["x"]["rows"], summaries["x"]["sum"]) == (1, 3)
    assert (summaries["y"]["rows"], "sum" in summaries["y"]) == (2, False)


@pytest.mark.parametrize("how", ["mean", "order", "place", "length"])
def test_decision_that_depends_on_more_than_its_row_fails_the_run(tmp_path, how):
    result = run_of(tmp_path, Leaning("people", how=how))
    assert result.status == "failed"
    assert "depends on more than it reads" in result.error
    assert "agent people" in result.error


@pytest.mark.parametrize("people", [Leaning("people", how="all"), Flu("people"), Givers("people")])
def test_decision_that_depends_on_what_it_reads_does_not(tmp_path, people):
    assert run_of(tmp_path, people, turns=9).status == "completed"


def test_dead_rows_decide_nothing_and_new_ones_append(tmp_path):
    world = [{"name": "grass", "type": "float", "default": 1.0}]
    herd = Herd("herd")
    result = run_of(tmp_path, herd, turns=12, given=config(turns=12, global_vars=world))
    kept = herd.columns
    alive, age = kept["alive"].values, kept["age"].values
    assert len(age) > 20, "some are born"
    assert (~alive).sum() >= 20
    assert set(age[~alive]) == {9}, "the dead grow no older"
    born = slice(20, None)
    assert (kept["alive"].writers[born] >= 0).all()
    assert kept["weight"].turns.max() == 12
    replayed = replay(result.output_dir, agents=[Herd("herd")], engine=BaseEngine())
    assert replayed.difference == ""
    options = {"given": config(turns=12, global_vars=world), "checkpoint_interval": 2}
    resumed = Herd("herd")
    killed(lambda: run_of(tmp_path, Herd("herd"), run_id="k", on_turn=at_turn(7), **options))
    resume(tmp_path / "k", agents=[resumed], engine=BaseEngine()).run()
    for name, column in herd.columns.items():
        for array, again in zip(column, resumed.columns[name], strict=True):
            assert [*array] == [*again]


def test_new_rows_begin_with_the_one_first_value_of_a_column_or_with_0(tmp_path):
    class Splitting(Population):
        def __init__(self):
            columns = {"kind": ("int8", 3), "well": ("bool", [True, False]), "age": "int16"}
            super().__init__("cells", 2, columns)

        def decide(self, rows):
            rows.add("age", 1)
            rows.append(rows.ids == 1, age=rows["age"] + 7)

    cells = Splitting()
    assert run_of(tmp_path, cells, turns=2).status == "completed"
    values = {name: column.values.tolist() for name, column in cells.columns.items()}
    assert (values["kind"], values["age"]) == ([3, 3, 3, 3], [2, 2, 8, 8])
    assert values["well"] == [True, False, False, False]
    assert len(values) == 3
    assert cells.columns["kind"].writers.tolist() == [-1, -1, 1, 1]


def test_population_comes_from_a_table(tmp_path):
    (tmp_path / "people.csv").write_text("age,money,name\n30,5,ada\n41,0,ben\n7,2,cleo\n")
    (tmp_path / "people.py").write_text(TABLED)
    scenario = tmp_path / "money.yaml"
    scenario.write_text(
        "simulation: {name: money, max_turns: 3}\n"
        "agents:\n  - {name: people, type: ./people.py:People, table: people.csv}\n"
    )
    result = SimulationOrchestrator(scenario, output_root=tmp_path / "runs").run()
    columns = result.final_state["agent/people"]
    assert [columns[name]["sum"] for name in ("age", "money", "gave")] == [78, 4, 3]
    assert replay(result.output_dir).difference == ""


def test_sum_of_large_integers_is_exact_and_text_beyond_64_bits(tmp_path):
    class Large(Population):
        def __init__(self):
            super().__init__("stars", 4, {"mass": ("int64", 2**61), "age": ("int64", -3)})

        def decide(self, rows):
            rows.set("mass", 2**62 - 1, where=rows.observation.turn == 2)
            rows.add("age", 2**61, of=rows.ids % 2)

    result = run_of(tmp_path, Large(), turns=2, checkpoint_interval=1)
    by_step = steps(result.output_dir)
    sums = {
        step: line["details"]["new_value"]["sum"]
        for step, line in by_step.items()
        if line["event_type"] == "STATE"
    }
    assert sums == {
        "1.apply0.stars.agent/stars/age": 2**63 - 12,
        "2.apply0.stars.agent/stars/mass": str(2**64 - 4),
        "2.apply0.stars.agent/stars/age": str(2**64 - 12),
    }
    killed(lambda: run_of(tmp_path, Large(), turns=2, run_id="k", on_turn=at_turn(1)))
    again = resume(tmp_path / "k", agents=[Large()], engine=BaseEngine()).run()
    assert again.final_state == result.final_state


def test_sum_of_one_row_beyond_64_bits_is_refused(tmp_path):
    class Large(Population):
        def __init__(self):
            super().__init__("stars", 4, {"mass": ("int64", -1)})

        def decide(self, rows):
            rows.add("mass", 2**62, of=rows.ids % 2)

    result = run_of(tmp_path, Large(), turns=3)
    assert (result.status, result.turns) == ("failed", 1), "2**63 - 1 is held, two turns are not"
    assert "a column of int64 can't hold 1.8" in result.error


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda rows: rows.set("money", 2**31), "int32 can't hold 2147483648"),
        (lambda rows: rows.set("money", 2**70), "Python int too large"),
        (lambda rows: rows.add("money", 2**62, of=rows.ids % 2), "int64 can't hold 1.15"),
        (lambda rows: rows.set("money", 1.5), "int32 can't hold 1.5"),
        (lambda rows: rows.set("mony", 1), "mony: it is none of money; did you mean money?"),
        (lambda rows: rows["mony"], "mony: it is none of money; did you mean money?"),
        (lambda rows: rows.append([True, False]), "(2,)  and requested shape (50,)"),
        (lambda rows: rows.append(rows.ids == 0, money=2.5), "int32 can't hold 2.5"),
        (lambda rows: rows.add("money", 2**31 - 1), "int32 can't hold 2147483649"),
        (lambda rows: rows.set("money", [1, 2]), "(2,)  and requested shape (50,)"),
        (lambda rows: rows.set("money", 1, of=rows.ids + 1), "of names the rows 1 to 50"),
        (lambda rows: rows.get("money", of=rows.ids - 1), "of names the rows -1 to 48"),
        (lambda rows: rows.get("money", of=rows["money"] > 0), "of names the rows True"),
        (lambda rows: rows["money"].__setitem__(0, 1), "read-only"),
    ],
)
def test_write_that_does_not_fit_is_refused_with_the_column(tmp_path, write, words):
    class Writer(Givers):
        def decide(self, rows):
            write(rows)

    result = run_of(tmp_path, Writer("people"))
    assert result.status == "failed"
    assert words in result.error


@pytest.mark.parametrize(
    ("given", "setting", "words"),
    [
        ({"columns": {}}, "size", ", and the type of each column"),
        ({"size": 0}, "size", "it is 0; give 1 to 100,000,000 rows"),
        ({"size": 10**9}, "size", "it is 1000000000;"),
        ({"columns": {"x": "text"}}, "columns", "x is declared as 'text'"),
        ({"columns": {"a b": "bool"}}, "columns", "a b is declared as 'bool'"),
        ({"columns": {"x": ("bool", 2)}}, "columns", "of bool can't hold 2"),
        ({"columns": {"x": ("int8", "old")}}, "columns", "x: invalid literal"),
        ({"columns": {"x": ("float32", np.zeros(4))}}, "columns", "(4,)"),
        ({"table": "no.csv", "size": 0}, "table", "no.csv can't be read"),
    ],
)
def test_settings_that_can_not_be_are_told_by_their_name(given, setting, words):
    with pytest.raises(ScenarioError) as caught:
        Population(**{"name": "people", "size": 5, "columns": {"x": "bool"}, **given})
    assert str(caught.value).startswith(f"{setting} of a population can't be taken: ")
    assert words in str(caught.value)


def test_cell_of_a_table_that_does_not_fit_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "people.csv"
    for size, text, words in (
        (0, "age,name\n30,ada\n,ben\n7,cleo\n", "age: invalid literal .*''"),
        (0, "age\n30\n300\n7\n", ".* int8 can't hold 300"),
        (5, "age\n30\n31\n7\n", r"age: .* \(3,\)  and requested shape \(5,\)"),
    ):
        file.write_text(text)
        with pytest.raises(ScenarioError, match=f"^table of a population .*: {words}"):
            Population("people", size, {"age": "int8"}, table="people.csv")


@pytest.mark.parametrize(
    ("setting", "words"),
    [("size: -3", "it is -3"), ("table: no.csv", "no.csv can't be read"), ("size: x", "not 'x'")],
)
def test_scenario_names_the_line_of_a_setting_that_can_not_be(tmp_path, setting, words):
    (tmp_path / "people.py").write_text(TABLED)
    scenario = tmp_path / "money.yaml"
    scenario.write_text(
        "simulation: {name: money, max_turns: 3}\nagents:\n  - name: people\n"
        f"    type: ./people.py:People\n    {setting}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        SimulationOrchestrator(scenario, output_root=tmp_path / "runs")
    assert f"money.yaml: line 5: agents[0].{setting.partition(':')[0]}: " in str(caught.value)
    assert words in str(caught.value)


def test_run_without_a_population_loads_no_numpy():
    program = (
        "import sys, thence.sim; print('numpy' in sys.modules, thence.sim.Population.__name__)"
    )
    assert ran(program).stdout.split() == ["False", "Population"]


def test_population_beside_a_world_is_nowhere_in_it(tmp_path):
    given = config(turns=2, spatial={"grid": {"width": 4, "height": 4}})
    agents = [Givers("people"), Doer("ada", lambda observation: None)]
    result = orchestrator(tmp_path, agents, BaseEngine(), given=given).run()
    assert result.status == "completed", result.error
    assert set(result.final_state["agent/people"]) == {"money"}
