"""Counts of the events that match a filter, by name and by time; the overview and end of a log.

The counts of types and actors, by node too, stand in a table; for other filters the events that
match are gone through once.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.ids import NOISE_CHARACTERS
from thence.core.query.filter import Filter
from thence.core.query.why import Group, LogEnd, Tally, descending
from thence.index.connection import Index
from thence.index.lookup import (
    TOTAL_ORDER,
    event_count,
    events_at,
    in_total_order,
    last_arrival,
)
from thence.index.page import NUMBER_MAX
from thence.index.query import Scan, Selection, has_counts, matching, scan_of, selection, sources
from thence.index.segments import passed_over
from thence.index.zones import zone_arrivals

By = Literal["type", "actor", "subject", "stream"]

_SECOND_US = 1_000_000
# a longer span would be beyond the integers of SQLite; this one holds all times since 1970
_SPAN_US_MAX = 2**62
_ARRIVALS_TOGETHER = 10_000
_ALL_BY = """
    SELECT {column}, count(*) FROM events INDEXED BY {column}s
    WHERE {column} IS NOT NULL GROUP BY {column}
"""
# the first microsecond of the span in which an event lies, before 1970 too
_BEGIN = "time - (time % :per + :per) % :per"
_ZONE_TIMES = """
    SELECT number, sum(events), sum(times), min(time_first), max(time_last)
    FROM zones GROUP BY number
"""
_NAMES = "SELECT names.id, text FROM json_each(:ids) JOIN names ON names.id = value"
_LAST_OF_PROCESS = f"""
    SELECT arrival FROM events
    WHERE arrival >= :begin AND substr(event_id, -{NOISE_CHARACTERS}) = :noise
    ORDER BY arrival DESC LIMIT 1
