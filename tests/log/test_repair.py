"""A repaired log: every event is there byte for byte, every other byte is in quarantine."""

import os
import random

import pytest
from tests.events import OTHER_NODE, line_of
from tests.log.committers import append_notice
from tests.log.faults import FailingDisk

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import LogBusy, LogFull, OutcomeUnknown, ThenceError
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.disk_errors import DiskError
from thence.replica import Log

MARK = b"\xef\xbb\xbf"


def made(folder, count=6):
    """Make a log and return its lines."""
    with thence.open(folder) as log:
        last = []
        for n in range(count):
            last = [log.append("noted", {"n": n, "text": "é\n" * n}, caused_by=last)]
    return (folder / "events.jsonl").read_bytes().splitlines(keepends=True)


def rewritten(folder, *parts, name="events.jsonl"):
    (folder / name).write_bytes(b"".join(parts))


def quarantined(folder):
    return [path.read_bytes() for path in sorted(folder.glob(".thence/quarantine/*.torn"))]


def kept(folder):
    """Return the lines of the log without the notices of the repair."""
    data = (folder / "events.jsonl").read_bytes()
    return [line for line in data.splitlines(keepends=True) if b'"log.recovered"' not in line]


def repaired(folder, disk=OS_DISK):
    with Log(folder, PLAIN, disk=disk) as log:
        return log.repair()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [MARK, *lines],
        lambda lines: [line[:-1] + b"\r\n" for line in lines],
        lambda lines: [lines[0], b"\0" * 4000, *lines[1:]],
        lambda lines: [lines[0], lines[1][:-1], *lines[2:]],
        lambda lines: [lines[0], lines[1][:-1], b"\x0b", *lines[2:]],
        lambda lines: [b"".join(line[:-1] for line in lines), b"\n"],
    ],
    ids=["mark", "crlf", "zeros", "joined", "changed newline", "one line"],
)
def test_events_beside_other_bytes_are_healed_byte_for_byte(tmp_path, spoil):
    lines = made(tmp_path)
    rewritten(tmp_path, *spoil(lines))
    assert not thence.open(tmp_path).verify().ok
    found = repaired(tmp_path)
    assert found.findings == ()
    assert kept(tmp_path) == lines
    assert quarantined(tmp_path) == []


def test_bad_bytes_go_to_quarantine_and_a_notice_tells_of_each_region(tmp_path):
    lines = made(tmp_path)
    bad = lines[1].replace(b"noted", b"nited"), b"garbage\n", b"\0" * 99 + b"\n"
    rewritten(tmp_path, lines[0], bad[0], bad[1], lines[2], lines[3], bad[2], *lines[4:])
    found = repaired(tmp_path)
    assert found.ok
    assert [(f.code, f.seq) for f in found.findings] == [
        ("cause_missing", None),
        ("events_told", 2),
    ]
    assert kept(tmp_path) == [lines[0], *lines[2:]]
    assert sorted(quarantined(tmp_path)) == sorted([bad[0] + bad[1], bad[2]])
    notices = [e.payload for e in thence.open(tmp_path).read() if e.event_type == "log.recovered"]
    first = next(facts for facts in notices if facts.get("first_seq"))
    assert (first["offset"], first["bytes"]) == (len(lines[0]), len(bad[0] + bad[1]))
    assert (first["first_seq"], first["last_seq"]) == (2, 2)
    assert (tmp_path / first["quarantine"]).read_bytes() == bad[0] + bad[1]


def test_number_of_a_last_event_that_was_damaged_is_not_given_again(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines[:-1], lines[-1].replace(b"noted", b"nited"))
    found = repaired(tmp_path)
    assert [(f.code, f.seq) for f in found.findings] == [("events_told", 6)]
    with thence.open(tmp_path) as log:
        assert log.append("next").seq > 7
        assert log.verify().ok


