"""Events of an index in arrival order: between two, behind one, or behind a position.

An id keeps the arrival of its first line, even if another of its lines is served.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from threading import Event as Signal
from typing import NamedTuple

from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.new_event import Intervals, Position
from thence.core.pruned import PRUNED, pruned_by
from thence.errors import EventNotFound
from thence.log.index.connection import Index
from thence.log.index.lookup import arrival_of, event_at, event_count, events_at
from thence.log.index.rows import TOTAL_ORDER_DESCENDING
from thence.log.index.segments import Extent
from thence.log.index.zones import zone_arrivals, zones_of_numbers
from thence.log.read.reader import Follower, LastPrune, never_pruned

BATCH_EVENTS = 10_000
BATCH_BYTES = 256 * 1024

_BETWEEN = """
    SELECT length, segment, offset, event_id FROM events
    WHERE arrival > :after AND arrival <= :until ORDER BY arrival
"""
# one id at a time: SQLite's JSON cuts a text at its first NUL
_ARRIVED = "SELECT 1 FROM events WHERE event_id = :event_id AND arrival <= :until"
_NEWEST = "SELECT event_id FROM events ORDER BY arrival DESC LIMIT 1"
_CLOCK = "SELECT max(lamport) FROM events"
_RUNS = "SELECT node, first, last FROM number_runs ORDER BY node, first"
# lines of other tools have no number
_STRANGERS = "SELECT arrival, event_id FROM events INDEXED BY strangers WHERE seq = 0"
_PRUNES = f"""
    SELECT arrival FROM events WHERE type = 'log.{PRUNED}' ORDER BY {TOTAL_ORDER_DESCENDING}
