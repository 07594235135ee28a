"""What each question to a reader returns, member for member."""

import pytest
from tests import plain_order
from tests.events import NODE, OTHER_NODE, line_of

from thence.core.values.codec import BadLine
from thence.core.values.position import Position
from thence.core.values.vocabulary import PLAIN, SIM
from thence.log.read import reader
from thence.log.read.reader import Block
from thence.log.storage.disk import OS_DISK

CURRENT = "events.jsonl"
OLDEST = "events_2026-11-20_07-13-05-000000.jsonl"
OLDER = "events_2026-11-20_07-13-05-000001.jsonl"
FOREIGN = b'{"event_id":"theirs","event_type":"a"}\n'


def written(folder, *lines, name=CURRENT):
    (folder / name).write_bytes(b"".join(lines))


def own(seq, node_id=NODE):
    return line_of(seq=seq, lamport_clock=seq, node_id=node_id)


def read(folder):
    return [event.line + b"\n" for event in reader.events(OS_DISK, folder, PLAIN)]


def test_raw_lines_come_with_their_file_and_whether_they_are_whole(tmp_path):
    written(tmp_path, b"a\n", b"\n", b"b\nhalf", name=OLDEST)
    written(tmp_path, b"c\n", b"rest")
    assert list(reader.raw_lines(OS_DISK, tmp_path)) == [
        (OLDEST, b"a", True),
        (OLDEST, b"b", True),
        (OLDEST, b"half", False),
        (CURRENT, b"c", True),
        (CURRENT, b"rest", False),
    ]


def test_blocks_of_one_segment_begin_where_they_are_asked_to(tmp_path):
    written(tmp_path, b"first\n", b"second\n", b"rest", name=OLDEST)
    path = tmp_path / OLDEST
    assert list(reader.blocks_of(OS_DISK, path)) == [Block(OLDEST, 0, b"first\nsecond")]
    assert list(reader.blocks_of(OS_DISK, path, 6)) == [Block(OLDEST, 6, b"second")]
    assert list(reader.blocks_of(OS_DISK, path, 13)) == []


def test_overlong_lines_are_blocks_of_their_own(tmp_path):
    bulk = b"x" * 9_000_000
    written(tmp_path, b"a\n", bulk, b"\n", b"b\n", bulk)
    begin = bulk[: reader.OVERLONG_BYTES]
    blocks = list(reader.blocks(OS_DISK, tmp_path))
    assert blocks == [
        Block(CURRENT, 0, b"a"),
        Block(CURRENT, 2, begin, True, len(bulk)),
        Block(CURRENT, len(bulk) + 3, b"b"),
        Block(CURRENT, len(bulk) + 5, begin, False, len(bulk)),
    ]


def test_rest_of_the_current_segment_is_one_line_that_is_not_whole(tmp_path):
    half = own(1)[:-1]
    written(tmp_path, own(2), half)
    *_, line = reader.lines(OS_DISK, tmp_path, SIM)
    assert (line.file, line.offset, line.data, line.is_whole, line.length) == (
        CURRENT,
        len(own(2)),
        half,
        False,
        len(half),
    )
    assert line.content.line == half
    assert line.content.vocabulary is SIM


def test_bytes_of_a_line_are_kept_with_what_they_are(tmp_path):
    whole = own(1)[:-1]
    written(tmp_path, b"\xef\xbb\xbf", whole, b"\n")
    mark, event = reader.segment_lines(OS_DISK, tmp_path / CURRENT, SIM)
    assert (mark.data, mark.offset, mark.length, mark.is_whole) == (b"\xef\xbb\xbf", 0, 3, True)
    assert mark.content.code == "byte_order_mark"
    assert (event.data, event.offset, event.length) == (whole, 3, len(whole))
    assert event.content.vocabulary is SIM


