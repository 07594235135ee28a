"""Lookup of events in an index: by id, by a text that names an event, by arrival."""

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from sqlite3 import Connection
from typing import Any, TypeVar

from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.query.why import (
    PREFIX_CHARACTERS_MIN,
    SUBJECTS_COMPARED_MAX,
    ambiguous,
    not_found,
    subject_named,
)
from thence.log.index.connection import Index, answered
from thence.log.index.rows import TOTAL_ORDER, TOTAL_ORDER_DESCENDING
from thence.log.index.segments import Extent

T = TypeVar("T")

# all events by the index of that order, which SQLite does not choose by itself
IN_ORDER = "events INDEXED BY ordered WHERE lamport >= 0"
_PLACES = {"@last": IN_ORDER, "@last-error": "events INDEXED BY failures WHERE failed = 1"}
_BY_ID = "SELECT arrival FROM events WHERE event_id = :text"
_EXTENT = "segment, offset, length, event_id"
_OF_TYPE = "events WHERE type = :text"
_ON_SUBJECT = "events WHERE subject = :text"

# in bytes: no text contains 0xff, so the upper bound is behind all texts with this prefix
_BY_PREFIX = """
    event_id >= :text AND event_id < :text || CAST(x'ff' AS TEXT)
        OR event_id >= :upper AND event_id < :upper || CAST(x'ff' AS TEXT)
"""
_FIRST_BY_PREFIX = f"SELECT arrival FROM events WHERE {_BY_PREFIX} ORDER BY {TOTAL_ORDER} LIMIT 1"
# each found by one step in the column's index
_SUBJECTS = """
    WITH RECURSIVE subjects (text) AS (
        SELECT min(subject) FROM events WHERE subject IS NOT NULL
        UNION ALL
        SELECT (SELECT min(subject) FROM events WHERE subject > text)
        FROM subjects WHERE text IS NOT NULL
    )
    SELECT text FROM subjects
    WHERE text IS NOT NULL AND (substr(text, -length(:ending)) = :ending OR :ending = '')
    LIMIT :limit
"""


@answered
def get(index: Index, connection: Connection, event_id: str) -> Event:
    """Returns the event of an id; raises EventNotFound."""
    return event_at(index, connection, arrival_of(index, connection, event_id))


@answered
def held(index: Index, connection: Connection, ids: Collection[str]) -> tuple[int, list[Event]]:
    """Returns the number of the log's events and those with these ids.

    The cost is that of what is asked for.
    """
    extents = sorted(_rows_of(connection, _EXTENT, ids))
    return event_count(connection), index.fetch(connection, extents)


@answered
def find(index: Index, connection: Connection, text: str) -> Event:
    """Returns the event that a text names. Raises EventNotFound, `ambiguous_id`.

    It is an id, an unambiguous prefix of at least 6 characters, "@last", or "@last-error";
    else the latest event on the subject of that name, of which the last parts are enough:
    WP01 for 028-sync/WP01; else the latest event of that type.
    """
    values = {"text": text, "upper": text.upper()}
    # no id, subject or type holds half a surrogate pair
    is_name = text not in _PLACES and is_utf8(text)
    is_long = len(text) >= PREFIX_CHARACTERS_MIN
    one, count, arrival = connection.execute, 0, None
    if is_name:
        (arrival,) = one(_BY_ID, values).fetchone() or (None,)
    elif text in _PLACES:
        arrival = last_arrival(connection, _PLACES[text])
    if is_name and arrival is None:
        (count,) = one(f"SELECT count(*) FROM events WHERE {_BY_PREFIX}", values).fetchone()
        if count and is_long:
            (arrival,) = one(_FIRST_BY_PREFIX, values).fetchone()
        else:
            arrival = last_arrival(connection, _ON_SUBJECT, text or None)
        if arrival is None:
            subject = subject_named(text, subjects_of(connection, -1, f"/{text}"))
            arrival = last_arrival(connection, _ON_SUBJECT, subject)
        if arrival is None:
            arrival = last_arrival(connection, _OF_TYPE, text or None)
    if arrival is not None:
        event = event_at(index, connection, arrival)
        if count > 1 and is_long:
            raise ambiguous(text, count, event.event_id)
        return event
    if count:
        raise ambiguous(text, count)
    subjects = None if text in _PLACES else subjects_of(connection, SUBJECTS_COMPARED_MAX)
    raise not_found(index.folder, text, subjects)


@answered
def span_begin(index: Index, connection: Connection, span_id: str) -> Event | None:
    """Returns the event that began a tracer's span, None if there is none."""
    sql = "SELECT arrival FROM spans WHERE span_id = ?"
    row = connection.execute(sql, (span_id,)).fetchone()
    return None if row is None else event_at(index, connection, row[0])


@answered
def lasted(index: Index, connection: Connection, begins: Collection[str]) -> dict[str, float]:
    """Returns the seconds that ended steps lasted, by the ids of their begins."""
    values = {"ids": json.dumps([text for text in begins if is_utf8(text)])}
    sql = """
        SELECT begun.event_id, ended.time - begun.time FROM json_each(:ids)
        CROSS JOIN events AS begun ON begun.event_id = value
        JOIN steps ON begin = begun.arrival JOIN events AS ended ON ended.arrival = end
    """
    found = connection.execute(sql, values).fetchall()
    return {event_id: lasted_us / 1e6 for event_id, lasted_us in found if lasted_us is not None}