"""
# the events of a position that are looked up at once
_UNREAD_EVENTS = 512
# more ranges of numbers than this within a zone are compared by reading its events
_RANGES_MAX = 100


class Arrived(NamedTuple):
    """Events in arrival order; `has_more` reports that others follow."""

    events: tuple[Event, ...]
    has_more: bool


class Newest(NamedTuple):
    """The event that arrived last, None in an empty log, and the highest Lamport clock of all."""

    event_id: str | None
    clock: int


def between(index: Index, after: str | int | None, until: str | None) -> Arrived:
    """Returns the first events that arrived after one event, up to and with another.

    A number for `after` selects the last so many. The result is empty if `after` arrived later
    than `until`, or if `until` is None. Raises EventNotFound, `read_failed`.
    """

    def work(connection: sqlite3.Connection) -> Arrived:
        last = arrival_of(index, connection, until) if until is not None else 0
        first = max(0, last - after) if isinstance(after, int) else 0
        if isinstance(after, str):
            first = arrival_of(index, connection, after)
        return batch(index, connection, first, last)

    return index.answer(work)


def batch(index: Index, connection: sqlite3.Connection, after: int, last: int) -> Arrived:
    """Returns the first events behind one arrival, up to another: as many as one batch holds."""
    if after >= last:
        return Arrived((), False)
    bounds = {"after": after, "until": min(last, after + BATCH_EVENTS)}  # none is left out
    size, extents = 0, list[Extent]()
    for length, *extent, event_id in connection.execute(_BETWEEN, bounds):
        size += length
        if extents and size > BATCH_BYTES:
            break
        extents.append((*extent, length, event_id))
    return Arrived(tuple(index.fetch(connection, extents)), after + len(extents) < last)


def known(index: Index, ids: Collection[str], until: str) -> set[str]:
    """Returns those ids that had arrived up to an event. Raises EventNotFound, `read_failed`."""

    def work(connection: sqlite3.Connection) -> set[str]:
        last = arrival_of(index, connection, until)

        def has_arrived(event_id: str) -> bool:
            values = {"event_id": event_id, "until": last}
            return connection.execute(_ARRIVED, values).fetchone() is not None

        return {event_id for event_id in ids if is_utf8(event_id) and has_arrived(event_id)}

    return index.answer(work)


def newest(index: Index) -> Newest:
    """Returns the event that arrived last. Raises `read_failed`."""

    def work(connection: sqlite3.Connection) -> Newest:
        row = connection.execute(_NEWEST).fetchone()
        clock = connection.execute(_CLOCK).fetchone()[0]
        return Newest(row[0], clock) if row else Newest(None, 0)

    return index.answer(work)


def behind(
    index: Index,
    event_id: str | None,
    until: str | None = None,
    last_prune: LastPrune = never_pruned,
) -> Iterator[Event]:
    """Yields the events that arrived behind one, all for None, up to and with `until`.

    Without `until` those that come meanwhile too. Where a prune overtakes the reader its notice
    comes first. Raises EventNotFound, `read_failed`.
    """

    def work(last_id: str | None, connection: sqlite3.Connection) -> Sequence[Event]:
        first = arrival_of(index, connection, last_id) if last_id is not None else 0
        return batch(index, connection, first, _last(index, connection, until)).events

    return _in_batches(index, work, event_id, last_prune)


def _in_batches(
    index: Index,
    work: Callable[[str | None, sqlite3.Connection], Sequence[Event]],
    event_id: str | None,
    last_prune: LastPrune,
) -> Iterator[Event]:
    """Yields the events behind one, batch after batch.

    Where a prune took the last of a batch its notice comes, then all that is left: it arrived
    after all that was pruned.
    """
    last: Event | None = None
    while True:
        try:
            events = index.answer(partial(work, event_id))
        except EventNotFound:
            notice = last_prune() if last else None
            if not last or not notice or not pruned_by(notice).holds(last.node_id, last.seq):
                raise
            yield notice
            rest = _in_batches(index, work, None, last_prune)
            yield from (event for event in rest if event != notice)
            return
        if not events:
            return
        yield from events
        last = events[-1]
        event_id = last.event_id


def _last(index: Index, connection: sqlite3.Connection, until: str | None) -> int:
    return event_count(connection) if until is None else arrival_of(index, connection, until)


def unread(
    index: Index,
    position: Position,
    until: str | None = None,
    last_prune: LastPrune = never_pruned,
) -> Iterator[Event]:
    """Yields the events behind a position, in arrival order, as `behind` does.

    The notice of a prune that took some of them comes first. Only zones that may hold numbers
    behind the position are searched. Raises `read_failed`.
    """

    def work(last_id: str | None, connection: sqlite3.Connection) -> Sequence[Event]:
        after = arrival_of(index, connection, last_id) if last_id is not None else 0
        last = _last(index, connection, until)
        arrivals = _unread_arrivals(connection, position, after)
        return events_at(index, connection, [arrival for arrival in arrivals if arrival <= last])

    events = _in_batches(index, work, None, last_prune)
    first = next(events, None)
    # asked for after the first batch: a later prune takes none of what is yet to come unnoticed
    notice = last_prune()
    if notice and not position.holds(notice) and not pruned_by(notice).is_held_by(position):
        yield notice
        position = position.after([notice])
    for event in chain([first] if first else [], events):
        if not position.holds(event):
            yield event


def _unread_arrivals(connection: sqlite3.Connection, position: Position, after: int) -> list[int]:
    """Returns the arrivals behind one of the first events that a position may not hold."""
    zones = zones_of_numbers(connection, _unread_numbers(connection, position))
    strangers = sorted(
        arrival
        for arrival, event_id in connection.execute(_STRANGERS)
        if arrival > after and event_id not in position.foreign
    )
    arrivals: list[int] = []
    for number, ranges in zones.items():
        first, last = zone_arrivals(number)
        if last <= after or len(arrivals) >= _UNREAD_EVENTS:
            continue
        is_exact = len(ranges) <= _RANGES_MAX
        condition = " OR ".join(["node = ? AND seq BETWEEN ? AND ?"] * len(ranges))
        sql = (
            f"SELECT arrival FROM events WHERE arrival BETWEEN {max(first, after + 1)} AND {last}"
            f" AND ({condition if is_exact else 'TRUE'}) ORDER BY arrival LIMIT {_UNREAD_EVENTS}"
        )
        values = chain.from_iterable(ranges) if is_exact else ()
        arrivals += [arrival for (arrival,) in connection.execute(sql, tuple(values))]
    return sorted({*arrivals, *strangers})[:_UNREAD_EVENTS]


def _unread_numbers(
    connection: sqlite3.Connection, position: Position
) -> Iterator[tuple[str, int, int]]:
    """Yields the numbers that lines of the log have and a position does not hold, as ranges."""
    for node_id, runs in _runs(connection).items():
        held = position.intervals.get(node_id, ())
        at = 0
        for first, last in runs:
            begin = first
            while at < len(held) and held[at][1] < begin:
                at += 1
            step = at
            while step < len(held) and held[step][0] <= last:
                if held[step][0] > begin:
                    yield node_id, begin, held[step][0] - 1
                begin = max(begin, held[step][1] + 1)
                step += 1
            if begin <= last:
                yield node_id, begin, last


def _runs(connection: sqlite3.Connection) -> Mapping[str, Intervals]:
    runs: dict[str, Intervals] = {}
    for node_id, first, last in connection.execute(_RUNS):
        runs[node_id] = (*runs.get(node_id, ()), (first, last))
    return runs


def position(index: Index, own_nodes: Callable[[], Collection[str]]) -> Position:
    """Returns the position behind all that is there and all that was pruned.

    `own_nodes` returns the nodes that wrote the log. Raises `read_failed`.
    """

    def work(connection: sqlite3.Connection) -> Position:
        numbers = _runs(connection)
        notice = _last_prune(index, own_nodes, connection)
        if notice is not None:
            numbers = pruned_by(notice).with_numbers(numbers)
        strangers = connection.execute(_STRANGERS).fetchall()
        # an escape may stand for half a character
        doubtful = [arrival for arrival, event_id in strangers if "\\" in event_id]
        events = events_at(index, connection, doubtful) if doubtful else []
        ids = {event_id for _, event_id in strangers if "\\" not in event_id}
        return Position(numbers, frozenset(ids.union(event.event_id for event in events)))

    return index.answer(work)


def last_prune(index: Index, own_nodes: Callable[[], Collection[str]]) -> Event | None:
    """Returns the last notice of a prune that one of a log's own nodes wrote."""
    return index.answer(partial(_last_prune, index, own_nodes))


