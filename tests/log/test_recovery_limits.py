"""Recovery at its limits: lines of the longest length, ends of many blocks, numbers moved."""

import errno
import random
from itertools import count

import pytest
from tests.events import NODE, OTHER_NODE, line_of
from tests.log.errors import said
from tests.log.faults import FailingDisk, ShortDisk
from tests.log.processes import open_files

from thence.core.values.codec import LINE_BYTES_MAX
from thence.core.values.vocabulary import PLAIN
from thence.errors import OutcomeUnknown
from thence.log.storage.disk import OS_DISK, READ_BYTES
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.tail_recovery import (
    copy_aside,
    cut_broken_write,
    last_numbers,
    lines_backwards,
    recover_tail,
    unreported,
)

LONG = 600_000  # more than two of the blocks that are read at once


@pytest.fixture
def opened(tmp_path):
    """Give what opens a segment of such bytes, and closes it at the end."""
    descriptors = []

    def opened_with(data, disk=OS_DISK):
        path = tmp_path / "events.jsonl"
        path.write_bytes(data)
        descriptors.append(disk.open_append(path))
        return descriptors[-1], path

    yield opened_with
    for descriptor in descriptors:
        OS_DISK.close(descriptor)


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
def test_line_comes_whole_up_to_the_limit_and_empty_beyond(opened, lengths):
    parts = [bytes([65 + n]) * length for n, length in enumerate(lengths)]
    data = b"\n".join(parts)
    descriptor, _ = opened(data)
    found = list(lines_backwards(OS_DISK, descriptor, 0, len(data), LONG))
    assert found == [part if len(part) <= LONG else b"" for part in reversed(parts)]


@pytest.mark.parametrize(
    ("before", "tail", "kept", "is_moved"),
    [
        (b"", b"", 0, False),
        (b"\n", b"", 0, False),
        (b"", b"torn", 0, True),
        (b"\n", b"torn", 0, True),
        (b"x\n", b"t", 0, True),
        (b"", line_of()[:-1], len(line_of()), False),
        (b"x" * LONG + b"\n", line_of()[:-1], len(line_of()), False),
        (b"x" * LONG * 2 + b"\n", line_of()[:-1], len(line_of()), False),
        (b"\n", b"torn" * LONG, 0, True),
        (b"", b"t" * 262_145, 0, True),
    ],
    ids=count(),
)
def test_end_is_set_right_wherever_its_last_newline_stands(opened, before, tail, kept, is_moved):
    descriptor, path = opened(before + tail)
    size = len(before + tail)
    assert recover_tail(OS_DISK, descriptor, path, size, PLAIN) is is_moved
    assert path.read_bytes() == (before + tail + b"\n")[: len(before) + kept]
    names = OS_DISK.names(path.parent / ".thence/quarantine")
    aside = [(path.parent / ".thence/quarantine" / name).read_bytes() for name in names]
    assert aside == ([tail] if is_moved else [])


@pytest.mark.parametrize(("length", "kept"), [(LINE_BYTES_MAX - 1, 1), (LINE_BYTES_MAX, 0)])
def test_end_as_long_as_no_line_may_be_is_not_searched_for_events(opened, length, kept):
    event = line_of()[:-1]
    descriptor, path = opened(event + bytes(length - len(event)))
    assert recover_tail(OS_DISK, descriptor, path, length, PLAIN)
    assert path.read_bytes() == (event + b"\n") * kept
    ((aside, facts),) = unreported(OS_DISK, path.parent)
    assert (facts["offset"], facts["bytes"]) == (len(event) * kept, length - len(event) * kept)
    assert aside.stat().st_size == facts["bytes"]


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (7, 7), (5, 2 * READ_BYTES + 9), (READ_BYTES, 10 * READ_BYTES)]
)
def test_stretch_is_copied_aside_up_to_where_the_file_ends(opened, tmp_path, start, end):
    data = random.Random(5).randbytes(3 * READ_BYTES + 11)
    descriptor, _ = opened(data)
    held = open_files()
    copy_aside(ShortDisk(700_000), descriptor, start, end, tmp_path / "aside")
    assert (tmp_path / "aside").read_bytes() == data[start:end]
    assert open_files() == held


@pytest.mark.parametrize("call", ["write", "sync_data"])
def test_copy_that_the_disk_refuses_leaves_no_file(opened, tmp_path, call):
    descriptor, _ = opened(b"abc")
    held = open_files()
    failing = FailingDisk(**{call: DiskError(errno.EIO, "broken")})
    with pytest.raises(OSError, match="broken"):
        copy_aside(failing, descriptor, 0, 3, tmp_path / "aside")
    assert not (tmp_path / "aside").exists()
    assert open_files() == held


@pytest.mark.parametrize(
    ("written", "left"),
    [(b"a\nb\nhal", b"a\nb\n"), (b"half", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nh", b"a\n")],
    ids=["two whole", "none whole", "all whole", "one whole"],
)
def test_half_a_line_of_a_broken_write_is_cut_behind_the_last_whole_one(opened, written, left):
    descriptor, path = opened(b"before\n" + written)
    whole = len(left)
    assert cut_broken_write(OS_DISK, descriptor, path, 7, written + b"and more") == (whole, None)
    assert path.read_bytes() == b"before\n" + left


def test_half_a_line_that_can_not_be_cut_is_unknown_and_stays(opened):
    descriptor, path = opened(b"before\na\nhalf" + b"theirs")

    def kept(disk, data):
        whole, unknown = cut_broken_write(disk, descriptor, path, 7, data)
        return whole, said(unknown)

    unknown = (OutcomeUnknown, "could not take back half a line at the end of", str(path))
    hint = "retry(), or open the log again: the next append moves the half line aside"
    theirs = "somebody else wrote to it without the lock"
    assert kept(OS_DISK, b"a\nhalf a line") == (0, (*unknown, theirs, hint))
    broken = FailingDisk(truncate=DiskError(errno.EIO, "as said"))
    assert kept(broken, b"a\nhalftheirs and more") == (2, (*unknown, "as said", hint))
    assert path.read_bytes() == b"before\na\nhalftheirs"


def test_numbers_in_the_name_of_what_was_moved_aside_are_told(tmp_path):
    quarantine = tmp_path / ".thence/quarantine"
    quarantine.mkdir(parents=True)
    name = f"events_2026-01-01_00-00-00-000000.jsonl-77-{'0' * 26}-5-19.torn"
    (quarantine / f"{name}.untold").write_bytes(b"abc")
    ((path, facts),) = unreported(OS_DISK, tmp_path)
    assert path == quarantine / f"{name}.untold"
    assert facts == {
        "file": "events_2026-01-01_00-00-00-000000.jsonl",
        "offset": 77,
        "bytes": 3,
        "quarantine": f".thence/quarantine/{name}",
        "first_seq": 5,
        "last_seq": 19,
    }


def own(seq, clock=0):
    return line_of(seq=seq, lamport_clock=clock or seq)


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
        ([line_of(node_id=OTHER_NODE, lamport_clock=9)], (0, 9)),
        ([b"hello\n"], None),
        ([], None),
    ],
    ids=count(),
)
def test_numbers_go_on_behind_lines_moved_joined_or_damaged(opened, lines, numbers):
    data = b"".join(lines)
    descriptor, _ = opened(data)
    assert last_numbers(OS_DISK, descriptor, 0, len(data), NODE) == numbers
