"""Arrivals of an index, in the order of the files; readers that go on pay for what is new."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice, takewhile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.disks import ReadingDisk
from tests.log.index.asked import lines as random_lines
from tests.log.index.logs import add, index_of, new_index, rotate
from tests.log.index.test_builder import foreign_lines, own_lines
from tests.plain_order import events_after
from tests.tiers import examples

import thence
from thence.core.event import Event
from thence.core.new_event import Position
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.index import arrivals
from thence.log.read import reader


@pytest.mark.parametrize("of_types", ["", arrivals._OF_TYPES])
def test_no_question_scans_events_or_sorts_them(tmp_path: Path, of_types: str) -> None:
    def plan(connection) -> list[str]:
        sql = f"EXPLAIN QUERY PLAN {arrivals._BETWEEN}{of_types} ORDER BY arrival"
        bounds = {"after": 3, "until": 50, "types": "[]"}
        return [row[3] for row in connection.execute(sql, bounds)]

    with index_of(tmp_path) as index:
        told = index.answer(plan)
    assert told[0].endswith("(rowid>? AND rowid<?)"), told
    assert not any("TEMP" in step or "SCAN events" in step for step in told), told


def test_empty_log_is_read_on_from_its_start(tmp_path: Path) -> None:
    with index_of(tmp_path) as index:
        for place in (None, 0, 3):
            assert arrivals.after(index, place) == ((), None, False)


behind = partial(arrivals.behind, last_prune=lambda: None)
unread = partial(arrivals.unread, last_prune=lambda: None)


def served(batches: Iterator[Sequence[Event]]) -> list[Event]:
    """Returns the events up to the first empty batch, which is the end of what is there."""
    return [event for batch in takewhile(bool, batches) for event in batch]


def of_what_is_served(whole: Position, events: list[Event]) -> Position:
    """Returns a position without the ids that only another line of a served id has."""
    foreign = frozenset(event.event_id for event in events if event.is_foreign)
    return Position(whole.intervals, foreign)


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
    with new_index(bits) as (folder, index), pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "_UNREAD_EVENTS", data.draw(st.integers(1, 4)))
        patch.setattr(arrivals, "BATCH_EVENTS", data.draw(st.integers(1, 9)))
        patch.setattr(arrivals, "BATCH_BYTES", data.draw(st.sampled_from([1, 500, 100_000])))
        where = OS_DISK, folder, PLAIN
        for number, batch in enumerate(batches):
            add(folder, batch)
            if data.draw(st.booleans()):
                rotate(folder, number)
            events = list(reader.events(*where))
            assert served(behind(index, None)) == events
            for event in events:
                after = event.event_id
                if "\ud83e" not in after:
                    assert served(behind(index, after)) == list(events_after(*where, after))
            for last in (0, data.draw(st.integers(1, 9)), 700):
                found = arrivals.after(index, last)
                due = events[-last:] if last else []
                assert list(found.events) == due[: min(len(found.events), arrivals.BATCH_EVENTS)]
                assert found.has_more == (len(found.events) < len(due))
                assert bool(found.events) == bool(due)
                ends = found.events or events[-1:]
                assert found.last_id == (ends[-1].event_id if ends else None)
            some = data.draw(st.lists(st.sampled_from(events))) if events else []
            whole = plain_order.position(*where)
            assert arrivals.position(index, frozenset) == of_what_is_served(whole, events)
            for position in (whole, Position(), Position().after(some)):
                assert served(unread(index, position)) == list(events_after(*where, position))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[thence.Log, ReadingDisk, int]]:
    """Opens a log of 12,000 events with an index, by a disk that counts what it reads."""
    with thence.open(tmp_path) as writer:
        writer.append_many([thence.NewEvent("a", {"n": n}, subject="s") for n in range(12_000)])
        writer.rebuild()
    disk = ReadingDisk()
    with thence.log.open.open_host_log(tmp_path, disk=disk) as opened:
        yield opened, disk, opened.current_file.stat().st_size


@pytest.mark.promise("A7")
def test_whoever_goes_on_reads_little_beyond_what_is_new(log):
    opened, disk, size = log
    since = opened.position()
    last = opened.resolve("@last")

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
        with closing(log.follow(after=after)) as following:
            assert [next(following), next(following)] == events[1:3]
            new = log.append("b")
            assert next(following) == new
            with log.current_file.open("ab") as segment:
                segment.write(events[1].line + b"\n")  # it came before
            last = log.append("c")
            assert next(following) == last
