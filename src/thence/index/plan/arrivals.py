"""Events of an index in arrival order.

An id keeps the arrival of its first line, even if another of its lines is served.
"""

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.payload import is_utf8
from thence.index.file.database import Index
from thence.index.file.lookup import arrival_of
from thence.index.tables.lines import Extent

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
    than `until`, or if `until` is None. Raises EventNotFound, ReadFailed.
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
    """Returns those ids that had arrived up to an event. Raises EventNotFound, ReadFailed."""

    def work(connection: sqlite3.Connection) -> set[str]:
        last = arrival_of(index, connection, until)

        def has_arrived(event_id: str) -> bool:
            values = {"event_id": event_id, "until": last}
            return connection.execute(_ARRIVED, values).fetchone() is not None

        return {event_id for event_id in ids if is_utf8(event_id) and has_arrived(event_id)}

    return index.answer(work)


def newest(index: Index) -> Newest:
    """Returns the event that arrived last. Raises ReadFailed."""

    def work(connection: sqlite3.Connection) -> Newest:
        row = connection.execute(_NEWEST).fetchone()
        clock = connection.execute(_CLOCK).fetchone()[0]
        return Newest(row[0], clock) if row else Newest(None, 0)

    return index.answer(work)