"""

# numbers of type, actor and node, with the number of events; node -1 is another tool
_Row = tuple[int, int, int, int]
_Counts = Counter[tuple[int | None, int | None]]


def tally(index: Index, filter: Filter, by: By | None = None, per_s: int | None = None) -> Tally:
    """Counts the events of the present log that match, with groups by a name or by time.

    Spans of `per_s` seconds begin at multiples of it since 1970 UTC. Raises `read_failed`.
    """

    def work(connection: sqlite3.Connection) -> Tally:
        selected = selection(connection, filter)
        scan = None if selected is None else scan_of(connection, selected, descending=False)
        if selected is None or scan is None:
            return Tally(0, 0, {}, {}, {}, None, None)
        parts = sources(connection, selected)
        arrivals: list[int] = []
        if filter.where:
            arrivals = list(matching(index, connection, scan, filter))
            parts = list(_parts_of(arrivals))
        is_in_table = not filter.where and has_counts(selected)
        rows = _from_table(connection, selected) if is_in_table else _counted(connection, parts)
        ends = _ends(connection, scan, arrivals if filter.where else None)
        first, last = events_at(index, connection, ends) or (None, None)
        groups: tuple[Group, ...] = ()
        if by is not None or per_s is not None:
            counts = None
            if not filter.where:
                counts = _at_hand(connection, selected, rows if is_in_table else [], by, per_s)
            if counts is None:
                counts = _group_counts(connection, parts, by, per_s)
            groups = _groups(connection, counts)
        return Tally(*_named(connection, rows), first, last, groups)

    return index.answer(work)


def _parts_of(arrivals: Sequence[int]) -> Iterator[str]:
    for at in range(0, len(arrivals), _ARRIVALS_TOGETHER):
        values = json.dumps(arrivals[at : at + _ARRIVALS_TOGETHER])
        yield f"(SELECT events.* FROM json_each('{values}') CROSS JOIN events ON arrival = value)"


def _from_table(connection: sqlite3.Connection, selected: Selection) -> list[_Row]:
    where = " AND ".join(["events > 0", *map(selected.condition, selected.names)])
    return connection.execute(
        f"SELECT type, actor, node, events FROM counts WHERE {where}"
    ).fetchall()


def _counted(connection: sqlite3.Connection, parts: Sequence[str]) -> list[_Row]:
    sql = "SELECT type, ifnull(actor, 0), CASE seq WHEN 0 THEN -1 ELSE node END, count(*)"
    queries = (f"{sql} FROM {part} GROUP BY 1, 2, 3" for part in parts)
    return [row for query in queries for row in connection.execute(query)]


def _named(
    connection: sqlite3.Connection, rows: Sequence[_Row]
) -> tuple[int, int, dict[str, int], dict[str, int], dict[str, int]]:
    """Returns the numbers of all and of unverified events, and the counts by name."""
    types, actors, nodes = Counter[int](), Counter[int](), Counter[int]()
    for type_, actor, node, count in rows:
        types[type_] += count
        actors[actor] += count
        nodes[node] += count
    del actors[0]
    unverified = nodes.pop(-1, 0)
    names = _texts(connection, {*types, *actors, *nodes})
    by_name = [
        descending({names[number]: count for number, count in counter.items()})
        for counter in (types, actors, nodes)
    ]
    return types.total(), unverified, by_name[0], by_name[1], by_name[2]


def _texts(connection: sqlite3.Connection, ids: set[int]) -> dict[int, str]:
    return dict(connection.execute(_NAMES, {"ids": json.dumps([*ids])}).fetchall())


def _ends(connection: sqlite3.Connection, scan: Scan, arrivals: Sequence[int] | None) -> list[int]:
    """Returns the first and the last arrival in total order, none where nothing matches."""
    if arrivals is not None:  # they are in order
        return [arrivals[0], arrivals[-1]] if arrivals else []
    ends: list[int] = []
    for descending_ in (False, True):
        rows = scan._replace(descending=descending_).rows(connection, "arrival", limit=1)
        ends += [row[0] for row in rows]
    return ends


def _group_counts(
    connection: sqlite3.Connection, parts: Sequence[str], by: By | None, per_s: int | None
) -> _Counts:
    """Counts events by name and span, each looked at."""
    begin, per_us = ("NULL", 0) if per_s is None else (_BEGIN, _span_us(per_s))
    counts: _Counts = Counter()
    for part in parts:
        sql = f"SELECT {by or 'NULL'}, {begin}, count(*) FROM {part} GROUP BY 1, 2"
        for name, begin_us, count in connection.execute(sql, {"per": per_us}):
            counts[name or None, begin_us] += count
    return counts


def _span_us(per_s: int) -> int:
    return min(per_s * _SECOND_US, _SPAN_US_MAX)


def _at_hand(
    connection: sqlite3.Connection,
    selected: Selection,
    rows: Sequence[_Row],
    by: By | None,
    per_s: int | None,
) -> _Counts | None:
    """Returns the counts that a table or an index holds, None where there are none."""
    counts: _Counts = Counter()
    if per_s is None and by in ("type", "actor") and rows:
        for type_, actor, _, count in rows:
            counts[(type_ if by == "type" else actor) or None, None] += count
        return counts
    if selected.columns or (by is not None and per_s is not None) or by in ("type", "actor"):
        return None
    if per_s is not None:
        return _by_zones(connection, _span_us(per_s))
    for name, count in connection.execute(_ALL_BY.format(column=by)):
        counts[name or None, None] += count
    counts[None, None] += sum(row[-1] for row in rows) - counts.total()
    return counts


def _by_zones(connection: sqlite3.Connection, per_us: int) -> _Counts:
    """Counts all events by span of time, one by one only in zones that lie in several spans."""
    counts: _Counts = Counter()
    for number, events, times, first, last in connection.execute(_ZONE_TIMES).fetchall():
        counts[None, None] += events - times
        if not times:
            continue
        if first // per_us == last // per_us:
            counts[None, first // per_us * per_us] += times
            continue
        sql = (
            f"SELECT {_BEGIN}, count(*) FROM events WHERE time IS NOT NULL"
            " AND arrival BETWEEN :first AND :last GROUP BY 1"
        )
        first, last = zone_arrivals(number)
        values = {"per": per_us, "first": first, "last": last}
        for begin_us, count in connection.execute(sql, values):
            counts[None, begin_us] += count
    return counts


def _groups(connection: sqlite3.Connection, counts: _Counts) -> tuple[Group, ...]:
    names = _texts(connection, {name for name, _ in counts if name is not None})
    groups = [
        Group(None if name is None else names[name], begin_us, count)
        for (name, begin_us), count in counts.items()
        if count
    ]
    return tuple(sorted(groups, key=_group_key))


def _group_key(group: Group) -> tuple[bool, int, int, str]:
    return group.begin_us is None, group.begin_us or 0, -group.events, group.name or ""


def log_end(index: Index) -> LogEnd:
    """Returns the last event and the open steps; raises `read_failed`."""

    def work(connection: sqlite3.Connection) -> LogEnd:
        last = last_arrival(connection)
        if last is None:
            return LogEnd(None, ())
        begins = in_total_order(connection, _open_begins(index, connection))
        event, *still_open = events_at(index, connection, [last, *begins])
        first_of: dict[str, int] = {}
        for begin, arrival in zip(still_open, begins, strict=True):
            noise = begin.event_id[-NOISE_CHARACTERS:]
            first_of[noise] = min(arrival, first_of.get(noise, arrival))
        latest = {
            noise: connection.execute(_LAST_OF_PROCESS, {"begin": begin, "noise": noise}).fetchone()
            for noise, begin in first_of.items()
        }
        events = events_at(index, connection, [arrival for (arrival,) in latest.values()])
        seen_last = dict(zip(latest, (event.timestamp for event in events), strict=True))
        return LogEnd(event, tuple(still_open), seen_last)

    return index.answer(work)


def _open_begins(index: Index, connection: sqlite3.Connection) -> list[int]:
    """Returns the arrivals of the events that begin an open step.

    All events are read if another line of a begin or an end is served than the one that was
    indexed first.
    """
    if connection.execute("SELECT value FROM meta WHERE key = 'steps'").fetchone()[0]:
        return [arrival for (arrival,) in connection.execute("SELECT arrival FROM open_steps")]
    begins: dict[str, int] = {}
    ended: set[str | None] = set()
    end = event_count(connection) + 1
    for first in range(1, end, _ARRIVALS_TOGETHER):
        arrivals = range(first, min(first + _ARRIVALS_TOGETHER, end))
        for arrival, event in zip(arrivals, events_at(index, connection, arrivals), strict=True):
            ended.add(event.ends)
            if event.begins:
                begins[event.event_id] = arrival
    return [arrival for event_id, arrival in begins.items() if event_id not in ended]


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
    """Returns the overview of the present log; raises `read_failed`."""

    def work(connection: sqlite3.Connection) -> Overview:
        everything = Selection({}, {})
        counts = _named(connection, _from_table(connection, everything))
        ends = _ends(connection, Scan(everything, False, 0, NUMBER_MAX, None), None)
        earliest = _first(connection, _EARLIEST, "time_first", "min") or ends[:1]
        arrivals = [*ends, *earliest] if ends else []
        first, last, start = events_at(index, connection, arrivals) or (None, None, None)
        damage = connection.execute(_DAMAGE, {"limit": damage_max})
        return Overview(
            events=counts[0],
            unverified=counts[1],
            turns=(_first(connection, _TURNS, "turn_last", "max") or (0,))[0],
            by_type=counts[2],
            by_actor=counts[3],
            first=first,
            last=last,
            earliest=start,
            bad_lines=passed_over(connection)[0],
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