def test_rest_behind_an_event_is_moved_and_the_event_keeps_its_newline(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, lines[0], lines[1][:-1], b"garbage\n", *lines[2:])
    assert repaired(tmp_path).findings == ()
    assert kept(tmp_path) == lines
    assert quarantined(tmp_path) == [b"garbage\n"]


def test_older_segments_are_repaired_and_get_their_newline_back(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=300) as log:
        for _ in range(8):
            log.append("t")
    older = sorted(tmp_path.glob("events_*.jsonl"))
    before = [path.read_bytes() for path in older]
    assert len(older) > 2
    older[0].write_bytes(before[0][:-1])
    older[1].write_bytes(before[1][:-1] + b"\r")
    older[2].write_bytes(before[2] + b"half a li")
    log = thence.open(tmp_path)
    assert len(list(log.read())) == 8
    assert [f.code for f in log.verify().findings] == [
        "newline_lost",
        "line_ending",
        "newline_lost",
        "not_json",
    ]
    assert repaired(tmp_path).findings == ()
    assert [path.read_bytes() for path in older] == before
    assert quarantined(tmp_path) == [b"half a li"]


def test_whole_log_is_left_as_it_is(tmp_path):
    made(tmp_path)
    path = tmp_path / "events.jsonl"
    before = path.read_bytes(), path.stat().st_ino
    assert repaired(tmp_path).findings == ()
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_lines_of_other_tools_blank_lines_and_what_is_told_stay(tmp_path):
    lines = made(tmp_path)
    foreign = b'{"event_id":"theirs"}\r\n'
    rewritten(tmp_path, lines[0], b"\n", foreign, lines[1], b"bad\n", *lines[2:])
    assert repaired(tmp_path).ok
    assert kept(tmp_path) == [lines[0], b"\n", foreign, *lines[1:]]


def test_region_that_a_notice_tells_of_makes_no_repair(tmp_path):
    lines = made(tmp_path)
    facts = {"file": "events.jsonl", "offset": len(lines[0]), "bytes": 4}
    rewritten(tmp_path, lines[0], b"bad\n", *lines[1:])
    with thence.open(tmp_path) as log:
        append_notice(tmp_path, "torn", facts)
        before = (tmp_path / "events.jsonl").read_bytes()
        assert [f.code for f in log.repair().findings] == ["region_told"]
        assert (tmp_path / "events.jsonl").read_bytes() == before
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"more\n")
        assert log.repair().findings == ()
    assert sorted(quarantined(tmp_path)) == [b"bad\n", b"more\n"]
    # the region's place holds other bytes now: it excuses them no more
    data = bytearray((tmp_path / "events.jsonl").read_bytes())
    data[len(lines[0]) : len(lines[0]) + 4] = b"bad\n"
    rewritten(tmp_path, bytes(data))
    assert not thence.open(tmp_path).verify().ok


def test_told_zeros_beside_an_event_go_only_with_other_repairs(tmp_path):
    lines = made(tmp_path)
    facts = {"file": "events.jsonl", "offset": len(lines[0]), "bytes": 40}
    rewritten(tmp_path, lines[0], b"\0" * 40, *lines[1:])
    with thence.open(tmp_path) as log:
        append_notice(tmp_path, "torn", facts)
        before = (tmp_path / "events.jsonl").read_bytes()
        assert [f.code for f in log.repair().findings] == ["region_told"]
        assert (tmp_path / "events.jsonl").read_bytes() == before
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"more\n")
        assert log.repair().findings == ()
    assert quarantined(tmp_path) == [b"more\n"]
    assert kept(tmp_path)[: len(lines)] == lines


def test_what_no_repair_can_know_is_left(tmp_path):
    event_id = "0" * 26
    lines = [line_of({"n": n}, event_id=event_id, node_id=OTHER_NODE, seq=n) for n in (1, 2)]
    rewritten(tmp_path, *lines)
    found = repaired(tmp_path)
    assert [f.code for f in found.damage] == ["two_contents"]
    assert kept(tmp_path) == lines


