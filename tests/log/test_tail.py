"""What a kill leaves at the end is moved aside and told, and the next event stands alone."""

import errno
import os
import shutil
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codes import raises_code
from tests.crash.crash_states import worst
from tests.crash.first_writes import first_write
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import log_of, opened
from tests.disks import BROKEN, Scripted
from tests.events import NODE, OTHER_NODE, line_of, new_id
from tests.log.errors import said
from tests.log.kills import closed_at
from tests.log.processes import lines
from tests.tiers import examples

import thence
from thence.core.codec import LINE_BYTES_MAX
from thence.core.vocabulary import PLAIN
from thence.errors import LogFull, OutcomeUnknown
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.tail import (
    cut_broken_write,
    last_numbers,
    lines_backwards,
    recover_tail,
    unreported,
)
from thence.log.open import Log


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
        b"t" * 256 * 1024,  # as much as is searched at once
        b"0123456789abc" * 250_000,  # more than is copied at once
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
        "block of text",
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
    assert codes == ["torn", "torn"]


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


@pytest.mark.promise("W12")
@pytest.mark.parametrize("fault", ["write", "sync_data"])
def test_recovery_whose_notice_failed_is_told_later(log, fault):
    torn = b'{"event_id":"torn'
    offset = spoil(log, torn)

    def fail(*_):
        disk.error[fault] = [BROKEN] if fault == "write" else BROKEN

    disk = Scripted()
    disk.after["truncate"] = fail
    with Log(log, PLAIN, disk=disk) as opened, raises_code("append_failed"):
        opened.append("refused")
    with thence.open(log) as opened:
        opened.append("next")
        events = [event for event in opened.read() if event.event_type == "log.recovered"]
        assert opened.verify().ok
    assert_told(log, events[-1], offset, torn)
    assert len(events) == 1


