import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, in_shell, is_three_lines, ran, thence
from tests.cli.scenarios import counting
from tests.cli.warm import warm

from thence.sim import SimulationOrchestrator

SHIPPED = "spatial_trade_network"


def run(cwd, *arguments, **options):
    start = thence if options.get("obeys_permissions") else warm
    return start("sim", "run", *arguments, cwd=cwd, **options)


def only_run(root):
    (folder,) = root.iterdir()
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which the shipped scenario was run for a few turns."""
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder, SHIPPED, "--turns", "8", "-q").code == 0
    return folder


@pytest.mark.promise("O2")
def test_run_leaves_its_folder_and_ends_in_one_line(tmp_path):
    ended = run(tmp_path, SHIPPED, "--turns", "8")
    folder = only_run(tmp_path / "output")
    names = {path.name for path in folder.iterdir()}
    assert names == {".thence", "checkpoints", "config.json", "events.jsonl", "result.json"}
    events = len((folder / "events.jsonl").read_text().splitlines())
    told = f"run {folder.name} completed: 8 turns, {events} events, output/{folder.name}\n"
    assert (ended.code, ended.out) == (0, told)
    assert ended.err == ""


COLLECTOR = """
import gc
from thence.sim import Action
decide = lambda observation: Action("note", {"thresholds": [*gc.get_threshold()]})
"""
THRESHOLDS = """
simulation: {name: run, max_turns: 1}
agents:
  - {name: ada, type: scripted, function: "./collector.py:decide"}
