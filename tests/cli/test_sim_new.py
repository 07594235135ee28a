"""A new project is a simulation that runs, with a test that passes."""

import json
import resource
import sys

import pytest
from tests.cli.installed import THENCE, is_three_lines, ran
from tests.cli.warm import warm

FILES = ["README.md", "agents.py", "engine.py", "scenario.yaml", "test_scenario.py"]


def new(cwd, *arguments):
    return warm("sim", "new", *arguments, cwd=cwd)


def test_new_project_runs_and_its_test_passes(tmp_path):
    made = new(tmp_path, "market")
    assert (made.code, made.out) == (0, f"created market with {', '.join(FILES)}\n")
    assert sorted(path.name for path in (tmp_path / "market").iterdir()) == FILES
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    tested = ran(*words, cwd=tmp_path / "market", env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert "1 passed" in tested.out, tested
    assert warm("sim", "validate", "market/scenario.yaml", cwd=tmp_path).code == 0
    played = warm("sim", "run", "market/scenario.yaml", "--json", cwd=tmp_path)
    result = json.loads(played.out)
    assert (played.code, result["status"], result["turns"]) == (0, "completed", 20)
    assert result["run_id"].startswith("market-")
    why = warm("why", "agent/agent-1/money", cwd=tmp_path).done()
    assert "did give (to agent-1)" in why.out


def test_new_project_of_200_agents_who_all_reach_each_other_writes_few_lines(tmp_path):
    new(tmp_path, "market")
    scenario = tmp_path / "market" / "scenario.yaml"
    scenario.write_text(scenario.read_text().replace("count: 10", "count: 200"))
    played = warm("sim", "run", "market/scenario.yaml", "--json", cwd=tmp_path)
    result = json.loads(played.out)
    assert (played.code, result["status"]) == (0, "completed")
    assert result["events"] < 12_000  # 228,000 where each wide provenance had notices of its own


def test_new_project_is_told_as_json(tmp_path):
    made = new(tmp_path, "market", "--json")
    assert json.loads(made.out) == {"folder": "market", "files": FILES}


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_is_refused_and_kept(tmp_path, kind):
    path = tmp_path / "market"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    refused = new(tmp_path, "market", "--json")
    assert refused.code == 1
    assert json.loads(refused.out)["error"]["cause"] == "it is there already"
    assert is_three_lines(refused.err)
    assert [each.name for each in tmp_path.iterdir()] == ["market"]
    assert kind != "folder" or not list(path.iterdir())
    assert kind != "file" or path.read_text() == "mine"


@pytest.mark.parametrize("name", [".", "..", "a/b", "../market", "märkt", "a b", "a" * 101])
def test_name_that_is_no_name_is_refused(tmp_path, name):
    assert "letters, digits" in new(tmp_path, name).failure(2)
    assert not list(tmp_path.iterdir())


def test_disk_that_takes_nothing_leaves_no_half_project(tmp_path):
    assert "File too large" in ran(
        *(THENCE, "sim", "new", "market"),
        cwd=tmp_path,
        first=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    ).failure(1)
    assert not list(tmp_path.iterdir())
