"""Logs that the first version wrote are read, verified and gone on with.

`plain` has steps, causes and a redacted event, with that version's index beside it; `queue` is
what a kill left while events waited in the queue, `torn` the same amid a line; `run-whole` is a
simulation whose file was rotated, `run-killed` one that was killed in turn 13.
"""

import json
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from tests.cli.warm import warm

import thence
from thence.sim import replay, resume

FOLDER = Path(__file__).parent / "log-v1"
EXPECTED = json.loads((FOLDER / "logs.json").read_text())


@pytest.fixture
def logs(tmp_path, monkeypatch):
    with tarfile.open(FOLDER / "logs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(folder):
    with thence.open(folder, create=False) as log:
        return [event.line for event in log.read()]


@pytest.mark.parametrize("name", EXPECTED["logs"])
def test_log_is_read_verified_and_continued(name, logs):
    folder, expected = logs / name, EXPECTED["logs"][name]
    lines = lines_of(folder)
    assert len(lines) == expected["events"]
    assert sha256(b"\n".join(lines)).hexdigest() == expected["sha256"]
    verified = warm("verify", "--log", name, "--json", cwd=logs)
    assert verified.json["events"] == expected["events"]
    assert verified.json["ok"]
    with thence.open(folder) as log:
        log.append("order.noted", {"by": "the next version"})
        assert log.query(type="order.noted").total == 1
    continued = lines_of(folder)
    assert continued[: len(lines)] == lines
    assert warm("verify", "--log", name, "--json", cwd=logs).json["ok"]


def test_why_is_answered_as_before(logs):
    with thence.open(logs / "plain") as log:
        assert list(log.why(EXPECTED["asked"]).sentences) == EXPECTED["why"]


def test_whole_run_plays_again(logs):
    assert replay(logs / "run-whole").step == ""


def test_killed_run_is_resumed_to_the_state_of_the_whole_one(logs):
    result = resume(logs / "run-killed").run()
    assert result.final_state == EXPECTED["final_state"]
    assert replay(logs / "run-killed").step == ""
