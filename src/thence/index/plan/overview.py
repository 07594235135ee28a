"""The overview of a log from its index: counts, first and last events, damage."""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.query.tally import descending
from thence.index.file.database import Index
from thence.index.file.lookup import events_at

_TYPES = """
    SELECT coalesce(text, ''), sum(events)
    FROM counts_by_type_and_actor LEFT JOIN names ON id = type GROUP BY type
"""
_ACTORS = """
    SELECT text, sum(events) FROM counts_by_type_and_actor JOIN names ON id = actor
    WHERE text != '' GROUP BY actor
"""
# other tools' events have no clock and come first
_UNVERIFIED = """
    SELECT count(*) FROM events
    WHERE place < coalesce((SELECT min(place) FROM events WHERE seq != 0), 9223372036854775807)
"""
_EARLIEST = """
    SELECT place FROM events WHERE time = (SELECT min(time) FROM events) ORDER BY place LIMIT 1
"""
_DAMAGE = """
    SELECT segments.name, offset, length, code, reason
    FROM damage JOIN segments ON segments.id = damage.segment
    ORDER BY segments.name = 'events.jsonl', segments.name, offset LIMIT :limit
"""


class BadBytes(msgspec.Struct, frozen=True):
    """A range of bytes in a file that is no event."""

    file: str
    offset: int
    length: int
    code: str
    reason: str


class Overview(NamedTuple):
    """The counts of a log, the ends of its total order, the first of its bad lines.

    `earliest` is the event with the earliest time, `read_bytes` the bytes read of each segment,
    by its name.
    """

    events: int
    unverified: int
    turns: int
    by_type: Mapping[str, int]
    by_actor: Mapping[str, int]
    first: Event | None
    last: Event | None
    earliest: Event | None
    bad_lines: int
    damage: tuple[BadBytes, ...]
    read_bytes: Mapping[str, int]


def overview(index: Index, damage_max: int) -> Overview:
    """Returns the overview of the present log; raises ReadFailed."""

    def work(connection: sqlite3.Connection) -> Overview:
        by_type = _counts(connection, _TYPES)
        ends = connection.execute("SELECT min(place), max(place) FROM events").fetchone()
        earliest = connection.execute(_EARLIEST).fetchone() or ends[:1]
        places = [*ends, *earliest] if ends[0] is not None else []
        first, last, start = events_at(index, connection, places) or (None, None, None)
        damage = connection.execute(_DAMAGE, {"limit": damage_max})
        return Overview(
            events=sum(by_type.values()),
            unverified=_number(connection, _UNVERIFIED),
            turns=_number(connection, "SELECT max(turn) FROM events"),
            by_type=by_type,
            by_actor=_counts(connection, _ACTORS),
            first=first,
            last=last,
            earliest=start,
            bad_lines=_number(connection, "SELECT sum(bad_lines) FROM segments"),
            damage=tuple(BadBytes(*row) for row in damage),
            read_bytes=dict(connection.execute("SELECT name, read_bytes FROM segments")),
        )

    return index.answer(work)


def _counts(connection: sqlite3.Connection, sql: str) -> dict[str, int]:
    return descending({text: int(events) for text, events in connection.execute(sql) if events})


def _number(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0] or 0)


def passed_over(index: Index) -> tuple[int, int]:
    """Returns the number of damaged lines, and of unfinished ones: 0 or 1."""

    def work(connection: sqlite3.Connection) -> tuple[int, int]:
        found = connection.execute(
            "SELECT total(bad_lines), total(name = 'events.jsonl' AND size > read_bytes)"
            " FROM segments"
        ).fetchone()
        return int(found[0]), int(found[1])

    return index.answer(work)
