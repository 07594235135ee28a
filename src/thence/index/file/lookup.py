"""Lookup of events in an index: by id, by a text that names an event, by place."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import compress
from typing import TypeVar

import msgspec

from thence.core.event import Event
from thence.core.query.lookup import (
    PREFIX_CHARACTERS_MIN,
    SUBJECTS_COMPARED_MAX,
    ambiguous,
    beginnings,
    not_found,
    subject_named,
)
from thence.core.values.payload import is_utf8
from thence.core.values.vocabulary import Vocabulary
from thence.index.file.database import Index
from thence.index.tables.lines import Extent
from thence.index.tables.number_runs import taken_numbers
from thence.index.tables.places import STRIDE

T = TypeVar("T")

# the number of events read at once in a search from the latest event back
_READ_EVENTS_MIN = 64
_READ_EVENTS_MAX = 4_096
_TOGETHER_MIN = 64

# SQLite returns lists faster than rows
_BETWEEN = """
    SELECT json_group_array(place), json_group_array(segment), json_group_array(offset),
        json_group_array(length), json_group_array(event_id)
    FROM (
        SELECT place, segment, offset, length, event_id
        FROM events WHERE place BETWEEN :first AND :last ORDER BY place LIMIT :most
    )
"""
# in bytes: no text contains 0xff, so the upper bound is behind all texts with this prefix
_BY_PREFIX = """
    SELECT count(*), min(place) FROM events
    WHERE event_id >= :text AND event_id < :text || CAST(x'ff' AS TEXT)
        OR event_id >= :upper AND event_id < :upper || CAST(x'ff' AS TEXT)
"""
_NAMER_BY_PREFIX = """
    SELECT min(child) FROM waiting
    WHERE parent_id >= :text AND parent_id < :text || CAST(x'ff' AS TEXT)
        OR parent_id >= :upper AND parent_id < :upper || CAST(x'ff' AS TEXT)
"""
_numbers = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(list[str]).decode


def get(index: Index, event_id: str) -> Event:
    """Returns the event of an id; raises EventNotFound."""
    return index.answer(
        lambda connection: event_at(index, connection, place_of(index, connection, event_id))
    )


def held(
    index: Index, ids: Collection[str], numbers: Collection[tuple[str, int]]
) -> tuple[int, list[Event], set[tuple[str, int]]]:
    """Returns what the log holds of ids and numbers, which are pairs of node_id and seq.

    Returned are the number of the log's events, all differing lines of these ids, and those
    of the numbers that a line has. The cost is that of what is asked for.
    """
    asked = {"ids": json.dumps([text for text in ids if is_utf8(text)])}
    columns = "segment, offset, length, event_id"

    def work(connection: sqlite3.Connection) -> tuple[int, list[Event], set[tuple[str, int]]]:
        count = connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()[0]
        extents = [
            extent
            for table in ("events", "other_lines")
            for extent in connection.execute(
                f"SELECT {columns} FROM json_each(:ids) CROSS JOIN {table} ON event_id = value",
                asked,
            )
        ]
        events = index.fetch(connection, sorted(extents))
        return count, events, taken_numbers(connection, numbers)

    return index.answer(work)


def contested(index: Index, limit: int) -> list[str]:
    """Returns ids of which the log has several lines, the first ones by id."""
    sql = "SELECT DISTINCT event_id FROM other_lines ORDER BY event_id LIMIT :limit"

    def work(connection: sqlite3.Connection) -> list[str]:
        return [event_id for (event_id,) in connection.execute(sql, {"limit": limit})]

    return index.answer(work)


def find(
    index: Index,
    text: str,
    vocabulary: Vocabulary,
    *,
    by_subject: bool = True,
    by_type: bool = False,
) -> Event:
    """Returns the event that a text names, by the rules of `core.query.lookup.named`.

    Raises EventNotFound, AmbiguousId. "@last-error" reads the events from the last one back.
    """

    def work(connection: sqlite3.Connection) -> Event:
        if text == "@last-error":
            return _last_error(index, connection, vocabulary)
        if text == "@last":
            place = connection.execute("SELECT max(place) FROM events").fetchone()[0]
        else:
            place = _place_by_prefix(index, connection, text, by_subject, by_type)
        if place is None:
            raise not_found(index.folder, text)
        return event_at(index, connection, place)

    return index.answer(work)


def place_of(index: Index, connection: sqlite3.Connection, event_id: str) -> int:
    """Returns the place of an event; raises EventNotFound."""
    return _number_of(index, connection, event_id, "place")


def arrival_of(index: Index, connection: sqlite3.Connection, event_id: str) -> int:
    """Returns the arrival of an event; raises EventNotFound."""
    return _number_of(index, connection, event_id, "arrival")


def _number_of(index: Index, connection: sqlite3.Connection, event_id: str, column: str) -> int:
    if is_utf8(event_id):  # no event's id holds half a surrogate pair
        sql = f"SELECT {column} FROM events WHERE event_id = :event_id"
        found = connection.execute(sql, {"event_id": event_id}).fetchone()
        if found is not None:
            return int(found[0])
    raise not_found(index.folder, event_id)


def event_at(index: Index, connection: sqlite3.Connection, place: int) -> Event:
    """Returns the event at a place."""
    return events_at(index, connection, [place])[0]


def events_at(index: Index, connection: sqlite3.Connection, places: Iterable[int]) -> list[Event]:
    """Returns the events at places, in the given order; they are read in the log's order."""
    return _in_order_of(list(places), connection, index.fetch)


