"""The causes of a row come from turns played again, and are those that made its value."""

import json
import re

import numpy as np
import pytest
from tests.cli.warm import warm
from tests.sim.populations.people import Flu, Givers
from tests.sim.populations.test_population import run_of
from tests.sim.toys import lines

from thence.errors import RunDiverged, ThenceError
from thence.sim import BaseEngine, SimulationOrchestrator, branch, open_run, replay
from thence.sim.populations.why import measure_row, row_courses, why_row

pytestmark = pytest.mark.promise("O15")

SCENARIO = """
simulation: {name: flu, max_turns: 8, seed: 4, checkpoint_interval: 3}
events: {verbosity: STATE}
agents:
  - {name: people, type: ./people.py:People, size: 300}
"""
PEOPLE = """
from thence.sim import Population


class People(Population):
    def __init__(self, name: str, size: int, odds: float = 0.7):
        super().__init__(name, size, {"sick": "bool", "days": "int8"})
        self._odds = odds

    def start(self, rows):
        rows.set("sick", True, where=rows.ids < 3)

    def decide(self, rows):
        sick, days = rows["sick"], rows["days"]
        met = rows.get("sick", of=rows.integers("meet", 0, rows.size))
        rows.set("sick", True, where=~sick & met & (rows.random("catch") < self._odds))
        rows.add("days", 1, where=sick)
"""


@pytest.fixture
def project(tmp_path):
    """A folder with a run of a scenario with a population."""
    (tmp_path / "people.py").write_text(PEOPLE)
    (tmp_path / "flu.yaml").write_text(SCENARIO)
    ran = warm("sim", "run", tmp_path / "flu.yaml", "--run-id", "flu", cwd=tmp_path)
    assert ran.code == 0, ran.err
    return tmp_path


class Counted(Flu):
    """A population that counts the turns that it plays."""

    turns_played = 0

    def decide(self, rows):
        self.turns_played += len(rows.ids) == 200  # else it is the sample
        super().decide(rows)


