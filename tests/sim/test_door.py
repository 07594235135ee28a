"""`python -m thence.sim` runs a scenario as `thence sim run` does."""

import subprocess
import sys

import pytest
from tests.sim.toys import SCENARIO


def door(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "thence.sim", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.promise("O2")
def test_shipped_scenario_runs_and_leaves_its_files(tmp_path):
    ended = door(tmp_path, SCENARIO)
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "output").iterdir()
    assert {path.name for path in folder.iterdir()} >= {
        "config.json",
        "events.jsonl",
        "result.json",
        "checkpoints",
    }
    assert f"run {folder.name} completed: 40 turns" in ended.stdout + ended.stderr


def test_bad_scenario_is_a_usage_error_without_a_traceback(tmp_path):
    (tmp_path / "bad.yaml").write_text("simulation: {name: x, turns: 3}\n")
    ended = door(tmp_path, "bad.yaml")
    assert ended.returncode == 2
    assert "max_turns" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "output").exists()
