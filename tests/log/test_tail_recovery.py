"""What a kill leaves at the end is moved aside and told, and the next event stands alone."""

import errno
import os
import random
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.crash.crash_states import worst
from tests.crash.first_writes import first_write
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import log_of, opened
from tests.events import NODE, OTHER_NODE, line_of, new_id
from tests.log.faults import FailingDisk
from tests.log.kills import closed_at
from tests.log.processes import lines
from tests.tiers import examples

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import AppendFailed, OutcomeUnknown
from thence.log.storage.disk import OS_DISK
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.tail_recovery import (
    last_numbers,
    lines_backwards,
    mark_reported,
    unreported,
)
from thence.replica import Log


@pytest.fixture
def log(tmp_path):
    """A log of two events, closed."""
    with thence.open(tmp_path) as opened:
        opened.append("first", {"n": 1})
        opened.append("second", {"text": "é\n\u2028" * 9})
    return tmp_path


def spoil(folder, tail):
    path = folder / "events.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    return path.stat().st_size - len(tail)


def after_next_append(folder):
    """Append one event in a new opening, check the log, return it with the notices."""
    with thence.open(folder) as opened:
        appended = opened.append("next")
        assert opened.verify().ok, opened.verify().findings
        events = list(opened.read())
    assert lines(folder)[-1] == appended.line
    own = [event.seq for event in events if not event.is_foreign]
    assert own == list(range(1, len(own) + 1))
    return appended, [event for event in events if event.event_type == "log.recovered"]


def assert_told(folder, notice, offset, tail):
    facts = notice.payload
    assert facts["file"] == "events.jsonl"
    assert (facts["offset"], facts["bytes"]) == (offset, len(tail))
    assert (folder / facts["quarantine"]).read_bytes() == tail
    assert os.listdir(folder / ".thence/quarantine") == [os.path.basename(facts["quarantine"])]


@pytest.mark.promise("W12")
def test_line_cut_at_any_byte_is_moved_aside_and_told(log):
    with thence.open(log) as opened:
        opened.append("t")
    data = (log / "events.jsonl").read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for cut in range(start + 1, len(data) - 1):
        (log / "events.jsonl").write_bytes(data[:cut])
        closed_at(log, 2)
        shutil.rmtree(log / ".thence/quarantine", ignore_errors=True)
        appended, notices = after_next_append(log)
        assert appended.seq == 4
        assert_told(log, *notices, start, data[start:cut])


@pytest.mark.parametrize("kept", [1, 40, -2])
def test_number_of_an_acknowledged_last_line_that_was_cut_is_not_given_again(log, kept):
    path = log / "events.jsonl"
    data = path.read_bytes()
    start = data.index(b"\n") + 1
    path.write_bytes(data[:start] + data[start:][:kept])
    with thence.open(log) as opened:
        assert opened.append("next").seq == 4
        (notice,) = [e for e in opened.read() if e.event_type == "log.recovered"]
        assert (notice.payload["first_seq"], notice.payload["last_seq"]) == (2, 2)
        assert opened.verify().ok


@pytest.mark.promise("W12")
def test_torn_last_line_is_moved_aside_and_told_and_the_next_event_starts_its_own(log):
    torn = lines(log)[-1][:40]
    offset = spoil(log, torn)
    appended, notices = after_next_append(log)
    assert appended.seq == 4
    assert_told(log, *notices, offset, torn)


def test_whole_event_that_lacks_only_its_newline_is_kept(log):
    path = log / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    _, notices = after_next_append(log)
    assert notices == []
    assert [line.event_type for line in thence.open(log).read()] == ["first", "second", "next"]
    assert not (log / ".thence/quarantine").exists()


@pytest.mark.parametrize(
    "tail",
    [
        b"\0",
        b"\0" * 4096,
        b"\0" * 5000,
        line_of({"a": "x" * 6000})[:4096],
        line_of()[:-20] + b"\0" * 100,
        b'{"event_id":"x","eve',
        b"hello",
        b"\xff\xfe",
        b"x" * 600_000,
    ],
    ids=[
        "zero",
        "page of zeros",
        "more zeros",
        "half an event",
        "event in zeros",
        "first bytes",
        "text",
        "no utf-8",
        "endless text",
    ],
)
def test_any_other_tail_is_moved_aside(log, tail):
    offset = spoil(log, tail)
    _, notices = after_next_append(log)
    assert_told(log, *notices, offset, tail)