def event_count(connection: Connection) -> int:
    """Returns the number of the log's events, which is the last arrival."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()[0])


def arrival_of(index: Index, connection: Connection, event_id: str) -> int:
    """Returns the arrival of an event; raises EventNotFound."""
    row = None
    with suppress(UnicodeEncodeError):  # no event's id holds half a surrogate pair
        row = connection.execute(_BY_ID, {"text": event_id}).fetchone()
    if row is None:
        raise not_found(index.folder, event_id)
    return int(row[0])


def last_arrival(
    connection: Connection, source: str = IN_ORDER, text: str | None = None
) -> int | None:
    """Returns the arrival of the event that is last in total order, None if there is none.

    Of the events of a source in SQL, which may compare a `:text`.
    """
    sql = f"SELECT arrival FROM {source} ORDER BY {TOTAL_ORDER_DESCENDING} LIMIT 1"
    row = connection.execute(sql, {"text": text}).fetchone()
    return None if row is None else int(row[0])


def rows_at(
    connection: Connection, columns: str, arrivals: Iterable[int], order: str = "key"
) -> list[tuple[Any, ...]]:
    """Returns columns of the events of arrivals, in the given order unless SQL names another."""
    sql = f"SELECT {columns} FROM json_each(?) CROSS JOIN events ON arrival = value"
    values = (json.dumps([*arrivals]),)
    return connection.execute(f"{sql} ORDER BY {order}", values).fetchall()


def _rows_of(connection: Connection, columns: str, ids: Iterable[str]) -> list[tuple[Any, ...]]:
    """Returns columns of the events of ids, of those that the log has."""
    sql = f"SELECT {columns} FROM json_each(?) CROSS JOIN events ON event_id = value"
    return connection.execute(sql, (json.dumps([*filter(is_utf8, ids)]),)).fetchall()


def in_total_order(connection: Connection, arrivals: Iterable[int]) -> list[int]:
    """Returns arrivals in the total order of their events."""
    return [arrival for (arrival,) in rows_at(connection, "arrival", arrivals, TOTAL_ORDER)]


def event_at(index: Index, connection: Connection, arrival: int) -> Event:
    """Returns the event of an arrival."""
    return events_at(index, connection, [arrival])[0]


def events_at(index: Index, connection: Connection, arrivals: Iterable[int]) -> list[Event]:
    """Returns the events of arrivals, in the given order; they are read in the log's order."""
    return _in_order_of(list(arrivals), connection, index.fetch)


def lines_at(index: Index, connection: Connection, arrivals: Iterable[int]) -> list[bytes]:
    """Returns the stored lines of the events of arrivals, in the order of `events_at`."""
    return _in_order_of(list(arrivals), connection, index.lines)


def _in_order_of(
    arrivals: list[int],
    connection: Connection,
    read: Callable[[Connection, list[Extent]], Iterable[T]],
) -> list[T]:
    in_order = sorted(set(arrivals))
    extents = rows_at(connection, _EXTENT, in_order)
    by_arrival = dict(zip(in_order, read(connection, extents), strict=True))
    return [by_arrival[arrival] for arrival in arrivals]


def ids_at(connection: Connection, arrivals: Iterable[int]) -> list[str]:
    """Returns the ids of the events of arrivals, in the given order; no line is read."""
    return [event_id for (event_id,) in rows_at(connection, "event_id", arrivals)]


def present(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Returns those of some ids that events of the log have."""
    return {event_id for (event_id,) in _rows_of(connection, "event_id", ids)}


def subjects_of(connection: Connection, limit: int, ending: str = "") -> list[str]:
    """Returns at most `limit` subjects of the log with an ending, all for -1."""
    rows = connection.execute(_SUBJECTS, {"ending": ending, "limit": limit})
    return [text for (text,) in rows]


def values_at(
    index: Index, connection: Connection, variable: str, turn: int, limit: int
) -> dict[str, Any] | None:
    """Returns the values of a simulation's variable after a turn by scope, of those that changed.

    None of more than `limit` changes. A value that changed later is the old one of that change.
    """
    names = json.dumps(subjects_of(connection, -1, f"/{variable}"))
    sql = (
        "SELECT subject, turn, arrival FROM events INDEXED BY subjects"
        " WHERE subject IN (SELECT value FROM json_each(:names)) AND subject IS NOT NULL"
        " AND type = 'STATE' AND turn IS NOT NULL ORDER BY lamport, stamp LIMIT :limit"
    )
    rows = connection.execute(sql, {"names": names, "limit": limit + 1}).fetchall()
    chosen: dict[str, tuple[int, str]] = {}
    for subject, at, arrival in rows:
        if at <= turn:
            chosen[subject] = (arrival, "new_value")
        else:
            chosen.setdefault(subject, (arrival, "old_value"))
    if len(rows) > limit:
        return None
    events = events_at(index, connection, [arrival for arrival, _ in chosen.values()])
    return {
        subject.rpartition("/")[0]: event.payload.get(key)
        for (subject, (_, key)), event in zip(chosen.items(), events, strict=True)
    }
