"""A follower call by call: what it asks of the disk, waits for and syncs, where it begins."""

import os
from threading import Event as Signal

import pytest
from tests.events import line_of
from tests.log.processes import descriptors

from thence.core.vocabulary import PLAIN
from thence.log.files.disk import READ_BYTES, Disk
from thence.log.read.follower import Follower

OLDEST = "events_2026-11-18_07-13-05-000000.jsonl"
OLDER = "events_2026-11-19_07-13-05-000000.jsonl"
CURRENT = "events.jsonl"


class NotingDisk(Disk):
    """Notes what is opened, read and synced; a test can step in between."""

    def __init__(self):
        self.calls = []
        self.before = {}

    def _note(self, *call):
        self.calls.append(call)
        self.before.pop(call[0], lambda: None)()

    def taken(self, *names):
        """Return the calls of these names since the last time, and forget all."""
        calls, self.calls = self.calls, []
        return [call for call in calls if call[0] in names]

    def path_id(self, path):
        found = super().path_id(path)
        self._note("path_id", os.path.basename(path))
        return found

    def names(self, folder):
        found = super().names(folder)
        self._note("names")
        return found

    def open_read(self, path):
        self._note("open_read", path.name)
        return super().open_read(path)

    def read_at(self, descriptor, offset, size):
        self._note("read_at", offset, size)
        return super().read_at(descriptor, offset, size)

    def sync_data(self, descriptor):
        self._note("sync_data")
        super().sync_data(descriptor)


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
    return NotingDisk()


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


def test_wait_looks_every_30_ms_until_there_are_news_or_it_is_stopped(tmp_path, follower):
    stop = Looks(3)
    assert follower.wait(stop) is False
    assert stop.asked == [0.03] * 4
    (tmp_path / CURRENT).write_bytes(line_of())
    stop = Looks(3)
    assert follower.wait(stop) is True
    assert stop.asked == [0.03]
    stop.asked = [0.0] * 3
    assert follower.wait(stop) is False


def test_look_at_an_idle_log_costs_two_stats_and_opens_nothing(tmp_path, disk, follower):
    (tmp_path / CURRENT).write_bytes(line_of({"n": 1}))
    assert told(follower.events()) == [1]
    disk.taken()
    assert not has_news(follower)
    assert disk.calls == [("path_id", CURRENT)]


def test_news_are_growth_another_file_or_a_line_that_may_be_written_over(tmp_path, follower):
    path = tmp_path / CURRENT
    assert not has_news(follower)
    first, second, third, fourth = numbered(4)
    path.write_bytes(first)
    assert has_news(follower)
    assert told(follower.events()) == [1]
    assert not has_news(follower)
    add(path, second[:-5])
    assert has_news(follower)
    assert list(follower.events()) == []
    assert has_news(follower)  # it is not whole, and may be written over
    add(path, second[-5:])
    assert told(follower.events()) == [2]
    assert not has_news(follower)
    path.rename(tmp_path / OLDER)
    assert not has_news(follower)
    add(tmp_path / OLDER, third)
    assert has_news(follower)  # what is read now has grown, whatever its name
    path.write_bytes(fourth)
    assert has_news(follower)
    assert told(follower.events()) == [3, 4]
    assert not has_news(follower)


def test_what_was_read_is_not_read_again(tmp_path, disk, follower):
    path = tmp_path / CURRENT
    path.write_bytes(first := line_of({"n": 1}))
    assert told(follower.events()) == [1]
    assert disk.taken("read_at") == [
        ("read_at", 0, READ_BYTES),
        ("read_at", len(first), READ_BYTES),
    ]
    add(path, second := line_of({"n": 2}))
    assert told(follower.events()) == [2]
    size = len(first + second)
    assert disk.taken("read_at") == [
        ("read_at", len(first) - 1, 1),
        ("read_at", len(first), READ_BYTES),
        ("read_at", size, READ_BYTES),
    ]


def test_segment_is_opened_once_and_known_after_its_rotation(tmp_path, disk, follower):
    path = tmp_path / CURRENT
    lines = numbered(3)
    (tmp_path / OLDEST).write_bytes(lines[0])
    path.write_bytes(lines[1])
    assert told(follower.events()) == [1, 2]
    # once to read it, and once more to know it by its beginning
    assert ("read_at", 0, 256) in disk.calls
    opened = [name for _, name in disk.taken("open_read")]
    assert opened == [CURRENT, OLDEST, CURRENT, OLDEST]
    assert list(follower.events()) == []
    path.rename(tmp_path / OLDER)
    assert list(follower.events()) == []
    assert disk.taken("open_read") == []
    path.write_bytes(lines[2])
    assert told(follower.events()) == [3]
    for _ in range(3):
        assert list(follower.events()) == []
    assert disk.taken("open_read") == [("open_read", CURRENT), ("open_read", OLDER)]