def _last_prune(
    index: Index, own_nodes: Callable[[], Collection[str]], connection: sqlite3.Connection
) -> Event | None:
    notices = connection.execute(_PRUNES).fetchall()
    nodes = own_nodes() if notices else ()
    for (arrival,) in notices:
        event = event_at(index, connection, arrival)
        if event.node_id in nodes and not event.is_foreign:
            return event
    return None


def follow(
    index: Index,
    follower: Follower,
    after: Position | str,
    stop: Signal,
    last_prune: LastPrune = never_pruned,
) -> Iterator[Event]:
    """Yields the events behind a position or an event's id, until `stop` is set.

    The index has those that are there; the follower, which has served none, finds those that
    come. Raises EventNotFound, OutcomeUnknown, `read_failed`.
    """

    def told() -> Event | None:
        if notice := last_prune():
            follower.take(notice)
        return notice

    follower.skip_to_last(0)  # before the index reads, so that it has all events in between
    until, clock = newest(index)
    follower.sync()
    if isinstance(after, str):
        index.answer(lambda connection: arrival_of(index, connection, after))
    if until is not None:
        try:
            events = (
                unread(index, after, until, told)
                if isinstance(after, Position)
                else behind(index, after, until, told)
            )
            for event in events:
                if stop.is_set():
                    return
                yield event
        except EventNotFound as error:
            notice = last_prune()
            is_pruned = notice is not None and pruned_by(notice).may_hold(until)
            if error.place != until or not is_pruned:
                raise  # else the follower has all that is left, and tells of the prune
    while not stop.is_set():
        events = follower.events()
        while some := list(islice(events, _UNREAD_EVENTS)):
            # a clock that is larger than all before proves that an event is new
            doubtful = [event.event_id for event in some if event.lamport_clock <= clock]
            seen = set[str]()
            if doubtful and until is not None:
                with suppress(EventNotFound):  # pruned, with all that arrived before it
                    seen = known(index, doubtful, until)
            for event in some:
                if stop.is_set():
                    return
                is_held = isinstance(after, Position) and after.holds(event)
                if event.event_id not in seen and not is_held:
                    yield event
        follower.wait(stop)
