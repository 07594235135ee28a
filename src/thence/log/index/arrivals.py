"""Events of an index in arrival order: those after one, or behind a position.

An id keeps the arrival of its first line, even if another of its lines is served. Who reads or
follows a log asks for one batch after the other: an empty one is the log's end, and the next one
has what has arrived since.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from sqlite3 import Connection
from typing import NamedTuple

from thence.core.event import Event
from thence.core.new_event import Intervals, Position, is_within, subtract
from thence.core.pruned import PRUNED, pruned_by
from thence.errors import EventNotFound
from thence.log.index.connection import Index, answered
from thence.log.index.lookup import arrival_of, event_at, event_count, events_at, get, ids_at
from thence.log.index.rows import TOTAL_ORDER_DESCENDING
from thence.log.index.segments import Extent
from thence.log.index.zones import zone_arrivals, zone_of, zones_of_numbers

# returns the last notice of a prune that the log wrote itself
LastPrune = Callable[[], Event | None]

BATCH_EVENTS = 10_000
BATCH_BYTES = 256 * 1024
_BACK_EVENTS = 64

_BETWEEN = """
    SELECT arrival, length, segment, offset, event_id FROM events
    WHERE arrival > :after AND arrival <= :until
"""
_OF_TYPES = " AND +type IN (SELECT value FROM json_each(:types))"  # +: by arrival, not by type
_OF_ZONE = "SELECT arrival, node, seq FROM events WHERE arrival BETWEEN ? AND ?"
_RUNS = "SELECT node, first, last FROM number_runs ORDER BY node, first"
# lines of other tools have no number
_STRANGERS = "SELECT arrival, event_id FROM events INDEXED BY strangers WHERE seq = 0"
_PRUNES = f"""
    SELECT arrival FROM events WHERE type = 'log.{PRUNED}' ORDER BY {TOTAL_ORDER_DESCENDING}
"""
# the events of a position that are looked up at once
_UNREAD_EVENTS = 512


class Arrived(NamedTuple):
    """Events in arrival order, and the id of the event after which a reader of them goes on.

    It is None in an empty log. `has_more` reports that others follow.
    """

    events: tuple[Event, ...]
    last_id: str | None
    has_more: bool


@answered
def after(
    index: Index, connection: Connection, place: str | int | None, types: Sequence[str] = ()
) -> Arrived:
    """Returns the first events that arrived after one, all for None: as many as one batch holds.

    A number selects so many of the last; those of other types than `types` are passed over. Raises
    EventNotFound, `read_failed`.
    """
    last = event_count(connection)
    first = max(0, last - place) if isinstance(place, int) else 0
    if isinstance(place, str):
        first = arrival_of(index, connection, place)
    until = min(last, first + BATCH_EVENTS)
    size, extents = 0, list[Extent]()
    wanted = f"{_BETWEEN}{_OF_TYPES if types else ''} ORDER BY arrival"
    bounds = {"after": first, "until": until, "types": json.dumps(types)}
    for arrival, length, *extent, event_id in connection.execute(wanted, bounds):
        size += length
        if extents and size > BATCH_BYTES:
            until = arrival - 1
            break
        extents.append((*extent, length, event_id))
    last_id = place if isinstance(place, str) else None
    if until > first or (last_id is None and last):
        (last_id,) = ids_at(connection, [until])
    return Arrived(tuple(index.fetch(connection, extents)), last_id, until < last)


@answered
def before(index: Index, connection: Connection, event_id: str | None) -> list[Event]:
    """Returns the last events that arrived before one, of all for None, the last one first.

    Raises EventNotFound, `read_failed`.
    """
    last = event_count(connection)
    if event_id is not None:
        last = arrival_of(index, connection, event_id) - 1
    return events_at(index, connection, range(last, max(0, last - _BACK_EVENTS), -1))


def behind(index: Index, event_id: str | None, last_prune: LastPrune) -> Iterator[Sequence[Event]]:
    """Yields batches of the events that arrived behind one, all for None, without end.

    Where a prune took the last of a batch its notice comes, then all that is left: it arrived
    after all that was pruned. Raises EventNotFound, `read_failed`.
    """
    last = None if event_id is None else get(index, event_id)
    told = set[str]()
    while True:
        try:
            events = after(index, last.event_id if last else None).events
        except EventNotFound:
            notice = last_prune()
            if not last or not notice or not pruned_by(notice).holds(last.node_id, last.seq):
                raise
            told.add(notice.event_id)
            last = None
            yield (notice,)
            continue
        last = events[-1] if events else last
        fresh = [event for event in events if event.event_id not in told]
        if fresh or not events:
            yield fresh


def unread(index: Index, position: Position, last_prune: LastPrune) -> Iterator[Sequence[Event]]:
    """Yields batches of the events behind a position, in arrival order, as `behind` does.

    The notice of a prune that took some of them comes first. Only zones that may hold numbers
    behind the position are searched. Raises `read_failed`.
    """
    last_id: str | None = None
    served = position

    def work(connection: Connection) -> Sequence[Event]:
        last = 0 if last_id is None else arrival_of(index, connection, last_id)
        unread = {
            node_id: [
                part for run in runs for part in subtract(run, position.intervals.get(node_id, ()))
            ]
            for node_id, runs in _runs(connection).items()
        }
        arrivals = list[int]()
        for number in zones_of_numbers(connection, zone_of(last + 1), unread):
            rows = connection.execute(_OF_ZONE, zone_arrivals(number))
            arrivals += [
                at
                for at, node_id, seq in rows
                if at > last and is_within(unread.get(node_id, ()), seq)
            ]
            if len(arrivals) >= _UNREAD_EVENTS:
                break
        rows = connection.execute(_STRANGERS)
        arrivals += [at for at, id in rows if at > last and id not in position.foreign]
        return events_at(index, connection, sorted(arrivals)[:_UNREAD_EVENTS])

    while True:
        try:
            events = index.answer(work)
        except EventNotFound:  # it was pruned, with all that arrived before it
            last_id = None
            continue
        # asked for after the batch: a later prune takes none of what is yet to come unnoticed
        notice = last_prune()
        if notice and not served.holds(notice) and not pruned_by(notice).is_held_by(served):
            position, served = position.after([notice]), served.after([notice])
            yield (notice,)
            continue
        served = served.after(events)
        last_id = events[-1].event_id if events else last_id
        yield events


def _runs(connection: Connection) -> Mapping[str, Intervals]:
    runs: dict[str, Intervals] = {}
    for node_id, first, last in connection.execute(_RUNS):
        runs[node_id] = (*runs.get(node_id, ()), (first, last))
    return runs


@answered
def position(
    index: Index, connection: Connection, own_nodes: Callable[[], Collection[str]]
) -> Position:
    """Returns the position behind all that is there and all that was pruned.

    `own_nodes` returns the nodes that wrote the log. Raises `read_failed`.
    """
    numbers = _runs(connection)
    notice = _last_prune(index, connection, own_nodes)
    if notice is not None:
        numbers = pruned_by(notice).with_numbers(numbers)
    strangers = connection.execute(_STRANGERS)
    return Position(numbers, frozenset(event_id for _, event_id in strangers))


def _last_prune(
    index: Index, connection: Connection, own_nodes: Callable[[], Collection[str]]
) -> Event | None:
    """Returns the last notice of a prune that one of a log's own nodes wrote."""
    notices = connection.execute(_PRUNES).fetchall()
    nodes = own_nodes() if notices else ()
    for (arrival,) in notices:
        event = event_at(index, connection, arrival)
        if event.node_id in nodes and not event.is_foreign:
            return event
    return None


last_prune = answered(_last_prune)
