"""A follower call by call: what it asks of the disk, waits for and syncs, where it begins."""

from threading import Event as Signal

import pytest
from tests.disks import Scripted
from tests.events import line_of

from thence.core.vocabulary import PLAIN
from thence.log.files.disk import READ_BYTES
from thence.log.read.reader import Follower

OLDEST = "events_2026-11-18_07-13-05-000000.jsonl"
OLDER = "events_2026-11-19_07-13-05-000000.jsonl"
CURRENT = "events.jsonl"


def read(disk):
    """Returns where and how much was read since the last time."""
    places = [call[2:] for call in disk.calls if call[0] == "read_at"]
    disk.calls.clear()
    return places


class Looks(Signal):
    """A stop that comes after so many waits, none of which lasts."""

    def __init__(self, count):
        super().__init__()
        self.count = count
        self.asked = []

    def wait(self, timeout=None):
        self.asked.append(timeout)
        return len(self.asked) > self.count


@pytest.fixture
def disk():
    return Scripted()


@pytest.fixture
def follower(tmp_path, disk):
    with Follower(disk, tmp_path, PLAIN) as made:
        yield made


def numbered(count, first=1):
    """Make lines of one length, whose payload tells their number."""
    return [line_of({"n": n}, seq=n, lamport_clock=n) for n in range(first, first + count)]


def told(events):
    return [event.payload["n"] for event in events]


def has_news(follower):
    return follower.wait(Looks(1))


def add(path, *lines):
    with path.open("ab") as file:
        file.write(b"".join(lines))


def test_look_at_an_idle_log_costs_one_stat_and_opens_nothing(tmp_path, disk, follower):
    (tmp_path / CURRENT).write_bytes(line_of({"n": 1}))
    assert told(follower.events()) == [1]
    disk.calls.clear()
    assert not has_news(follower)
    assert [name for name, _ in disk.calls] == ["path_state"]


def test_what_was_read_is_not_read_again(tmp_path, disk, follower):
    path = tmp_path / CURRENT
    path.write_bytes(first := line_of({"n": 1}))
    assert told(follower.events()) == [1]
    assert read(disk) == [(0, READ_BYTES), (len(first), READ_BYTES)]
    add(path, second := line_of({"n": 2}))
    assert told(follower.events()) == [2]
    size = len(first + second)
    assert read(disk) == [(len(first), READ_BYTES), (size, READ_BYTES)]


def test_segment_that_vanishes_as_the_follower_begins_is_passed_over(tmp_path, disk, follower):
    first, second, third = numbered(3)
    (tmp_path / OLDER).write_bytes(first)
    (tmp_path / CURRENT).write_bytes(second)
    disk.after["names"] = lambda _: (tmp_path / OLDER).unlink(missing_ok=True)
    follower.skip_to_last(0)
    assert list(follower.events()) == []
    add(tmp_path / CURRENT, third)
    assert told(follower.events()) == [3]


def test_older_segment_that_vanishes_brings_back_none_of_those_behind_it(tmp_path, disk, follower):
    lines = numbered(3)
    for name, line in zip((OLDEST, OLDER, CURRENT), lines, strict=True):
        (tmp_path / name).write_bytes(line)
    disk.after["names"] = lambda _: (tmp_path / OLDEST).unlink(missing_ok=True)
    follower.skip_to_last(1)
    assert told(follower.events()) == [3]