@pytest.mark.parametrize("ending", [b"", b"\n"], ids=["bare", "newline"])
def test_foreign_last_line_is_kept(log, ending):
    foreign = b'{"event_id": "x", "event_type": "theirs"}'
    spoil(log, foreign + ending)
    appended, notices = after_next_append(log)
    assert notices == []
    assert appended.seq == 3
    events = list(thence.open(log).read())
    assert [event.event_type for event in events] == ["first", "second", "theirs", "next"]
    assert events[2].line == foreign


def test_pages_of_zeros_inside_are_left_and_their_number_is_not_given_again(log):
    spoil(log, b"\0" * 4096 + b"\n")
    with thence.open(log) as opened:
        assert opened.append("next").seq > 3
        codes = [finding.code for finding in opened.verify().findings]
        assert [event.seq for event in opened.read()].count(3) == 0
    assert codes == ["region_told", "events_told"]


@pytest.mark.parametrize("position", [5, 30, 150, -8])
def test_number_of_a_damaged_last_line_is_not_given_again(log, position):
    path = log / "events.jsonl"
    data = bytearray(path.read_bytes())
    start = data.index(b"\n") + 1
    data[start + position if position > 0 else position] ^= 1
    path.write_bytes(data)
    with thence.open(log) as opened:
        event = opened.append("next")
    assert (event.seq, event.lamport_clock) == (3, 3)
    assert path.read_bytes().startswith(data)


def test_text_of_another_program_takes_no_number(log):
    spoil(log, b"hello\n")
    assert thence.open(log).append("next").seq == 3


@pytest.mark.promise("W12")
@pytest.mark.parametrize(
    ("fault", "kind"), [("write", AppendFailed), ("sync_data", OutcomeUnknown)]
)
def test_recovery_whose_notice_failed_is_told_later(log, fault, kind):
    torn = b'{"event_id":"torn'
    offset = spoil(log, torn)

    class FailingOnce(FailingDisk):
        def truncate(self, descriptor, size):
            super().truncate(descriptor, size)
            self.faults[fault] = DiskError(errno.EIO, "broken")

        def write(self, descriptor, data):
            try:
                return super().write(descriptor, data)
            finally:
                self.faults.pop("write", None)

    with Log(log, PLAIN, disk=FailingOnce()) as opened, pytest.raises(kind):
        opened.append("refused")
    with thence.open(log) as opened:
        opened.append("next")
        events = [event for event in opened.read() if event.event_type == "log.recovered"]
        assert opened.verify().ok
    assert_told(log, events[-1], offset, torn)
    assert len(events) == 1


def test_recovery_is_told_after_a_kill_between_the_cut_and_its_notice(log):
    name = f"events.jsonl-77-{'0' * 26}.torn"
    quarantine = log / ".thence/quarantine"
    quarantine.mkdir()
    (quarantine / f"{name}.untold").write_bytes(b"half")
    (quarantine / "notes.untold").write_bytes(b"not ours")
    assert [facts["bytes"] for _, facts in unreported(OS_DISK, log)] == [4]
    _, (notice,) = after_next_append(log)
    assert dict(notice.payload) == {
        "file": "events.jsonl",
        "offset": 77,
        "bytes": 4,
        "quarantine": f".thence/quarantine/{name}",
    }
    assert sorted(os.listdir(quarantine)) == [name, "notes.untold"]


def test_numbers_go_on_behind_an_event_that_stands_beside_stray_bytes(log):
    path = log / "events.jsonl"
    with thence.open(log) as opened:
        opened.append("third")
        whole = path.read_bytes()
        lines = whole.splitlines(keepends=True)
        assert opened.append("fourth").seq == 4
    path.write_bytes(whole[: -len(lines[-1])] + bytes(300) + lines[-1])
    after = thence.open(log)
    assert [event.event_type for event in after.read()] == ["first", "second", "third"]
    with after:
        assert after.append("next").seq == 4