def test_recovery_is_told_after_a_kill_between_the_cut_and_its_notice(log):
    older = "events_2026-01-01_00-00-00-000000.jsonl"
    name = f"{older}-77-{'0' * 26}.torn"
    quarantine = log / ".thence/quarantine"
    quarantine.mkdir()
    (quarantine / f"{name}.untold").write_bytes(b"half")
    (quarantine / "notes.untold").write_bytes(b"not ours")
    assert [facts["bytes"] for _, facts in unreported(OS_DISK, log)] == [4]
    _, (notice,) = after_next_append(log)
    assert dict(notice.payload) == {
        "file": older,
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
    path.write_bytes(whole[: -len(lines[-1])] + bytes(300) + lines[-1])
    after = thence.open(log)
    assert [event.event_type for event in after.read()] == ["first", "second", "third"]
    with after:
        after.append("next")
        assert [event.seq for event in after.read()] == [1, 2, 3, 4, 5, 6]


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


def test_recovery_on_a_full_disk_changes_nothing_and_leaves_nothing(log):
    spoil(log, b"torn")
    before = (log / "events.jsonl").read_bytes()
    full = Scripted(write=DiskError(errno.ENOSPC, "full"))
    with Log(log, PLAIN, disk=full) as opened:
        for _ in range(3):
            with pytest.raises(LogFull):
                opened.append("refused")
        assert (log / "events.jsonl").read_bytes() == before
        assert os.listdir(log / ".thence/quarantine") == []
        full.error.clear()
        opened.append("next")
    types = [event.event_type for event in thence.open(log).read()]
    assert types == ["first", "second", "log.recovered", "log.write_failed", "next"]


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


LONG = 600_000  # more than two of the blocks that are read at once


@pytest.mark.parametrize(
    "lengths",
    [
        [LONG],
        [LONG + 1],
        [LONG, 0],
        [LONG - 1, LONG, LONG + 1, 3, LONG, 2 * LONG, LONG - 1],
        [5 * LONG, 1],
        [1, 262_144, LONG],
    ],
    ids=str,
)
def test_line_comes_whole_up_to_the_limit_and_empty_beyond(made_of, lengths):
    parts = [bytes([65 + n]) * length for n, length in enumerate(lengths)]
    data = b"\n".join(parts)
    descriptor, _ = made_of(data)
    found = list(lines_backwards(OS_DISK, descriptor, 0, len(data), LONG))
    assert found == [part if len(part) <= LONG else b"" for part in reversed(parts)]


@pytest.mark.parametrize(("length", "kept"), [(LINE_BYTES_MAX - 1, 1), (LINE_BYTES_MAX, 0)])
def test_end_as_long_as_no_line_may_be_is_not_searched_for_events(made_of, length, kept):
    event = line_of()[:-1]
    descriptor, path = made_of(event + bytes(length - len(event)))
    assert recover_tail(OS_DISK, descriptor, path, length, PLAIN)
    assert path.read_bytes() == (event + b"\n") * kept
    ((aside, facts),) = unreported(OS_DISK, path.parent)
    assert (facts["offset"], facts["bytes"]) == (len(event) * kept, length - len(event) * kept)
    assert aside.stat().st_size == facts["bytes"]


def test_half_a_line_that_can_not_be_cut_is_unknown_and_stays(made_of):
    descriptor, path = made_of(b"before\na\nhalf" + b"theirs")

    def kept(disk, data):
        whole, unknown = cut_broken_write(disk, descriptor, path, 7, data)
        return whole, said(unknown)

    unknown = (OutcomeUnknown, "could not take back half a line at the end of", str(path))
    hint = "retry(), or open the log again: the next append moves the half line aside"
    theirs = "another program wrote to it without the lock"
    assert kept(OS_DISK, b"a\nhalf a line") == (0, (*unknown, theirs, hint))
    broken = Scripted(truncate=DiskError(errno.EIO, "as said"))
    assert kept(broken, b"a\nhalftheirs and more") == (2, (*unknown, "as said", hint))
    assert path.read_bytes() == b"before\na\nhalftheirs"


def own(seq, clock=0):
    return line_of(seq=seq, lamport_clock=clock or seq)


def theirs(clock):
    return line_of(node_id=OTHER_NODE, lamport_clock=clock)


def spoilt(seq):
    return own(seq)[:-5] + b'0"}\n'


@pytest.mark.parametrize(
    ("lines", "numbers"),
    [
        ([own(50), own(7, 70), own(8, 80)], (8, 80)),  # 50 stands behind a smaller one: unread
        ([own(8), own(9), own(5)], (9, 9)),  # 5 was moved to the end
        ([own(8), own(9), own(5), own(5)], (9, 9)),
        ([own(20, 20), own(9, 90), own(5, 91)], (20, 91)),
        ([own(50), own(1, 7)], (1, 7)),
        ([own(50, 60), own(2, 1), own(3, 4)], (3, 4)),
        ([own(4, 6), spoilt(5)], (5, 7)),
        ([own(3), own(4), spoilt(5), spoilt(6)], (6, 6)),
        ([own(50), own(7)[:-1] + own(8)], (8, 8)),
        ([own(7), own(8)[:-1] + spoilt(9)], (9, 9)),
        ([own(7), own(8), b"x" * LINE_BYTES_MAX + own(9)], (8, 8)),
        ([own(7), own(8), spoilt(9)[:-1]], (8, 8)),  # never acknowledged
        ([own(7), spoilt(8), own(9)], (9, 9)),
        ([own(6, 90), own(7, 91), theirs(300), theirs(200)], (7, 300)),
        ([theirs(9)], (0, 9)),
        ([b"hello\n"], None),
        ([], None),
    ],
    ids=count(),
)
def test_numbers_go_on_behind_lines_moved_joined_or_damaged(made_of, lines, numbers):
    data = b"".join(lines)
    descriptor, _ = made_of(data)
    assert last_numbers(OS_DISK, descriptor, 0, len(data), NODE) == numbers
