"""The overview of a log from its index: counts, first and last events, damage."""

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.query.tally import descending
from thence.index.file.database import Index
from thence.index.file.lookup import IN_ORDER, TOTAL_ORDER, TOTAL_ORDER_DESCENDING, events_at
from thence.index.tables.zones import zone_arrivals

_TYPES = """
    SELECT coalesce(text, ''), sum(events) FROM counts LEFT JOIN names ON id = type GROUP BY type
"""
_ACTORS = """
    SELECT text, sum(events) FROM counts JOIN names ON id = actor WHERE text != '' GROUP BY actor
"""
_UNVERIFIED = "SELECT count(*) FROM events INDEXED BY strangers WHERE seq = 0"
_ENDS = f"""
    SELECT * FROM (SELECT arrival FROM {IN_ORDER} ORDER BY {TOTAL_ORDER} LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT arrival FROM {IN_ORDER} ORDER BY {TOTAL_ORDER_DESCENDING} LIMIT 1)
"""
_EARLIEST = f"SELECT arrival FROM {{source}} ORDER BY time, {TOTAL_ORDER} LIMIT 1"
_TURNS = "SELECT turn FROM {source} ORDER BY turn DESC LIMIT 1"
# more zones than this with the same outermost value are as good as all
_ZONES_MAX = 16
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
        ends = [arrival for (arrival,) in connection.execute(_ENDS)]
        earliest = _first(connection, _EARLIEST, "time_first", "min") or ends[:1]
        arrivals = [*ends, *earliest] if ends else []
        first, last, start = events_at(index, connection, arrivals) or (None, None, None)
        damage = connection.execute(_DAMAGE, {"limit": damage_max})
        return Overview(
            events=sum(by_type.values()),
            unverified=_number(connection, _UNVERIFIED),
            turns=(_first(connection, _TURNS, "turn_last", "max") or (0,))[0],
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


def _first(connection: sqlite3.Connection, sql: str, bound: str, extreme: str) -> Any:
    """Returns the first row of a query for a column's least or greatest value, None without any.

    Only zones whose bound is the outermost one are searched, unless the bound is that of a line
    that is not served any more, or many share it.
    """
    column, _, _ = bound.partition("_")
    numbers = connection.execute(
        f"SELECT DISTINCT number FROM zones WHERE {bound} ="
        f" (SELECT {extreme}({bound}) FROM zones) LIMIT {_ZONES_MAX + 1}"
    ).fetchall()
    ranges = [f"arrival BETWEEN {first} AND {last}" for first, last in map(_arrivals, numbers)]
    source = f"events WHERE {column} IS NOT NULL"
    if 0 < len(ranges) <= _ZONES_MAX:
        near = f"{source} AND ({' OR '.join(ranges)})"
        exact = connection.execute(
            f"SELECT {extreme}({column}) = (SELECT {extreme}({bound}) FROM zones) FROM {near}"
        ).fetchone()
        source = near if exact[0] else source
    return connection.execute(sql.format(source=source)).fetchone()


def _arrivals(row: tuple[int]) -> tuple[int, int]:
    return zone_arrivals(*row)


def _counts(connection: sqlite3.Connection, sql: str) -> dict[str, int]:
    return descending({text: int(events) for text, events in connection.execute(sql) if events})


def _number(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0] or 0)


def passed_over(index: Index) -> tuple[int, int]:
    """Returns the number of damaged lines, and of unfinished ones: 0 or 1."""

    def work(connection: sqlite3.Connection) -> tuple[int, int]:
        row = connection.execute(
            "SELECT total(bad_lines), total(name = 'events.jsonl' AND size > read_bytes)"
            " FROM segments"
        ).fetchone()
        return int(row[0]), int(row[1])

    return index.answer(work)
