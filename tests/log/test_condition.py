"""A log's condition is told from a few reads, while others may write."""

import os
import time

from tests.events import line_of

from thence.log.condition import log_checks
from thence.log.disk import OS_DISK, Disk


def looked_at(folder, disk=OS_DISK):
    return {check.name: check for check in log_checks(disk, folder)}


def segment(folder, *lines, name="events.jsonl"):
    (folder / name).write_bytes(b"".join(lines))
    return folder / name


def test_whole_log_is_in_order(tmp_path):
    segment(tmp_path, line_of(), line_of(seq=2, lamport_clock=2))
    checks = looked_at(tmp_path)
    names = ["log", "segments", "tail", "quarantine", "identity", "state", "lock", "clock"]
    assert list(checks) == names
    assert all(check.ok for check in checks.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl"]


def test_newest_event_is_found_behind_an_empty_segment(tmp_path):
    older = "events_2026-01-01_00-00-00-000000.jsonl"
    segment(tmp_path, line_of(event_id="older"), name=older)
    segment(tmp_path)
    assert "[older]" in looked_at(tmp_path)["tail"].detail
    assert looked_at(tmp_path)["segments"].detail.startswith("2 with ")


def test_line_that_lacks_its_newline_only_is_whole(tmp_path):
    segment(tmp_path, line_of(event_id="older"), line_of(event_id="newest", seq=2)[:-1])
    check = looked_at(tmp_path)["tail"]
    assert (check.ok, check.detail) == (True, "the newest line [newest] lacks its newline only")


def test_line_that_is_being_written_is_waited_for(tmp_path):
    whole = line_of(event_id="newest")
    path = segment(tmp_path, whole[:-30])

    class WritingDisk(Disk):
        opened = 0

        def open_read(self, opened):
            if opened == path:
                self.opened += 1
                if self.opened == 3:  # the second look at its end
                    segment(tmp_path, whole)
            return super().open_read(opened)

    assert looked_at(tmp_path, WritingDisk())["tail"].ok


def test_endless_line_is_told_from_its_end_alone(tmp_path):
    path = segment(tmp_path, line_of())
    os.truncate(path, 2**33)  # zeros, as a crash may leave them
    (tmp_path / ".thence").mkdir()
    (tmp_path / ".thence" / "log.json").write_text('{"format":1,"log_id":"x","vocabulary":"plain"}')
    start = time.monotonic()
    check = looked_at(tmp_path)["tail"]
    assert (check.ok, check.is_damage) == (False, False)
    assert check.detail.endswith("is unfinished, 2,097,152 bytes or more")
    assert time.monotonic() - start < 10


def test_newest_line_that_is_no_event_is_damage(tmp_path):
    segment(tmp_path, line_of(), b"{}\n\n")
    check = looked_at(tmp_path)["tail"]
    assert (check.ok, check.is_damage) == (False, True)
    assert "(not_an_event)" in check.detail


def test_log_without_events_has_no_tail(tmp_path):
    segment(tmp_path)
    (tmp_path / ".thence").mkdir()
    (tmp_path / ".thence" / "log.json").write_text('{"format":1,"log_id":"x","vocabulary":"plain"}')
    assert looked_at(tmp_path)["tail"].detail == "there are no events"