def test_log_that_is_not_there_is_not_opened(disk, tmp_path):
    with Follower(disk, tmp_path / "gone", PLAIN) as follower:
        assert list(follower.events()) == []
        follower.skip_to_last(1)
        assert list(follower.events()) == []
    assert disk.taken("open_read") == []


def test_last_line_of_an_older_segment_is_whole_without_its_newline(tmp_path, follower):
    first, second, third = numbered(3)
    (tmp_path / OLDER).write_bytes(first + second[:-1])
    (tmp_path / CURRENT).write_bytes(third)
    assert told(follower.events()) == [1, 2, 3]


def test_file_that_comes_back_under_another_name_is_not_read_twice(tmp_path, disk, follower):
    path, aside = tmp_path / CURRENT, tmp_path / "aside"
    first, second = numbered(2)
    path.write_bytes(first)
    assert told(follower.events()) == [1]
    aside.write_bytes(second)

    def swap():
        path.rename(tmp_path / "first")
        aside.rename(path)

    def swap_back():
        path.rename(aside)
        (tmp_path / "first").rename(path)

    swap()
    disk.taken()
    disk.before["open_read"] = swap_back  # between the look at the path and its opening
    assert list(follower.events()) == []
    assert ("read_at", 0, READ_BYTES) not in disk.calls
    assert ("open_read", CURRENT) in disk.calls
    assert len(descriptors(tmp_path)) == 1


def test_follower_syncs_only_when_asked_and_what_it_has_not_synced(tmp_path, disk, follower):
    path = tmp_path / CURRENT
    lines = numbered(4)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:-5])
    assert told(follower.events()) == [1, 2]
    assert disk.taken("sync_data") == []
    with Follower(disk, tmp_path, PLAIN, is_durable=True) as durable:
        assert told(durable.events()) == [1, 2]
        assert len(disk.taken("sync_data")) == 1  # it holds for the unfinished line too
        assert list(durable.events()) == []
        assert disk.taken("sync_data") == []
        # what comes during a sync is not known to be on the device
        disk.before["sync_data"] = lambda: add(path, lines[3])
        add(path, lines[2][-5:])
        assert told(durable.events()) == [3, 4]
        assert len(disk.taken("sync_data")) == 2
        add(path, *numbered(1, 5))
        assert told(durable.events()) == [5]
        assert len(disk.taken("sync_data")) == 1


def test_file_cut_in_place_is_read_and_synced_from_its_start(tmp_path, disk):
    path = tmp_path / CURRENT
    path.write_bytes(b"".join(numbered(3)))
    with Follower(disk, tmp_path, PLAIN, is_durable=True) as follower:
        assert told(follower.events()) == [1, 2, 3]
        os.truncate(path, 0)
        add(path, *numbered(1, 4))
        disk.taken()
        assert told(follower.events()) == [4]
        assert len(disk.taken("sync_data")) == 1


def followed(tmp_path, disk, stop, is_durable=False):
    with Follower(disk, tmp_path, PLAIN, is_durable) as follower:
        return list(follower.follow(stop))


class Stopped(Looks):
    """Is set when it was waited for so many times."""

    def is_set(self):
        return len(self.asked) > self.count


def test_follow_serves_what_comes_between_its_looks_until_it_is_stopped(tmp_path, disk):
    path = tmp_path / CURRENT
    lines = numbered(3)
    path.write_bytes(lines[0])

    class Growing(Stopped):
        def wait(self, timeout=None):
            add(path, lines[len(self.asked) + 1]) if len(self.asked) < 2 else None
            return super().wait(timeout)

    stop = Growing(3)
    assert told(followed(tmp_path, disk, stop)) == [1, 2, 3]
    assert stop.asked == [0.03] * 4
    assert disk.taken("sync_data") == []
    assert told(followed(tmp_path, disk, Stopped(0), is_durable=True)) == [1, 2, 3]
    assert len(disk.taken("sync_data")) == 1


@pytest.mark.parametrize("count", range(7))
def test_follower_goes_to_the_last_events_of_whatever_tool(tmp_path, disk, count):
    lines = numbered(3)
    foreign = b'{"event_id":"theirs"}\n'
    parts = [lines[0], b"bad\n", lines[1], foreign, b"\n", lines[2], b"bad too\n", b'{"event']
    (tmp_path / CURRENT).write_bytes(b"".join(parts))
    with Follower(disk, tmp_path, PLAIN) as follower:
        follower.skip_to_last(count)
        disk.taken()
        served = [event.line + b"\n" for event in follower.events()]
    begin = {0: 7, 1: 5, 2: 3, 3: 2}.get(count, 0)
    assert served == [part for part in parts[begin:7] if part in (*lines, foreign)]
    reads = [offset for _, offset, size in disk.taken("read_at") if size == READ_BYTES]
    assert reads[0] == len(b"".join(parts[:begin]))


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
