import json
import shutil

import pytest
from tests.cli.warm import warm
from tests.sim.toys import Doer, hiring, orchestrator

from thence.sim import SimulationOrchestrator

SHIPPED = "spatial_trade_network"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of the shipped scenario, which lies in ./output."""
    root = tmp_path_factory.mktemp("runs") / "output"
    made = SimulationOrchestrator(SHIPPED, output_root=root, run_id="trade", max_turns=12)
    made.run()
    return made


@pytest.mark.promise("P6")
def test_show_tells_of_numbers_that_changed_in_the_width_of_the_terminal(run):
    cwd = run.output_dir.parents[1]
    lines = warm("sim", "show", "trade", cwd=cwd).lines
    begin = lines.index("variables")
    assert all(line.startswith("  place/") for line in lines[begin + 1 : begin + 7])
    assert "more variables; -v shows all" in lines[begin + 7]
    assert max(map(len, lines[begin : begin + 8])) <= 80
    before, after = (state.place("Harbour")["stock_grain"] for state in run.history[::12])
    (line,) = (line for line in lines if "place/Harbour/stock_grain" in line)
    assert f"{before} to {after} (" in line


def test_show_tells_of_the_variables_that_are_named(run):
    cwd = run.output_dir.parents[1]
    variables = ("--variable", "agent/ada/*", "--variable", "place/Mill/stock_ore")
    asked = ("sim", "show", "trade", *variables)
    found = warm(*asked, "--json", cwd=cwd).json["variables"]
    names = [course["variable"] for course in found]
    assert {"agent/ada/money", "agent/ada/location"} < set(names)
    assert names[-1] == "place/Mill/stock_ore"
    stocks = [state.place("Mill")["stock_ore"] for state in run.history]
    assert (found[-1]["first"], found[-1]["last"]) == (stocks[0], stocks[-1])
    assert (found[-1]["minimum"], found[-1]["maximum"]) == (min(stocks), max(stocks))
    text = warm(*asked, cwd=cwd).out
    assert '"Mill" to ' in text
    told = warm("sim", "show", "trade", "--variable", "place/Mill/stock_roe", cwd=cwd).failure(2)
    assert "place/Mill/stock_ore" in told


@pytest.mark.promise("O14")
def test_show_tells_of_an_agent_that_came_from_its_turn_on(tmp_path):
    hiring(tmp_path / "output", run_id="hiring").run()
    asked = ("sim", "show", "hiring", "--variable", "agent/*")
    courses = {
        one["variable"]: one for one in warm(*asked, "--json", cwd=tmp_path).json["variables"]
    }
    cid = courses["agent/cid/x"]
    assert [*cid.values()] == ["agent/cid/x", 5, 9, 5, 9]
    lines = warm(*asked, cwd=tmp_path).lines
    (line,) = (line for line in lines if line.startswith("  agent/cid/x"))
    assert line.removeprefix("  agent/cid/x  ") == "5 to 9 (5..9)"


def test_show_counts_the_turns_that_ended(tmp_path):
    def fails(seen):
        return 1 / 0 if seen.turn == 3 else None

    result = orchestrator(tmp_path / "output", [Doer("ada", fails)], run_id="failing").run()
    assert (result.status, result.turns) == ("failed", 2)
    assert warm("sim", "show", "failing", "--json", cwd=tmp_path).json["turns"] == 2
    assert "  2 turns, " in warm("sim", "show", "failing", cwd=tmp_path).out


@pytest.mark.promise("P6")
def test_show_tells_parameters_parent_and_reason(run, tmp_path):
    told = warm("sim", "show", run.output_dir, "--json", cwd=tmp_path).json
    refused = ("log", "--log", run.output_dir, "--where", "error_type = action_rejected", "--json")
    assert told["failures"] == 0
    assert told["rejected"] == len(warm(*refused, cwd=tmp_path).lines)
    given = told["parameters"]
    assert (given["seed"], given["max_turns"], given["verbosity"]) == (7, 12, "STATE")
    assert (given["engine"], given["agents"]) == ("./traders.py:TradeNetwork", len(run.agents))
    assert told["reason"] == "max_turns 12 reached"
    assert "parent" not in told
    branch = tmp_path / "output" / "branch"
    shutil.copytree(run.output_dir, branch)
    config = json.loads((branch / "config.json").read_text())
    config["parent"] = {"run_id": "trade", "turn": 4}
    (branch / "config.json").write_text(json.dumps(config))
    told = warm("sim", "show", "branch", "--json", cwd=tmp_path).json
    assert told["parent"] == {"run_id": "trade", "turn": 4}
    assert "branch of trade at turn 4" in warm("sim", "show", "branch", cwd=tmp_path).out
    (entry,) = warm("sim", "list", "--json", cwd=tmp_path).json["runs"]
    assert entry["parent"] == {"run_id": "trade", "turn": 4}
    assert "(branch of trade at turn 4)" in warm("sim", "list", cwd=tmp_path).out
    (branch / "config.json").write_text(
        json.dumps({"parent": 7, "events": [], "scenario": {"agents": 3}})
    )
    assert "parent" not in warm("sim", "show", "branch", "--json", cwd=tmp_path).json


def test_show_of_a_run_without_changes_says_so_and_has_none_to_name(tmp_path):
    root = tmp_path / "output"
    SimulationOrchestrator(
        SHIPPED, output_root=root, run_id="few", max_turns=2, verbosity="ACTION"
    ).run()
    assert "verbosity ACTION: its log holds no changes" in warm("sim", "show", cwd=tmp_path).out
    told = warm("sim", "show", "--variable", "place/*", "-q", cwd=tmp_path).failure(1)
    assert "--verbosity STATE" in told


def test_running_and_killed_runs_are_listed_apart(tmp_path):
    def statuses():
        return {run["run_id"]: run["status"] for run in listed()}

    def listed():
        return warm("sim", "list", "--json", cwd=tmp_path).json["runs"]

    root = tmp_path / "output"
    seen = []

    def on_turn(progress):
        seen.append(statuses())
        shutil.copytree(root / "going", root / "copy")
        seen.append(statuses())
        raise KeyboardInterrupt

    terms = {"output_root": root, "run_id": "going", "max_turns": 9}
    SimulationOrchestrator(SHIPPED, **terms, on_turn=on_turn).run()
    assert seen == [{"going": "running"}, {"going": "running", "copy": "killed"}]
    assert statuses() == {"going": "interrupted", "copy": "killed"}


def test_run_that_can_not_be_read_hides_no_other_of_the_list(run, tmp_path):
    shutil.copytree(run.output_dir, tmp_path / "output" / "trade")
    shutil.copytree(run.output_dir, tmp_path / "output" / "away")
    (tmp_path / "output" / "away" / "events.jsonl").unlink()
    (tmp_path / "output" / "away" / "events.jsonl").mkdir()
    listed = warm("sim", "list", cwd=tmp_path).done()
    assert sorted(line.split()[0] for line in listed.lines) == ["completed", "unreadable"]


@pytest.mark.parametrize("is_empty", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        "show",
        "resume",
        "replay",
        "branch --at 1",
        "survey --at 1 --question Who?",
        "table --output a.csv",
        "plot --variable x --output a.svg",
    ],
)
def test_unknown_run_is_told_with_the_command_that_lists_the_runs(run, command, is_empty, tmp_path):
    name = tmp_path if is_empty else "trede"
    word, *options = command.split()
    done = warm("sim", word, name, *options, cwd=run.output_dir.parents[1])
    done.failure(4)
    assert f"could not find the run {name}" in done.err
    assert done.err.endswith("next: `thence sim list` shows the runs\n")
