"""Lines that the last commit wrote are read by this one, member by member, and gone on with."""

import json
import shutil
from pathlib import Path
from zlib import crc32

import pytest
from tests.golden.write_lines import FOLDER, FOREIGN, content, write

import thence
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.vocabulary import PLAIN

LOGS = ("plain", "sim", "work")
PAGE = Path(__file__).parents[2] / "docs/reference/formats/segment.md"


@pytest.fixture(params=LOGS)
def folder(request, tmp_path):
    return Path(shutil.copytree(FOLDER / request.param, tmp_path / request.param))


def expected(folder, name):
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def test_log_of_each_vocabulary_is_read_as_it_was_written_and_gone_on_with(folder):
    before = expected(FOLDER, folder.name)
    assert content(folder) == before
    assert before["ok"]
    lines = (folder / "events.jsonl").read_bytes()
    with thence.open(folder) as log:
        log.append("noted", {"text": "by the next commit " * 100})
        assert log.query(type="noted").total == 1
    assert (folder / "events.jsonl").read_bytes().startswith(lines)
    assert content(folder)["ok"]


def test_lines_hold_what_the_pages_of_the_formats_tell_of():
    events = [
        one for name in LOGS for one in json.loads((FOLDER / f"{name}.json").read_text())["events"]
    ]
    types = {one.get("event_type") for one in events}
    assert {"refund.begun", "refund.ended", "log.redacted", "log.recovered", "WPCreated"} <= types
    assert {"MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL", "SYSTEM"} <= types
    members = {name for one in events for name in one}
    for name in ("begins", "ends", "caused_by", "repairs", "description", "body_sha256", "note"):
        assert name in members
    stored = b"".join(path.read_bytes() for path in FOLDER.glob("*/events*.jsonl"))
    assert stored.count(b'},"bodies":[["') >= 5
    assert FOREIGN in stored


@pytest.mark.parametrize("name", LOGS)
def test_line_can_be_checked_and_read_without_thence(name):
    for line in (FOLDER / name / "events.jsonl").read_bytes().splitlines():
        members = json.loads(line)
        if "crc" in members:
            assert line[-18:] == b',"crc":"%08x"}' % crc32(line[:-18])
            assert list(members)[-1] == "crc"
            assert list(members)[:4] == ["event_id", "event_type", "event_version", "timestamp"]
        else:
            assert line == FOREIGN[:-1]


def test_same_logs_can_be_written_anew(tmp_path):
    write(tmp_path / "lines")
    for name in LOGS:
        before, after = (
            json.loads((place / f"{name}.json").read_text())
            for place in (FOLDER, tmp_path / "lines")
        )
        assert [one.get("event_type") for one in after["events"]] == [
            one.get("event_type") for one in before["events"]
        ]
        assert (after["ok"], after["codes"]) == (before["ok"], before["codes"])


def test_example_in_the_page_of_the_format_is_an_event():
    (line,) = [row for row in PAGE.read_bytes().splitlines() if row.startswith(b'{"event_id"')]
    event = parse(line, PLAIN)
    assert isinstance(event, Event)
    assert event.seq == 3
