"""What the wheel of a release wrote is read by this commit, with the same answers."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.golden.make import FOLDER, SECRET, answers, make
from tests.server.team.team_server import of_members

PYTHON = Path(sys.executable)


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "answers.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def answered():
    return answers(PYTHON, FOLDER)


@pytest.mark.parametrize("question", ["events", "verified", "why", "run", "board", "table"])
def test_answer_is_that_of_the_release(expected, answered, question):
    assert answered[question] == expected[question]


def test_files_hold_each_frozen_thing(expected):
    """Else the test above could hold of files that show nothing."""
    types = [event["event_type"] for event in expected["events"]]
    assert {"order.placed", "charge.begun", "charge.ended", "log.redacted"} <= set(types)
    assert any(event["caused_by"] for event in expected["events"])
    assert len(list((FOLDER / "log").glob("events*.jsonl"))) > 1
    assert any(
        len(event.get("payload", {}).get("text", "")) > 1_024 for event in expected["events"]
    )
    assert not [file for file in FOLDER.rglob("*.jsonl") if SECRET in file.read_text("utf-8")]
    assert len(expected["why"]) > 1
    assert expected["run"]["status"] == "completed"
    assert [lane for _, lane, *_ in expected["board"]] == ["for_review", "done"]
    assert len(expected["table"]) == 3
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 200_000


def test_requests_of_the_release_are_accepted(tmp_path):
    """First each line is new, then known; and all can be pulled, byte for byte."""
    requests = [
        file.read_bytes().partition(b"\n\n")
        for file in sorted(FOLDER.glob("wire/*.http"), key=lambda file: int(file.stem))
    ]
    with of_members(tmp_path / "data") as server:
        ada = server.client("ada")
        for status in ("success", "duplicate"):
            counted = Counter()
            for head, _, body in requests:
                request, packed = head.decode().split("\n")
                # without the cursors, which name a place in the history of the server of then
                path = re.sub("&(after|seen)=[^&]*", "", request.removeprefix("POST "))
                got = ada.ask("POST", path, body, Content_Encoding=packed.rpartition(" ")[2])
                assert got.status == 200 or got.code == "not_a_log"
                counted += Counter(one["status"] for one in got.json.get("results", ()))
            assert counted == {status: 8}
        (log,) = ada.ask("GET", "/api/v1/logs/").json["logs"]
        pulled, _ = ada.pull(log["log"])
    stored = [
        line for file in FOLDER.glob("log/events*.jsonl") for line in file.read_bytes().splitlines()
    ]
    assert sorted(pulled) == sorted(stored)


def test_log_can_be_appended_to(tmp_path):
    shutil.copytree(FOLDER / "log", tmp_path / "log")
    for words in ("append --log log order.closed", "verify --log log"):
        subprocess.run([PYTHON.parent / "thence", *words.split()], cwd=tmp_path, check=True)
    (last,) = (tmp_path / "log" / "events.jsonl").read_bytes().splitlines()[-1:]
    assert json.loads(last)["event_type"] == "order.closed"
    assert json.loads(last)["lamport_clock"] == 9


def test_same_files_can_be_made_by_this_commit(tmp_path, expected):
    make(PYTHON, tmp_path / "made")
    made = json.loads((tmp_path / "made" / "answers.json").read_text("utf-8"))
    kept, new = ([event["event_type"] for event in one["events"]] for one in (expected, made))
    assert new == kept
    assert (made["verified"], made["why"]) == (expected["verified"], expected["why"])
    assert made["board"] == expected["board"]
    names = [
        {file.relative_to(folder).parts[0] for file in folder.rglob("*") if file.is_file()}
        for folder in (FOLDER, tmp_path / "made")
    ]
    assert names[0] == names[1]