def lines_at(index: Index, connection: sqlite3.Connection, places: Iterable[int]) -> list[bytes]:
    """Returns the stored lines of the events at places, in the order of `events_at`."""
    return _in_order_of(list(places), connection, index.lines)


def _in_order_of(
    places: list[int],
    connection: sqlite3.Connection,
    read: Callable[[sqlite3.Connection, list[Extent]], list[T]],
) -> list[T]:
    in_order = sorted(set(places))
    found = dict(zip(in_order, read(connection, _extents(connection, in_order)), strict=True))
    return [found[place] for place in places]


def ids_at(connection: sqlite3.Connection, places: Iterable[int]) -> list[str]:
    """Returns the ids of the events at places, in the given order; no line is read."""
    sql = "SELECT event_id FROM json_each(:places) CROSS JOIN events ON place = value ORDER BY key"
    return [event_id for (event_id,) in connection.execute(sql, {"places": json.dumps([*places])})]


def present(connection: sqlite3.Connection, ids: Iterable[str]) -> set[str]:
    """Returns those of some ids that events of the log have."""
    sql = "SELECT event_id FROM json_each(:ids) CROSS JOIN events ON event_id = value"
    rows = connection.execute(sql, {"ids": json.dumps(list(filter(is_utf8, ids)))})
    return {event_id for (event_id,) in rows}


def _extents(connection: sqlite3.Connection, places: Sequence[int]) -> list[Extent]:
    """Returns the extents of the events at places, which are in order."""
    columns = "segment, offset, length, event_id"
    if len(places) >= _TOGETHER_MIN and places[-1] - places[0] < 2 * len(places) * STRIDE:
        # a scan of all places between is faster than single lookups
        most = 2 * len(places)
        ends = {"first": places[0], "last": places[-1], "most": most + 1}
        *numbers, ids = connection.execute(_BETWEEN, ends).fetchone()
        there, segments, offsets, lengths = map(_numbers, numbers)
        if len(there) <= most:
            rows = zip(segments, offsets, lengths, _texts(ids), strict=True)
            return list(compress(rows, map(set(places).__contains__, there)))
    sql = (
        f"SELECT {columns} FROM json_each(:places) CROSS JOIN events ON place = value ORDER BY key"
    )
    return connection.execute(sql, {"places": json.dumps(places)}).fetchall()


