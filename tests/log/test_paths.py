"""A text that can name no folder is refused at every door, and makes no log anywhere."""

from pathlib import Path

import pytest
from tests.cli.installed import thence as command

import thence
from thence.errors import InvalidEvent, NotALog
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import strays
from thence.sim import EventWriter

NO_NAMES = ["", "\0x", "a\0b", "\ud800"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_text_that_names_no_folder_is_refused_and_makes_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for door in (thence.open, lambda path: EventWriter(path, "run")):
        with pytest.raises(NotALog) as raised:
            door(name)
        assert raised.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("append", "note"), ("log",), ("doctor",), ("verify",)])
def test_command_with_an_empty_name_of_a_log_takes_not_the_working_folder(tmp_path, words):
    thence.open(tmp_path).append("mine")
    ended = command(*words, "--log", "", cwd=tmp_path)
    assert ended.code == 2
    assert ended.out == ""
    assert [event.event_type for event in thence.open(tmp_path).read()] == ["mine"]


def test_name_that_is_no_utf8_is_a_folder_like_any_other(tmp_path):
    folder = tmp_path / "odd\udcff"
    with thence.open(str(folder)) as log:
        log.append("a")
    assert (folder / "events.jsonl").exists()


def test_file_that_looks_like_a_segment_is_reported_wherever_a_log_is_looked_at(tmp_path):
    names = ["events_2025-01-01_10-00.jsonl", "events.old.jsonl", "events2.jsonl"]
    with thence.open(
        tmp_path,
    ) as log:
        log.append("a")
        assert log.verify().findings == ()
        for name in names:
            (tmp_path / name).write_bytes((tmp_path / "events.jsonl").read_bytes())
        (tmp_path / "event.jsonl").write_bytes(b"")
        (tmp_path / "events.jsonl.bak").write_bytes(b"")
        found = log.verify()
        assert found.ok
        assert {(f.code, f.file, f.severity) for f in found.notes} == {
            ("file_passed_over", name, "noted") for name in names
        }
        assert len(list(log.read())) == 1
    assert sorted(path.name for path in strays(OS_DISK, tmp_path)) == sorted(names)
    told = command("verify", "--json", "--log", tmp_path, cwd=tmp_path)
    assert {note["file"] for note in told.json["notes"]} == set(names)
    counted = command("stats", "--json", "--log", tmp_path, cwd=tmp_path).json
    assert sorted(counted["passed_over"]) == sorted(names)
    doctor = command("doctor", "--json", "--log", tmp_path, cwd=tmp_path).json
    (segments,) = [check for check in doctor["checks"] if check["name"] == "segments"]
    assert not segments["ok"]
    for text in (command("stats", "--log", tmp_path, cwd=tmp_path).err, segments["detail"]):
        assert all(name in text for name in names)


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotALog, match="a link that leads nowhere"):
        thence.open(tmp_path / "link")
    nowhere = Path("/proc/thence") if Path("/proc/self").exists() else Path("/dev/fd/thence")
    with pytest.raises(thence.ThenceError, match=f"could not make a log in {nowhere}: "):
        thence.open(nowhere)


def test_log_rotates_at_the_size_that_it_was_opened_with(tmp_path):
    with thence.open(tmp_path, max_file_size=300) as log:
        for number in range(6):
            log.append("a", {"number": number})
        assert [event.payload["number"] for event in log.read()] == list(range(6))
    assert len(list(tmp_path.glob("events_*.jsonl"))) > 1
    with pytest.raises(InvalidEvent):
        thence.open(tmp_path, max_file_size=0)