@pytest.mark.parametrize("tail", [b"", b"\r", b"\0\0"])
def test_lost_newline_of_an_older_segment_is_a_place_without_bytes(tmp_path, tail):
    written(tmp_path, own(1), own(2)[:-1], tail, name=OLDEST)
    found = list(reader.segment_lines(OS_DISK, tmp_path / OLDEST, PLAIN))
    size = (tmp_path / OLDEST).stat().st_size
    lost = found[-1]
    assert lost.content == BadLine(
        "newline_lost", "the last line of an older segment lost its newline"
    )
    assert (lost.file, lost.offset, lost.data, lost.length) == (OLDEST, size, b"", 0)
    assert lost.is_whole


def test_bad_end_of_an_older_segment_has_lost_no_newline(tmp_path):
    written(tmp_path, own(1), b"half a li", name=OLDEST)
    found = list(reader.segment_lines(OS_DISK, tmp_path / OLDEST, PLAIN))
    assert [line.length for line in found] == [len(own(1)) - 1, 9]
    assert found[-1].content.code == "not_json"


def test_too_long_line_says_how_long_a_line_may_be(tmp_path):
    written(tmp_path, b"x" * 2_000_000, b"\n")
    (line,) = reader.lines(OS_DISK, tmp_path, PLAIN)
    assert line.content == BadLine("too_long", "more than 1048576 bytes without a newline") or (
        line.content.code == "not_json"  # shorter than what is read at once
    )


def test_position_counts_what_is_served(tmp_path):
    written(tmp_path, b"bad\n", own(1), own(2)[:-1], own(3), FOREIGN, name=OLDEST)
    written(tmp_path, own(4)[:-1], name=OLDER)
    changed = own(6).replace(b"noted", b"nited")
    written(tmp_path, b"\0\0", own(5, OTHER_NODE), b"\n", changed, own(7), own(8)[:-1])
    expected = Position().with_numbers(
        [(NODE, 1), (NODE, 2), (NODE, 3), (NODE, 4), (OTHER_NODE, 5), (NODE, 7)], ["theirs"]
    )
    assert plain_order.position(OS_DISK, tmp_path, PLAIN) == expected
    assert Position().after(reader.events(OS_DISK, tmp_path, PLAIN)) == expected


def rivals(*numbers):
    return [line_of({"n": n}, event_id="Z" * 26, seq=n) for n in numbers]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (2, 1, 3)])
def test_of_several_contents_of_one_id_the_least_is_served_where_the_first_stands(tmp_path, order):
    lines = rivals(*order)
    before, between = own(8), own(9)
    written(tmp_path, before, lines[0], between, *lines[1:])
    assert read(tmp_path) == [before, min(lines), between]


def test_event_whose_id_comes_again_is_served_once_where_it_first_stands(tmp_path):
    lines = [own(seq) for seq in range(1, 5)]
    foreign = b'{"event_id":"Z","event_type":"a"}\n'
    written(tmp_path, *lines[:2], name=OLDEST)
    written(tmp_path, lines[2], foreign, lines[1], name=OLDER)
    written(tmp_path, lines[3], foreign, lines[2])
    assert read(tmp_path) == [lines[0], lines[1], lines[2], foreign, lines[3]]


def test_lines_of_ours_are_decoded_alike_alone_and_among_others(tmp_path):
    lines = [own(1), own(2)]
    written(tmp_path, *lines)
    assert read(tmp_path) == lines
    written(tmp_path, *lines, b"bad\n", FOREIGN)
    assert read(tmp_path) == [*lines, FOREIGN]


def test_unfinished_line_is_no_event_though_it_is_whole_but_for_its_newline(tmp_path):
    written(tmp_path, own(1)[:-1])
    assert read(tmp_path) == []
    (tmp_path / CURRENT).rename(tmp_path / OLDEST)
    (event,) = reader.events(OS_DISK, tmp_path, PLAIN)
    assert event.seq == 1


def test_cursor_is_closed_once(tmp_path):
    written(tmp_path, own(1))
    closed = []

    class Noting(type(OS_DISK)):
        def close_quietly(self, descriptor):
            closed.append(descriptor)
            super().close_quietly(descriptor)

    disk = Noting()
    descriptor = disk.open_read(tmp_path / CURRENT)
    cursor = reader.Cursor(disk, CURRENT, descriptor)
    assert list(cursor.rest()) == []
    cursor.close()
    cursor.close()
    assert closed == [descriptor]
