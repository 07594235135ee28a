"""Arrivals of an index, in the order of the files; readers that go on pay for what is new."""

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.disks import ReadingDisk
from tests.events import line_of
from tests.log.index.asked import lines as random_lines
from tests.log.index.logs import add, index_of, rotate
from tests.log.index.test_builder import foreign_lines, own_lines
from tests.plain_order import events_after
from tests.tiers import examples

import thence
from thence.core.event import Event
from thence.core.new_event import Position
from thence.core.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.log.files.disk import OS_DISK
from thence.log.index import arrivals, zones
from thence.log.index.connection import Index
from thence.log.read import reader


def line(event_id: str, time: int) -> bytes:
    """Another tool's line; times are what such lines are ordered by."""
    told = b'{"event_id":"%b","event_type":"a","timestamp":"2026-11-20T07:%02d:00Z"}'
    return told % (event_id.encode(), time)


@pytest.fixture(params=["at once", "bit by bit"])
def made(request: pytest.FixtureRequest, tmp_path: Path):
    """A log whose order of arrival is not the total order, with ids that came twice."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ids = [f"e{number}" for number in chance.sample(range(1_000), 60)]
    times = {event_id: chance.randrange(60) for event_id in ids}
    repeated = [*ids[:20], *chance.sample(ids[:20], 5), *ids[20:], *chance.sample(ids, 9)]
    path = tmp_path / "events.jsonl"
    with Index(OS_DISK, tmp_path, PLAIN) as index, path.open("ab") as file:
        for event_id in repeated:
            file.write(line(event_id, times[event_id]) + b"\n")
            if request.param == "bit by bit" and chance.random() < 0.2:
                file.flush()
                index.refresh()
        file.flush()
        yield index, ids


def test_no_question_scans_events_or_sorts_them(made) -> None:
    index, _ = made

    def plan(connection) -> list[str]:
        sql = f"EXPLAIN QUERY PLAN {arrivals._BETWEEN}"
        return [row[3] for row in connection.execute(sql, {"after": 3, "until": 50})]

    told = index.answer(plan)
    assert not any("TEMP" in step or "SCAN" in step for step in told), told


def ids_of(found: arrivals.Arrived) -> list[str]:
    return [event.event_id for event in found.events]


def test_events_after_one_are_those_that_arrived_later(made) -> None:
    index, ids = made
    for first in range(60):
        assert ids_of(arrivals.after(index, ids[first])) == ids[first + 1 :]
    for place, expected in ((None, ids), (7, ids[-7:]), (0, []), (700, ids)):
        found = arrivals.after(index, place)
        assert (ids_of(found), found.last_id, found.has_more) == (expected, ids[-1], False)


@pytest.mark.parametrize(("name", "limit"), [("BATCH_EVENTS", 7), ("BATCH_BYTES", 500)])
def test_batches_follow_each_other(made, monkeypatch, name: str, limit: int) -> None:
    index, ids = made
    monkeypatch.setattr(arrivals, name, limit)
    found, after = list[str](), None
    while True:
        batch = arrivals.after(index, after)
        found += ids_of(batch)
        assert 1 <= len(batch.events) <= 7
        after = batch.last_id
        if not batch.has_more:
            break
    assert found == ids


def test_unknown_id_is_told(made) -> None:
    index, _ = made
    for asked in ("none", "\ud800"):
        with pytest.raises(EventNotFound):
            arrivals.after(index, asked)


def test_empty_log_is_read_on_from_its_start(tmp_path: Path) -> None:
    with Index(OS_DISK, tmp_path, PLAIN) as index:
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
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(zones, "ZONE_BITS", bits)
        patch.setattr(arrivals, "_UNREAD_EVENTS", data.draw(st.integers(1, 4)))
        folder = Path(name)
        add(folder, [])
        with index_of(folder) as index:
            for number, batch in enumerate(batches):
                add(folder, batch)
                if data.draw(st.booleans()):
                    rotate(folder, number)
                events = list(reader.events(OS_DISK, folder, PLAIN))
                where = OS_DISK, folder, PLAIN
                assert served(behind(index, None)) == events
                for event in events:
                    after = event.event_id
                    if "\ud83e" not in after:
                        assert served(behind(index, after)) == list(events_after(*where, after))
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


def test_lines_that_stand_twice_are_served_once_behind_a_cursor(tmp_path):
    line = line_of(seq=1, lamport_clock=1)
    add(tmp_path, [line, line_of(seq=2, lamport_clock=2), line])
    with index_of(tmp_path) as index:
        assert [event.seq for event in served(behind(index, None))] == [1, 2]
        first = served(behind(index, None))[0].event_id
        assert [event.seq for event in served(behind(index, first))] == [2]
