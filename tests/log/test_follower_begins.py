"""Where a follower begins: at the last events, behind an event, in whatever segments are there."""

import pytest
from tests.events import event_of, new_id
from tests.log.errors import raised
from tests.log.processes import descriptors
from tests.log.test_follower_facts import (
    CURRENT,
    OLDER,
    OLDEST,
    NotingDisk,
    Stopped,
    add,
    numbered,
    told,
)

from thence.answers import Answers
from thence.core.values.position import Position
from thence.core.values.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.log.read.follower import Follower, LiveCursor
from thence.log.storage.disk import OS_DISK


@pytest.fixture
def disk():
    return NotingDisk()


@pytest.fixture
def follower(tmp_path, disk):
    with Follower(disk, tmp_path, PLAIN) as made:
        yield made


@pytest.mark.parametrize("count", range(7))
def test_cursor_goes_to_the_last_events_and_says_how_many_are_missing(tmp_path, count):
    lines = numbered(3)
    foreign = b'{"event_id":"theirs"}\n'
    parts = [lines[0], b"bad\n", lines[1], foreign, b"\n", lines[2], b"bad too\n", b'{"event']
    path = tmp_path / CURRENT
    path.write_bytes(b"".join(parts))
    cursor = LiveCursor(OS_DISK, CURRENT, OS_DISK.open_read(path))
    missing = cursor.skip_to_last(count, PLAIN)
    assert missing == max(0, count - 4)
    assert type(missing) is int
    begin = {0: 7, 1: 5, 2: 3, 3: 2}.get(count, 0)
    (block,) = cursor.blocks() if count else [None]
    if block is not None:
        assert (block.offset, block.data + b"\n") == (
            len(b"".join(parts[:begin])),
            b"".join(parts[begin:7]),
        )
    cursor.close()


@pytest.mark.parametrize("count", range(7))
def test_follower_begins_at_the_last_events_of_all_segments(tmp_path, follower, count):
    lines = numbered(5)
    (tmp_path / OLDEST).write_bytes(b"".join(lines[:2]))
    (tmp_path / OLDER).write_bytes(b"".join(lines[2:4]))
    (tmp_path / CURRENT).write_bytes(lines[4])
    follower.skip_to_last(count)
    assert len(descriptors(tmp_path)) == 1
    assert told(follower.events()) == [1, 2, 3, 4, 5][5 - min(count, 5) :]
    add(tmp_path / CURRENT, *numbered(1, 6))
    assert told(follower.events()) == [6]


@pytest.mark.parametrize("count", range(4))
def test_follower_begins_in_the_older_segments_where_there_is_no_current_one(
    tmp_path, follower, count
):
    lines = numbered(4)
    (tmp_path / OLDEST).write_bytes(lines[0])
    (tmp_path / OLDER).write_bytes(b"".join(lines[1:3]))
    follower.skip_to_last(count)
    assert told(follower.events()) == [1, 2, 3][3 - count :]
    (tmp_path / CURRENT).write_bytes(lines[3])
    assert told(follower.events()) == [4]


def test_segment_that_vanishes_as_the_follower_begins_is_passed_over(tmp_path, disk, follower):
    first, second, third = numbered(3)
    (tmp_path / OLDER).write_bytes(first)
    (tmp_path / CURRENT).write_bytes(second)
    disk.before["names"] = (tmp_path / OLDER).unlink
    follower.skip_to_last(0)
    assert list(follower.events()) == []
    add(tmp_path / CURRENT, third)
    assert told(follower.events()) == [3]


def test_older_segment_that_vanishes_brings_back_none_of_those_behind_it(tmp_path, disk, follower):
    lines = numbered(3)
    for name, line in zip((OLDEST, OLDER, CURRENT), lines, strict=True):
        (tmp_path / name).write_bytes(line)
    disk.before["names"] = (tmp_path / OLDEST).unlink
    follower.skip_to_last(1)
    assert told(follower.events()) == [3]


def test_follow_begins_behind_an_event_and_says_which_it_did_not_find(tmp_path):
    lines = numbered(3)
    (tmp_path / CURRENT).write_bytes(b"".join(lines))
    events = [event_of(line) for line in lines]
    for count in range(1, 4):
        after = events[count - 1].event_id
        assert behind(tmp_path, after) == events[count:]
        position = Position().after(events[:count])
        assert behind(tmp_path, position) == events[count:]
    gone = new_id()
    assert raised(lambda: behind(tmp_path, gone)) == (
        EventNotFound,
        "could not find the event",
        gone,
        f"no event of the log {tmp_path} has this id",
        "`thence log` lists the events",
    )
    assert descriptors(tmp_path) == []


def behind(folder, after):
    answers = Answers(OS_DISK, folder, PLAIN)
    events = list(answers.follow(after, Stopped(0), False))
    answers.close()
    return events