"""


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_collector_looks_for_garbage_less_often_where_the_process_is_the_runs(tmp_path, command):
    (tmp_path / "collector.py").write_text(COLLECTOR)
    (tmp_path / "scenario.yaml").write_text(THRESHOLDS)
    options = ["--seeds", "1"] if command == "sweep" else []
    thence("sim", command, "scenario.yaml", *options, cwd=tmp_path).done()
    (events,) = (tmp_path / "output").rglob("events.jsonl")
    assert '"action_payload":{"thresholds":[50000,50,100]}' in events.read_text()


@pytest.mark.promise("W10")
def test_run_whose_events_the_disk_refused_exits_with_1_and_says_so(tmp_path):
    done = in_shell(f"ulimit -f 20; exec {THENCE} sim run fishery --mode sync", tmp_path)
    result = json.loads((only_run(tmp_path / "output") / "result.json").read_text())
    assert result["failed"] > 0
    assert done.code == 1
    assert f"{result['failed']} events could not be written" in done.err
    assert "Traceback" not in done.err


@pytest.mark.promise("O2")
def test_module_of_the_simulation_runs_a_scenario_too(tmp_path):
    done = ran(sys.executable, "-m", "thence.sim", SHIPPED, "--turns", "2", cwd=tmp_path)
    assert (done.code, done.out.split()[:2]) == (0, ["run", only_run(tmp_path / "output").name])


@pytest.mark.promise("P6")
def test_run_as_json_is_result_json_and_nothing_else(tmp_path):
    ended = run(tmp_path, SHIPPED, "--turns", "2", "--json")
    folder = only_run(tmp_path / "output")
    assert ended.json == json.loads((folder / "result.json").read_text())


def test_options_go_before_the_scenario_and_stand_in_config_json(tmp_path):
    options = ("--seed", "3", "--turns", "2", "--verbosity", "decision", "--mode", "sync")
    assert run(tmp_path, SHIPPED, *options, "--output-root", "runs").code == 0
    folder = only_run(tmp_path / "runs")
    config = json.loads((folder / "config.json").read_text())
    simulation = config["simulation"]
    assert (simulation["seed"], simulation["max_turns"]) == (3, 2)
    assert (config["events"]["verbosity"], config["events"]["mode"]) == ("DECISION", "sync")
    assert Path(config["source"]).name == f"{SHIPPED}.yaml"
    listed = warm("log", "--log", folder, "--json", cwd=tmp_path).lines
    types = {json.loads(line)["event_type"] for line in listed}
    assert types == {"MILESTONE", "DECISION"}


def test_root_of_runs_comes_from_the_environment(tmp_path):
    env = {"THENCE_ROOT": "elsewhere"}
    ended = run(tmp_path, SHIPPED, "--turns", "1", env=env)
    assert (ended.code, " completed: 1 turn, " in ended.out) == (0, True)
    assert len(warm("sim", "list", "--json", cwd=tmp_path, env=env).json["runs"]) == 1


@pytest.mark.promise("O4")
def test_failing_component_ends_the_run_with_its_error_and_code_1(tmp_path):
    ended = run(tmp_path, counting(tmp_path, engine="Broken"))
    ended.failure(1)
    assert "the wheel came off" in ended.err
    assert ended.out.split()[2] == "failed:"
    told = warm("show", "@last-error", "--json", cwd=tmp_path).json
    assert told["details"]["error_type"] == "run_failed"
    assert "Traceback" not in ended.err
    as_json = run(tmp_path, "counting.yaml", "--json")
    assert (as_json.code, as_json.json["status"]) == (1, "failed")


@pytest.mark.promise("O4")
def test_debug_shows_the_traceback_of_a_component(tmp_path):
    ended = run(tmp_path, counting(tmp_path, engine="Broken"), "--debug")
    assert ended.code == 1
    traced, _, told = ended.err.partition("RuntimeError: the wheel came off")
    assert "Traceback" in traced
    assert "parts.py" in traced
    assert "in apply_engine_rules" in traced
    assert "thence: run" in told


@pytest.mark.promise("O2")
def test_altered_run_says_so_wherever_it_is_listed(tmp_path):
    steps = [f"{turn}.decide.ada.0" for turn in range(1, 6)]
    for name, alter in (("plain", {}), ("one", {steps[0]: None}), ("five", dict.fromkeys(steps))):
        path = counting(tmp_path)
        SimulationOrchestrator(path, output_root=tmp_path / "output", run_id=name).run(alter=alter)
    runs = warm("sim", "list", "--json", cwd=tmp_path).json["runs"]
    told = {each["run_id"]: each.get("altered") for each in runs}
    assert told == {"plain": None, "one": steps[:1], "five": steps}
    lines = {line.split()[3]: line for line in warm("sim", "list", cwd=tmp_path).lines}
    assert "altered" not in lines["plain"]
    assert f"altered: {steps[0]}" in lines["one"]
    assert "and 2 more" in lines["five"]
    for name, is_altered in (("plain", False), ("one", True)):
        assert ("altered: " in warm("sim", "show", name, cwd=tmp_path).out) == is_altered
        assert ("altered" in warm("sim", "show", name, "--json", cwd=tmp_path).json) == is_altered


@pytest.mark.promise("O8")
def test_scenario_with_problems_is_refused_with_all_of_them(tmp_path):
    path = counting(tmp_path)
    path.write_text(path.read_text().replace("max_turns", "max_turn").replace("engine:", "engin:"))
    ended = run(tmp_path, path)
    assert (ended.code, ended.out) == (2, "")
    assert f"{path}:2: simulation.max_turn: this key is not known" in ended.err
    assert is_three_lines(ended.err)
    assert not (tmp_path / "output").exists()
    assert run(tmp_path, path, "--json").json["error"]["code"] == "scenario_error"


@pytest.mark.promise("P6")
def test_validate_tells_each_problem_with_file_line_and_key(tmp_path):
    path = counting(tmp_path)
    good = warm("sim", "validate", path.name, cwd=tmp_path)
    assert (good.code, good.out) == (0, "ok: counting, 1 agent, at most 5 turns\n")
    good = warm("sim", "validate", SHIPPED, "--json", cwd=tmp_path)
    assert (good.code, good.json) == (0, {"ok": True, "problems": []})
    path.write_text(path.read_text().replace("max_turns", "max_turn"))
    ended = warm("sim", "validate", path.name, "--json", cwd=tmp_path)
    assert (ended.code, ended.json["ok"]) == (2, False)
    (problem,) = ended.json["problems"]
    assert set(problem) == {"file", "line", "key", "message", "hint"}
    assert (problem["line"], problem["key"]) == (2, "simulation.max_turn")
    text = warm("sim", "validate", path.name, cwd=tmp_path)
    assert text.code == 2
    said = f"simulation.max_turn: {problem['message']} ({problem['hint']})"
    assert text.out.startswith(f"counting.yaml:2: {said}\n")
    missing = warm("sim", "validate", "a.yaml", cwd=tmp_path)
    assert missing.out.startswith("a.yaml: there is no such file")
    assert not (tmp_path / "output").exists()


@pytest.mark.promise("P6")
def test_list_names_runs_newest_first_and_leaves_other_logs_out(tmp_path):
    scenario = counting(tmp_path)
    assert warm("sim", "list", cwd=tmp_path).err.startswith("no runs in output")
    run(tmp_path, scenario)
    run(tmp_path, counting(tmp_path, engine="Broken"))
    warm("append", "note", "--log", "output/notes", cwd=tmp_path)
    runs = warm("sim", "list", "--json", cwd=tmp_path).json["runs"]
    assert [entry["status"] for entry in runs] == ["failed", "completed"]
    counts = ("decisions", "decisions_failed")
    assert all(list(entry) == ["run_id", "name", "status", *counts, "events"] for entry in runs)
    assert {entry["name"] for entry in runs} == {"counting"}
    assert len(warm("sim", "list", cwd=tmp_path).lines) == 2


def test_show_sums_up_a_run(finished):
    told = warm("sim", "show", "--json", cwd=finished).json
    assert (told["status"], told["turns"], told["damage"]) == ("completed", 8, [])
    assert sum(told["by_type"].values()) == told["events"]
    assert len(told["by_actor"]) >= 8
    assert told["files"][0]["file"] == "events.jsonl"
    text = warm("sim", "show", told["run_id"], cwd=finished).done()
    assert f"8 turns, {told['events']:,} events" in text.out
    assert max(map(len, text.lines)) <= 80


def test_show_tells_notices_and_damage(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(only_run(finished / "output"), folder)
    path = folder / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"turn_number":2', b'"turn_number":9', 1) + b"{")
    assert warm("append", "NOTE", "--log", "run", cwd=tmp_path).code == 0
    told = warm("sim", "show", "run", "--json", cwd=tmp_path).json
    assert any("not a whole event" in sentence for sentence in told["notices"])
    assert [finding["code"] for finding in told["damage"]] == ["bad_line", "events_lost"]
    text = warm("sim", "show", "run", cwd=tmp_path).out
    assert "noted by the log" in text
    assert "2 findings of damage" in text


def test_show_of_another_log_says_that_it_is_no_run(tmp_path):
    warm("append", "note", "--log", "notes", cwd=tmp_path)
    assert "plain log" in warm("sim", "show", "notes", cwd=tmp_path).failure(4)


def test_event_appended_to_a_run_joins_that_run(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(only_run(finished / "output"), folder)
    appended = warm("append", "NOTE", "--log", "run", "text=seen", cwd=tmp_path)
    event = warm("show", appended.out.strip(), "--log", "run", "--json", cwd=tmp_path).json
    assert (event["simulation_id"], event["details"]) == ("run", {"text": "seen"})


def test_root_that_cant_be_written_is_refused_clearly(tmp_path):
    tmp_path.chmod(0o555)
    ended = run(tmp_path, SHIPPED, "--turns", "1", obeys_permissions=True)
    tmp_path.chmod(0o755)
    assert ended.code == 1
    assert is_three_lines(ended.err)
    assert "Permission denied" in ended.err
