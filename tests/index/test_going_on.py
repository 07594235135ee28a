"""Readers that go on: they find what is new by the index, and pay for that alone."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.disks import ReadingDisk
from tests.events import line_of
from tests.index.asked import lines as random_lines
from tests.index.logs import add, index_of, rotate
from tests.index.test_builder import foreign_lines, own_lines
from tests.plain_order import events_after
from tests.tiers import examples

import thence
from thence.core.event import Event
from thence.core.values.new_event import Position
from thence.core.values.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.index import arrivals, zones
from thence.log.read import reader
from thence.log.read.follower import Follower
from thence.log.storage.disk import OS_DISK


@pytest.mark.promise("A7")
@settings(deadline=None, max_examples=examples(80), suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(
        random_lines(8) | st.lists(own_lines() | foreign_lines(), max_size=8),
        min_size=1,
        max_size=4,
    ),
    bits=st.integers(0, 3),
    data=st.data(),
)
def test_what_is_behind_an_event_or_a_position_is_what_a_reading_finds(batches, bits, data):
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(zones, "ZONE_BITS", bits)
        patch.setattr(arrivals, "_UNREAD_EVENTS", data.draw(st.integers(1, 4)))
        patch.setattr(arrivals, "_RANGES_MAX", data.draw(st.integers(0, 2)))
        folder = Path(name)
        add(folder, [])
        with index_of(folder) as index:
            for number, batch in enumerate(batches):
                add(folder, batch)
                if data.draw(st.booleans()):
                    rotate(folder, number)
                events = list(reader.events(OS_DISK, folder, PLAIN))
                where = OS_DISK, folder, PLAIN
                assert list(arrivals.behind(index, None)) == events
                for event in events:
                    after = event.event_id
                    if "\ud83e" not in after:
                        assert list(arrivals.behind(index, after)) == list(
                            events_after(*where, after)
                        )
                some = data.draw(st.lists(st.sampled_from(events))) if events else []
                whole = plain_order.position(*where)
                assert arrivals.position(index) == whole
                for position in (whole, Position(), Position().after(some)):
                    assert list(arrivals.unread(index, position)) == list(
                        events_after(*where, position)
                    )


def test_event_that_is_nowhere_is_told(tmp_path):
    with index_of(tmp_path) as index, Follower(OS_DISK, tmp_path, PLAIN) as follower:
        for ask in (
            lambda: list(arrivals.behind(index, "nobody")),
            lambda: list(arrivals.follow(index, follower, "nobody", Signal())),
        ):
            with pytest.raises(EventNotFound) as caught:
                ask()
            assert caught.value.place == "nobody"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[thence.Log, ReadingDisk, int]]:
    """Opens a log of 12,000 events with an index, by a disk that counts what it reads."""
    with thence.open(tmp_path) as writer:
        writer.append_many([thence.NewEvent("a", {"n": n}, subject="s") for n in range(12_000)])
        writer.rebuild()
    disk = ReadingDisk()
    with thence.replica.open_host_log(tmp_path, disk=disk) as opened:
        yield opened, disk, opened.current_file.stat().st_size


@pytest.mark.promise("A7")
def test_whoever_goes_on_reads_little_beyond_what_is_new(log):
    opened, disk, size = log
    since = opened.position()
    last = opened.find("@last")

    def follow(after: Position | Event) -> Event:
        return next(opened.follow(after=after))

    ways = {
        "position": opened.position,
        "read behind a position": lambda: list(opened.read(after=since)),
        "read behind an event": lambda: list(opened.read(after=last)),
        "follow behind a position": lambda: follow(since),
        "follow behind an event": lambda: follow(last),
        "heads": lambda: opened.heads("other"),
        "guarded append": lambda: opened.append(
            "b", guard=thence.Unchanged(since, {"watched"}), subject="t"
        ),
        "the first of all": lambda: list(islice(opened.read(), 5)),
    }
    for name, way in ways.items():
        with thence.open(opened.folder) as another:
            another.append("new", subject="other")
        disk.read_bytes = 0
        way()
        assert disk.read_bytes < size / 2, name


@pytest.mark.promise("A7")
@pytest.mark.parametrize("is_indexed", [False, True])
def test_index_that_has_fallen_behind_leaves_nothing_out(tmp_path, is_indexed):
    with thence.open(tmp_path) as log:
        first = log.append("a", subject="s")
        if is_indexed:
            log.rebuild()
        with thence.open(tmp_path) as another:
            since = log.position()
            later = another.append("b", subject="s", caused_by=[first])
            assert list(log.read()) == [first, later]
            assert list(log.read(after=since)) == list(log.read(after=first)) == [later]
            assert log.heads("s") == (later,)
            assert log.position() == Position().after([first, later])
            with pytest.raises(thence.HeadsMoved):
                log.append("c", subject="s", guard=thence.Unchanged(since, {"s"}))


@pytest.mark.promise("A7")
@pytest.mark.parametrize("by_event", [False, True])
def test_follower_goes_on_from_the_index_with_what_comes(tmp_path, by_event):
    with thence.open(tmp_path) as log:
        events = log.append_many([{"event_type": "a"}] * 3)
        after = events[0] if by_event else Position().after(events[:1])
        with closing(log.follow(after=after, sync=True)) as following:
            assert [next(following), next(following)] == events[1:3]
            new = log.append("b")
            assert next(following) == new
            with log.current_file.open("ab") as segment:
                segment.write(events[1].line + b"\n")  # it came before
            last = log.append("c")
            assert next(following) == last


def test_lines_that_stand_twice_are_served_once_behind_a_cursor(tmp_path):
    line = line_of(seq=1, lamport_clock=1)
    add(tmp_path, [line, line_of(seq=2, lamport_clock=2), line])
    with index_of(tmp_path) as index:
        assert [event.seq for event in arrivals.behind(index, None)] == [1, 2]
        first = next(arrivals.behind(index, None)).event_id
        assert [event.seq for event in arrivals.behind(index, first)] == [2]