def _place_by_prefix(
    index: Index, connection: sqlite3.Connection, text: str, by_subject: bool, by_type: bool
) -> int:
    """Returns the place of the one event whose id begins with a text, else by subject or type."""
    number, first = 0, 0
    if is_utf8(text):
        asked = {"text": text, "upper": text.upper()}
        sql = "SELECT place FROM events WHERE event_id = :text"
        exact = connection.execute(sql, asked).fetchone()
        if exact is not None:
            return int(exact[0])
        number, first = connection.execute(_BY_PREFIX, asked).fetchone()
    if by_subject and (not number or len(text) < PREFIX_CHARACTERS_MIN):
        place = _latest_on(connection, text)
        if place is None and by_type:
            place = _latest_of_type(connection, text)
        if place is not None:
            return place
        if not number:
            subjects = _subjects(connection, SUBJECTS_COMPARED_MAX)
            namer = _namer_of(index, connection, text)
            raise not_found(index.folder, text, subjects, namer, by_type=by_type)
    if not number:
        raise not_found(index.folder, text)
    beginnings(text)
    if number > 1:
        raise ambiguous(text, number, event_at(index, connection, first).event_id)
    return first


def _latest_on(connection: sqlite3.Connection, text: str) -> int | None:
    """Returns the place of the latest event on the subject that a text names, None if none is."""
    if not is_utf8(text) or not text:
        return None
    sql = (
        "SELECT (SELECT max(place) FROM events WHERE subject = names.id) FROM names"
        " WHERE text = :text"
    )
    row = connection.execute(sql, {"text": text}).fetchone()
    if row is None or row[0] is None:
        subject = subject_named(text, _subjects(connection, -1, f"/{text}"))
        if subject is None:
            return None
        row = connection.execute(sql, {"text": subject}).fetchone()
    place: int | None = row[0]
    return place


def _latest_of_type(connection: sqlite3.Connection, text: str) -> int | None:
    if not is_utf8(text) or not text:
        return None
    sql = "SELECT max(place) FROM events WHERE type = (SELECT id FROM names WHERE text = :text)"
    place: int | None = connection.execute(sql, {"text": text}).fetchone()[0]
    return place


def _namer_of(index: Index, connection: sqlite3.Connection, text: str) -> Event | None:
    """Returns the first event that names a missing cause, as `core.query.lookup.namer_of`."""
    if not is_utf8(text) or len(text) < PREFIX_CHARACTERS_MIN:
        return None
    asked = {"text": text, "upper": text.upper()}
    place = connection.execute(_NAMER_BY_PREFIX, asked).fetchone()[0]
    return None if place is None else event_at(index, connection, place)


def _subjects(connection: sqlite3.Connection, limit: int, ending: str = "") -> list[str]:
    """Returns at most `limit` subjects of the log with an ending, all for -1."""
    sql = (
        "SELECT text FROM counts_by_subject JOIN names ON names.id = subject"
        " WHERE substr(text, -length(:ending)) = :ending OR :ending = '' LIMIT :limit"
    )
    found = connection.execute(sql, {"ending": ending, "limit": limit})
    return [text for (text,) in found]


def _last_error(index: Index, connection: sqlite3.Connection, vocabulary: Vocabulary) -> Event:
    behind = "SELECT place FROM events WHERE place < :end ORDER BY place DESC LIMIT :number"
    end, number = 2**63 - 1, _READ_EVENTS_MIN
    while True:
        found = connection.execute(behind, {"end": end, "number": number})
        places = [place for (place,) in found]
        if not places:
            raise not_found(index.folder, "@last-error")
        for event in events_at(index, connection, places):
            if vocabulary.is_error(event):
                return event
        end, number = places[-1], min(2 * number, _READ_EVENTS_MAX)
