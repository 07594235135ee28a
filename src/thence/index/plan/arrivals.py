"""Events of an index in arrival order.

An id keeps the arrival of its first line, even if another of its lines is served.
"""

import sqlite3
from collections.abc import Collection
from heapq import merge
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.payload import is_utf8
from thence.index.file.database import Index
from thence.index.file.lookup import arrival_of
from thence.index.tables.lines import Extent
from thence.index.tables.places import STRIDE

BATCH_EVENTS = 10_000
BATCH_BYTES = 256 * 1024

# events at the place of arrival in total order are found by place, the others by an index of
# their own, so that no query reads more rows than it returns
_REGULAR = f"""
    SELECT arrival, length, segment, offset FROM events
    WHERE place > :after * {STRIDE} AND place <= :until * {STRIDE} AND place = arrival * {STRIDE}
    ORDER BY place
"""
_STRAYS = f"""
    SELECT arrival, length, segment, offset FROM events INDEXED BY strays
    WHERE arrival > :after AND arrival <= :until AND place <> arrival * {STRIDE}
    ORDER BY arrival
"""
# one id at a time: SQLite's JSON cuts a text at its first NUL
_KNOWN = "SELECT 1 FROM events WHERE event_id = :event_id AND arrival <= :until"
_COUNT = "SELECT value FROM meta WHERE key = 'events'"
_LAST = f"""
    SELECT event_id FROM events WHERE place = :last * {STRIDE} AND arrival = :last
    UNION ALL SELECT event_id FROM events INDEXED BY strays
    WHERE arrival = :last AND place <> arrival * {STRIDE}
"""
_CLOCK = "SELECT lamport FROM events ORDER BY place DESC LIMIT 1"


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
        if first >= last:
            return Arrived((), False)
        asked = {"after": first, "until": min(last, first + BATCH_EVENTS)}  # none is left out
        regular = connection.execute(_REGULAR, asked)
        strays = connection.execute(_STRAYS, asked)
        size, extents = 0, list[Extent]()
        for _, length, segment, offset in merge(regular, strays):
            size += length
            if extents and size > BATCH_BYTES:
                break
            extents.append((segment, offset, length))
        return Arrived(tuple(index.fetch(connection, extents)), first + len(extents) < last)

    return index.answer(work)


def known(index: Index, ids: Collection[str], until: str) -> set[str]:
    """Returns those ids that had arrived up to an event. Raises EventNotFound, ReadFailed."""

    def work(connection: sqlite3.Connection) -> set[str]:
        last = arrival_of(index, connection, until)

        def is_known(event_id: str) -> bool:
            asked = {"event_id": event_id, "until": last}
            return connection.execute(_KNOWN, asked).fetchone() is not None

        return {event_id for event_id in ids if is_utf8(event_id) and is_known(event_id)}

    return index.answer(work)


def newest(index: Index) -> Newest:
    """Returns the event that arrived last. Raises ReadFailed."""

    def work(connection: sqlite3.Connection) -> Newest:
        count = connection.execute(_COUNT).fetchone()
        last = connection.execute(_LAST, {"last": count[0]}).fetchone()
        clock = connection.execute(_CLOCK).fetchone()
        return Newest(last[0], clock[0]) if last and clock else Newest(None, 0)

    return index.answer(work)