@pytest.mark.parametrize("interval", [0, 1, 4])
@pytest.mark.parametrize("level", ["MILESTONE", "STATE"])
def test_chain_of_a_sick_row_goes_back_to_one_that_was_sick_at_first(tmp_path, interval, level):
    people = Flu("people")
    options = {"turns": 9, "checkpoint_interval": interval, "verbosity": level}
    result = run_of(tmp_path, people, **options)
    parts = {"agents": [Counted("people")], "engine": BaseEngine()}
    sick = people.columns["sick"]
    row = int(np.flatnonzero(sick.values & (sick.turns > 5))[0])
    (flu,) = parts["agents"]
    answer = why_row(result.output_dir, f"people/{row}/sick", **parts)
    assert (answer.value, answer.turn) == (True, 9)
    first = answer.chain[0]
    assert first.subject == f"people/{row}/sick"
    assert (first.old, first.new, first.by) == (False, True, (f"people/{row}",))
    for change, before in zip(answer.chain, answer.chain[1:], strict=False):
        assert before.turn < change.turn
        assert before.subject in {read.subject for read in change.reads}
    last = answer.chain[-1]
    assert {read.turn for read in last.reads} == {0}, "what it read nobody had written"
    ids = {line["event_id"] for line in lines(result.output_dir)}
    assert {change.event_id for change in answer.chain} <= ids
    windows = {-(-change.turn // (interval or 9)) for change in answer.chain} | {
        -(-9 // (interval or 9))
    }
    assert 0 < flu.turns_played <= len(windows) * (interval or 9)


def test_change_by_many_names_all_of_them(tmp_path):
    people = Givers("people", 40)
    result = run_of(tmp_path, people, turns=3)
    parts = {"agents": [Givers("people", 40)], "engine": BaseEngine()}
    changes = [
        why_row(result.output_dir, f"people/{row}/money", **parts).chain[:1] for row in range(40)
    ]
    assert any(len(change.by) > 2 for (change,) in filter(None, changes))


def test_turn_whose_columns_are_others_is_told(tmp_path):
    result = run_of(tmp_path, Flu("people"), turns=4)
    parts = {"agents": [Flu("people", odds=0.1)], "engine": BaseEngine()}
    with pytest.raises(RunDiverged, match="people"):
        why_row(result.output_dir, "people/9/sick", **parts)


@pytest.mark.parametrize(
    "subject", ["people/200/sick", "people/1/x", "people/sick", "others/1/sick"]
)
def test_row_that_is_not_there_is_refused(tmp_path, subject):
    result = run_of(tmp_path, Flu("people"))
    with pytest.raises(ThenceError, match=r"people|population"):
        why_row(result.output_dir, subject, agents=[Flu("people")], engine=BaseEngine())


def test_commands_explain_measure_and_show_a_row(project):
    answers = {}
    for row in range(40, 300):
        told = warm("why", f"people/{row}/sick", "--log", "output/flu", "--json", cwd=project)
        assert told.code == 0, told.err
        answers[row] = json.loads(told.out)
        if answers[row]["chain"] and answers[row]["chain"][0]["turn"] > 2:
            break
    assert answers[row]["value"] is True
    told = warm("why", f"people/{row}/sick", "--log", "output/flu", cwd=project).out
    assert f"people/{row}/sick is True after turn 8, because" in told
    assert re.search(rf"- people/{row}/sick became True \(before False\) in turn \d by", told)
    measured = warm("why", f"people/{row}/sick", "--log", "output/flu", "--measure", cwd=project)
    turn = answers[row]["chain"][0]["turn"]
    assert f"{turn}.decide.people/{row}.0  without it" in measured.out
    assert f"people/{row}/sick would be" in measured.out or "nothing would change" in measured.out


def test_sums_of_columns_stand_in_tables_and_pictures(project):
    with open_run(project / "output/flu") as run:
        rows = [*run.variables()]
        course = run.courses(["agent/people/sick"])[1]["agent/people/sick"]
    assert [row["agent/people/sick"] for row in rows] == course
    assert course[0] == 3
    assert course == sorted(course)
    assert course[-1] == run.result["final_state"]["agent/people"]["sick"]["sum"]


def test_branch_sets_a_row_and_leaves_a_decision_out(project):
    folder = project / "output/flu"
    run = branch(folder, 2, set={"people/250/sick": True}, run_id="set")
    result = run.run()
    (line,) = [
        line for line in lines(result.output_dir) if line.get("step", "").startswith("2.set")
    ]
    assert line["step"] == "2.set.-.people/250/sick"
    details = line["details"]
    assert (details["scope"], details["variable_name"]) == ("agent/people", "sick")
    assert details["new_value"]["set"] == {"250": True}
    assert details["new_value"]["sum"] == details["old_value"]["sum"] + 1
    assert replay(result.output_dir).difference == ""
    answer = why_row(result.output_dir, "people/250/days")
    assert answer.value == 6
    why_sick = why_row(result.output_dir, "people/250/sick").chain
    assert [(change.turn, change.by) for change in why_sick] == [(2, ())]
    with pytest.raises(ThenceError, match="bool can't hold 7"):
        branch(folder, 2, set={"people/250/sick": 7})
    absent = branch(folder, 2, set={"people/300/sick": True}).run()
    assert (absent.status, absent.turns) == ("failed", 1)
    assert "people has 300 rows" in absent.error
    left_out = branch(folder, 2, decide={"3.decide.people/0.0": None}, run_id="left").run()
    assert why_row(left_out.output_dir, "people/0/days").value == 7
    assert why_row(folder, "people/0/days").value == 8
    refused = branch(folder, 2, decide={"3.decide.people.0": {"action_type": "x"}}).run()
    assert "its rows decided differently" in refused.error


def test_measured_decisions_are_those_that_change_the_value(project):
    folder = project / "output/flu"
    row = next(
        row for row in range(40, 300) if len(why_row(folder, f"people/{row}/sick").chain) > 1
    )
    weights = measure_row(folder, f"people/{row}/sick")
    own = why_row(folder, f"people/{row}/sick").chain[0]
    by_step = {weight.step: weight for weight in weights}
    assert f"{own.turn}.decide.people/{row}.0" in by_step
    for weight in weights[:4]:
        at = int(weight.step.partition(".")[0])
        other = branch(folder, at - 1, decide={weight.step: None}).run()
        value = why_row(other.output_dir, f"people/{row}/sick").value
        assert (value, value is not True) == (weight.value, weight.matters)


def test_sweep_of_a_population_has_its_sums(project):
    words = ("--seeds", "1-2", "--set", "agents.people.odds=0.1,0.9", "--output", "swept")
    swept = warm("sim", "sweep", "flu.yaml", *words, cwd=project)
    assert swept.code == 0, swept.err
    written = warm("sim", "table", "swept", "--output", "t.csv", cwd=project)
    assert written.code == 0, written.err
    head, *rows = (project / "t.csv").read_text().splitlines()
    place = head.split(",").index("agent/people/sick")
    sums = [int(row.split(",")[place]) for row in rows]
    assert max(sums[:2]) < min(sums[2:])


def test_course_of_a_row_stands_in_tables_and_pictures(project):
    with open_run(project / "output/flu") as run:
        courses = row_courses(run, ["people/1/days", "people/40/sick"])
    assert courses["people/1/days"] == [*range(9)]
    assert len(courses["people/40/sick"]) == 9
    options = ("--rows", "turns", "--variable", "people/1/days", "--output", "t.csv")
    written = warm("sim", "table", "output/flu", *options, cwd=project)
    assert written.code == 0, written.err
    head, *rows = (project / "t.csv").read_text().splitlines()
    place = head.split(",").index("people/1/days")
    assert [row.split(",")[place] for row in rows] == [str(turn) for turn in range(9)]
    options = ("--variable", "people/1/days", "--variable", "agent/people/sick", "-o", "t.svg")
    drawn = warm("sim", "plot", "output/flu", *options, cwd=project)
    assert drawn.code == 0, drawn.err
    assert "people/1/days" in (project / "t.svg").read_text()


HERD = {
    "simulation": {"name": "herd", "max_turns": 9, "seed": 3, "checkpoint_interval": 4},
    "state_variables": {"global_vars": [{"name": "grass", "type": "float", "default": 1.0}]},
    "agents": [{"name": "herd", "type": "tests.sim.populations.people:Herd", "size": 12}],
}


def test_row_that_was_born_has_a_course_causes_and_decisions(tmp_path):
    folder = SimulationOrchestrator(HERD, output_root=tmp_path).run().output_dir
    with open_run(folder) as run:
        course = row_courses(run, ["herd/12/age"])["herd/12/age"]
    born = course.count(None)
    assert 0 < born < 7
    assert course == [None] * born + [*range(10 - born)]
    *_, first = why_row(folder, "herd/12/age").chain
    assert (first.turn, first.old, first.new) == (born, None, 0)
    parent = int(first.by[0].partition("/")[2])
    assert parent < 12
    assert f"herd/{parent}/age" in {read.subject for read in first.reads}
    left_out = branch(folder, born, decide={f"{born + 1}.decide.herd/12.0": None}).run()
    assert why_row(left_out.output_dir, "herd/12/age").value == 8 - born
    by_step = {weight.step: weight.value for weight in measure_row(folder, "herd/12/age")}
    assert by_step[f"{born + 1}.decide.herd/12.0"] == 8 - born
    assert f"{born}.decide.herd/{parent}.0" in by_step
    older = branch(folder, born, set={"herd/12/age": 8}).run()
    change, *_ = why_row(older.output_dir, "herd/12/alive").chain
    assert (change.turn, change.new) == (born + 1, False)
    unborn = branch(folder, born - 1, set={"herd/12/age": 8}).run()
    assert unborn.status == "failed"
    assert "herd has 12 rows" in unborn.error


def test_row_that_is_set_while_its_population_is_paused_had_the_value_before(tmp_path):
    class Pausing(BaseEngine):
        def apply_engine_rules(self, view):
            if view.turn == 1:
                view.pause("people", until=4)

    def parts():
        return {"agents": [Flu("people")], "engine": Pausing()}

    folder = run_of(tmp_path, Flu("people"), engine=Pausing()).output_dir
    with_set = branch(folder, 2, set={"people/190/sick": True}, **parts()).run().output_dir
    change, *_ = why_row(with_set, "people/190/sick", **parts()).chain
    assert (change.turn, change.old, change.new, change.by) == (2, False, True, ())