def test_overlong_line_is_moved_whole(tmp_path):
    lines = made(tmp_path)
    bulk = b"x" * 5_000_000 + b"\n"
    rewritten(tmp_path, *lines[:3], bulk, *lines[3:])
    assert repaired(tmp_path).findings == ()
    assert quarantined(tmp_path) == [bulk]
    assert kept(tmp_path) == lines


def test_access_to_a_segment_stays_as_it_was(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines, b"bad\n")
    (tmp_path / "events.jsonl").chmod(0o640)
    repaired(tmp_path)
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o640


def test_writer_that_is_open_meanwhile_goes_on_in_the_repaired_segment(tmp_path):
    lines = made(tmp_path)
    with thence.open(tmp_path) as other:
        other.append("before")
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"bad\n")
        repaired(tmp_path)
        other.append("after")
        events = list(other.read())
        assert [e.event_type for e in events][-3:] != []
        assert {"before", "after"} <= {e.event_type for e in events}
        assert other.verify().findings == ()
    assert kept(tmp_path)[: len(lines)] == lines


def test_lock_that_is_held_refuses_and_changes_nothing(tmp_path):
    made(tmp_path)
    rewritten(tmp_path, b"bad\n")
    lock = AppendLock(OS_DISK, tmp_path / ".thence/lock")
    lock.acquire()
    log = thence.open(tmp_path)
    with pytest.raises(LogBusy):
        log.repair(timeout_s=0.01)
    lock.release()
    assert (tmp_path / "events.jsonl").read_bytes() == b"bad\n"


class DyingDisk(Disk):
    """Counts the calls that change something, and fails from the chosen one on."""

    def __init__(self, last):
        self.last = last
        self.calls = 0

    def step(self):
        self.calls += 1
        if self.calls > self.last:
            raise DiskError(28, os.strerror(28))


def _stepping(name):
    def method(self, *arguments):
        self.step()
        return getattr(Disk, name)(self, *arguments)

    return method


for _name in ("write", "sync_data", "sync_folder", "rename", "unlink", "open_append", "truncate"):
    setattr(DyingDisk, _name, _stepping(_name))


def test_repair_that_ends_at_any_step_loses_nothing_and_the_next_one_finishes_it(tmp_path):
    seed = random.randrange(10**9)
    print("seed", seed)
    last = 0
    while True:
        folder = tmp_path / str(last)
        lines = made(folder)
        spoilt = lines[2].replace(b"noted", b"nited")
        rewritten(folder, MARK, *lines[:2], spoilt, lines[3][:-1] + b"\r\n", *lines[4:])
        disk = DyingDisk(last)
        try:
            repaired(folder, disk)
            is_done = True
        except (LogFull, OutcomeUnknown):
            is_done = False
        found = [event.line + b"\n" for event in thence.open(folder).read()]
        assert [line for line in found if b'"log.recovered"' not in line] == [
            *lines[:2],
            *lines[3:],
        ]
        held = (folder / "events.jsonl").read_bytes() + b"".join(
            path.read_bytes() for path in folder.glob(".thence/quarantine/*")
        )
        assert spoilt in held
        assert repaired(folder).ok
        found = [line for line in kept(folder) if b"log.torn" not in line]
        assert found == [*lines[:2], *lines[3:]]  # one that was killed may have left damage
        assert spoilt in quarantined(folder)
        assert not list(folder.glob(".thence/*.repair"))
        if is_done:
            break
        last += 1
    assert last > 12


def test_disk_that_refuses_leaves_the_segment_as_it_was(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines, b"bad\n")
    before = (tmp_path / "events.jsonl").read_bytes()
    full = FailingDisk(rename=DiskError(13, "Permission denied"))
    with pytest.raises(ThenceError) as caught:
        repaired(tmp_path, full)
    assert caught.value.code == "log_read_only"
    assert (tmp_path / "events.jsonl").read_bytes() == before