def test_many_recoveries_are_told_by_three_syncs(tmp_path):
    """The first writers after these kills were killed themselves before they told of them."""
    with Log(tmp_path, PLAIN) as log:
        log.append("first")
    aside = tmp_path / ".thence/quarantine"
    aside.mkdir()
    names = [f"events.jsonl-{offset}-{new_id()}.torn" for offset in range(1, 6)]
    for name in names:
        (aside / f"{name}.untold").write_bytes(b"torn")
    log, _, took = first_write(tmp_path, PLAIN)
    with log:
        told = [e.payload["quarantine"] for e in log.read() if e.event_type == "log.recovered"]
    assert sorted(told) == sorted(f".thence/quarantine/{name}" for name in names)
    assert sorted(os.listdir(aside)) == sorted(names)
    assert took.syncs == 3  # of the notices, of the names, of the event


def test_recovery_is_not_told_again_after_a_power_cut():
    disk = SimulatedDisk(log_of(2, b"half"))
    with opened(disk) as log:
        log.append("first")
    left = SimulatedDisk(worst(disk.moment()))
    with opened(left) as log:
        log.append("next")
        types = [event.event_type for event in log.read()]
        assert [kind for kind in types if kind != "log.gap"][2:] == [
            "log.recovered",
            "first",
            "next",
        ]


def test_file_is_told_by_its_name(tmp_path):
    path = tmp_path / "a.torn.untold"
    path.touch()
    mark_reported(OS_DISK, [path])
    assert os.listdir(tmp_path) == ["a.torn"]


def test_recovery_on_a_full_disk_changes_nothing_and_leaves_nothing(log):
    spoil(log, b"torn")
    before = (log / "events.jsonl").read_bytes()
    full = FailingDisk(write=DiskError(errno.ENOSPC, "full"))
    with Log(log, PLAIN, disk=full) as opened:
        for _ in range(3):
            with pytest.raises(AppendFailed):
                opened.append("refused")
        assert (log / "events.jsonl").read_bytes() == before
        assert os.listdir(log / ".thence/quarantine") == []
        full.faults.clear()
        opened.append("next")
    types = [event.event_type for event in thence.open(log).read()]
    assert types == ["first", "second", "log.recovered", "log.write_failed", "next"]


def test_reading_changes_nothing(log):
    spoil(log, b"torn")
    before = (log / "events.jsonl").read_bytes()
    reader = thence.open(log)
    assert len(list(reader.read())) == 2
    (finding,) = reader.verify().findings
    assert (finding.code, finding.severity, finding.length) == ("torn_tail", "torn", 4)
    assert reader.verify().ok
    assert (log / "events.jsonl").read_bytes() == before


@settings(max_examples=examples(40))
@given(st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_are_read_backwards(tmp_path_factory, parts, data):
    path = tmp_path_factory.mktemp("back") / "a"
    text = b"\n".join(parts)
    path.write_bytes(text)
    starts = [0, *(n + 1 for n, byte in enumerate(text) if byte == ord("\n"))]
    start = data.draw(st.sampled_from(starts))
    descriptor = OS_DISK.open_read(path)
    try:
        found = list(lines_backwards(OS_DISK, descriptor, start, len(text)))
    finally:
        OS_DISK.close(descriptor)
    assert found == text[start:].split(b"\n")[::-1]


def test_lines_longer_than_a_block_are_read_backwards(tmp_path):
    chance = random.Random(3)
    parts = [bytes([65 + n]) * chance.randrange(700_000) for n in range(5)]
    path = tmp_path / "a"
    path.write_bytes(b"\n".join([*parts, b""]))
    descriptor = OS_DISK.open_read(path)
    found = list(lines_backwards(OS_DISK, descriptor, 0, path.stat().st_size))
    OS_DISK.close(descriptor)
    assert found == [b"", *reversed(parts)]


def test_numbers_go_on_from_the_last_own_line_and_the_highest_clock(tmp_path):
    path = tmp_path / "events.jsonl"
    parts = [
        line_of(seq=6, lamport_clock=90),
        line_of(seq=7, lamport_clock=91),
        line_of(node_id=OTHER_NODE, seq=700, lamport_clock=300),
        line_of(node_id=OTHER_NODE, seq=701, lamport_clock=200),
    ]
    path.write_bytes(b"".join(parts))
    descriptor = OS_DISK.open_read(path)
    size = path.stat().st_size
    assert last_numbers(OS_DISK, descriptor, 0, size, NODE) == (7, 300)
    assert last_numbers(OS_DISK, descriptor, size - len(parts[3]), size, NODE) == (0, 200)
    assert last_numbers(OS_DISK, descriptor, size, size, NODE) is None
    OS_DISK.close(descriptor)
