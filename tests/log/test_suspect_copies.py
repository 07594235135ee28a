"""What of a segment whose sync failed goes over, line by line and byte by byte."""

import pytest
from tests.events import line_of
from tests.log.faults import ShortDisk

from thence.errors import HeadsMoved
from thence.log.storage.disk import OS_DISK, READ_BYTES
from thence.log.write.append_conditions import AlreadyStored
from thence.log.write.writer import are_behind, copy_lines, regions, write_again

OLDER = "events_2026-01-01_00-00-00-000000.jsonl"


@pytest.fixture
def opened(tmp_path):
    """Open files of such bytes for appending, and close them at the end."""
    descriptors = []

    def opened_with(name, data=b""):
        (tmp_path / name).write_bytes(data)
        descriptors.append(OS_DISK.open_append(tmp_path / name))
        return descriptors[-1]

    yield opened_with
    for descriptor in descriptors:
        OS_DISK.close(descriptor)


@pytest.mark.parametrize(
    ("data", "start", "copied"),
    [
        (b"a\nb\n", 0, b"a\nb\n"),
        (b"a\nb\nhalf", 2, b"b\n"),
        (b"half", 0, b""),
        (b"", 0, b""),
        (b"x" * (READ_BYTES - 1) + b"\ny\nhalf", 0, b"x" * (READ_BYTES - 1) + b"\ny\n"),
        (b"x" * READ_BYTES + b"\ny\n", 0, b"x" * READ_BYTES + b"\ny\n"),
        (b"a\n" + b"x" * (3 * READ_BYTES) + b"\ny\nhalf", 2, b"x" * (3 * READ_BYTES) + b"\ny\n"),
    ],
    ids=["whole", "half", "no line", "empty", "block", "over", "long"],
)
def test_whole_lines_are_copied_and_the_end_of_the_source_is_told(
    opened, tmp_path, data, start, copied
):
    source, target = opened("a", data), opened("b", b"before\n")
    assert copy_lines(ShortDisk(700_000), source, start, target) == len(data)
    assert (tmp_path / "b").read_bytes() == b"before\n" + copied


def test_batch_stands_behind_a_file_when_each_of_its_lines_is_in_a_newer_one(opened, tmp_path):
    suspect = opened(OLDER, b"one\ntwo\nthree\n")
    newer = opened("events.jsonl", b"two\none\n")
    (file, _), (last, _) = OS_DISK.file_id(suspect), OS_DISK.file_id(newer)
    refused = HeadsMoved("could not")
    assert are_behind(OS_DISK, tmp_path, [b"one\n", refused, b"two\n"], file)
    assert not are_behind(OS_DISK, tmp_path, [b"one\n", b"three\n"], file)
    assert not are_behind(OS_DISK, tmp_path, [b"one"], file)
    assert not are_behind(OS_DISK, tmp_path, [b"one\n"], last)
    assert are_behind(OS_DISK, tmp_path, [refused], last)
    assert are_behind(OS_DISK, tmp_path, [b"three\n"], (0, 0))


def test_known_lines_are_written_again_and_each_file_is_told_from_its_first_to_its_last(
    opened, tmp_path
):
    one, two, three = (line_of({"n": "x" * n}) for n in (1, 20, 300))
    known = [
        AlreadyStored(two, OLDER, 900, False),
        AlreadyStored(one, "events.jsonl", 0, True),
        AlreadyStored(three, OLDER, 100, False),
    ]
    target = opened("b", b"before\n")
    assert write_again(ShortDisk(50), target, known) == len(two + one + three)
    assert (tmp_path / "b").read_bytes() == b"before\n" + two + one + three
    assert list(regions(known)) == [
        {"file": OLDER, "offset": 100, "bytes": 800 + len(two)},
        {"file": "events.jsonl", "offset": 0, "bytes": len(one)},
    ]
    assert list(regions([])) == []
    overlapping = [AlreadyStored(three, OLDER, 100, False), AlreadyStored(one, OLDER, 150, False)]
    assert list(regions(overlapping)) == [{"file": OLDER, "offset": 100, "bytes": len(three)}]
