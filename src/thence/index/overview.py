"""Counts of the events that match a filter, by name and by time; the overview and end of a log.

The counts of types and actors, by node too, are in a table; for other filters SQLite groups the
events that match.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.ids import NOISE_CHARACTERS
from thence.core.query.filter import Filter
from thence.core.query.why import Group, LogEnd, Tally, descending
from thence.index import zones
from thence.index.connection import Index
from thence.index.lookup import events_at, in_total_order, last_arrival
from thence.index.query import Scan, matching, scan_of
from thence.index.rows import TOTAL_ORDER
from thence.index.segments import passed_over

By = Literal["type", "actor", "subject", "stream"]

_SECOND_US = 1_000_000
# a longer span would be beyond the integers of SQLite; this one holds all times since 1970
_SPAN_US_MAX = 2**62
_TOGETHER = 10_000
# the first microsecond of the span in which an event lies, before 1970 too
_BEGIN = "time - (time % :per + :per) % :per"
_LAST_OF_PROCESS = f"""
    SELECT arrival FROM events
    WHERE arrival >= :begin AND substr(event_id, -{NOISE_CHARACTERS}) = :noise
    ORDER BY arrival DESC LIMIT 1
"""

# type, actor and node, with the number of events: '' for none, and for another tool
_Row = tuple[str, str, str, int]
_ROW = "SELECT type, ifnull(actor, ''), CASE seq WHEN 0 THEN '' ELSE node END, count(*)"
_Values = Mapping[str, object]


def tally(index: Index, filter: Filter, by: By | None = None, per_s: int | None = None) -> Tally:
    """Counts the events of the present log that match, with groups by a name or by time.

    Spans of `per_s` seconds begin at multiples of it since 1970 UTC. Raises `read_failed`.
    """

    def work(connection: sqlite3.Connection) -> Tally:
        scan = scan_of(connection, filter)
        if scan is None:
            return Tally(0, 0, {}, {}, {}, None, None)
        if not filter.where:
            sources = [scan.source()]
            ends = _ends(connection, scan)
        else:
            arrivals = list(matching(index, connection, scan, filter))
            parts = (arrivals[at : at + _TOGETHER] for at in range(0, len(arrivals), _TOGETHER))
            sources = [f"events WHERE arrival IN ({str(part)[1:-1]})" for part in parts]
            ends = [arrivals[0], arrivals[-1]] if arrivals else []
        rows: list[_Row] = []
        if scan.is_counted and not filter.where:
            rows = _from_table(connection, scan)
        else:
            for source in sources:
                sql = f"{_ROW} FROM {source} GROUP BY 1, 2, 3"
                rows += connection.execute(sql, scan.values).fetchall()
        first, last = events_at(index, connection, ends) or (None, None)
        groups: tuple[Group, ...] = ()
        if by is not None or per_s is not None:
            groups = _groups(connection, sources, scan.values, by, per_s)
        return Tally(*_named(rows), first, last, groups)

    return index.answer(work)


def _from_table(connection: sqlite3.Connection, scan: Scan) -> list[_Row]:
    where = " AND ".join(["events > 0", *scan.conditions.values()])
    sql = f"SELECT type, actor, node, events FROM counts WHERE {where}"
    return connection.execute(sql, scan.values).fetchall()


def _named(
    rows: Sequence[_Row],
) -> tuple[int, int, dict[str, int], dict[str, int], dict[str, int]]:
    """Returns the numbers of all and of unverified events, and the counts by name."""
    types, actors, nodes = Counter[str](), Counter[str](), Counter[str]()
    for type_, actor, node, count in rows:
        types[type_] += count
        actors[actor] += count
        nodes[node] += count
    del actors[""]
    unverified = nodes.pop("", 0)
    by_name = descending(types), descending(actors), descending(nodes)
    return types.total(), unverified, *by_name


def _ends(connection: sqlite3.Connection, scan: Scan) -> list[int]:
    """Returns the first and the last arrival in total order, none where nothing matches."""
    ends: list[int] = []
    for descending_ in (False, True):
        rows = scan._replace(descending=descending_).rows(connection, "arrival", limit=1)
        ends += [row[0] for row in rows]
    return ends


def _groups(
    connection: sqlite3.Connection,
    sources: Sequence[str],
    values: _Values,
    by: By | None,
    per_s: int | None,
) -> tuple[Group, ...]:
    """Counts events by name and by span of time."""
    span_us = 0 if per_s is None else min(per_s * _SECOND_US, _SPAN_US_MAX)
    begin = "NULL" if per_s is None else _BEGIN
    counts: Counter[tuple[str | None, int | None]] = Counter()
    for source in sources:
        sql = f"SELECT nullif({by or 'NULL'}, ''), {begin}, count(*) FROM {source} GROUP BY 1, 2"
        for name, begin_us, count in connection.execute(sql, {**values, "per": span_us}):
            counts[name, begin_us] += count
    groups = [Group(name, begin_us, count) for (name, begin_us), count in counts.items()]
    return tuple(sorted(groups, key=_group_key))


def _group_key(group: Group) -> tuple[bool, int, int, str]:
    return group.begin_us is None, group.begin_us or 0, -group.events, group.name or ""


def log_end(index: Index) -> LogEnd:
    """Returns the last event and the open steps; raises `read_failed`."""

    def work(connection: sqlite3.Connection) -> LogEnd:
        last = last_arrival(connection)
        if last is None:
            return LogEnd(None, ())
        rows = connection.execute("SELECT begin FROM steps WHERE end IS NULL")
        begins = in_total_order(connection, [arrival for (arrival,) in rows])
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


_EARLIEST = f"""
    SELECT arrival FROM zones JOIN events
    ON arrival BETWEEN (number << :bits) + 1 AND (number + 1) << :bits
    WHERE time_first = (SELECT min(time_first) FROM zones) AND time = time_first
    ORDER BY {TOTAL_ORDER.replace("node", "events.node")} LIMIT 1
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
    """Returns the overview of the present log; raises `read_failed`."""

    def work(connection: sqlite3.Connection) -> Overview:
        everything = Scan({}, {}, None)
        counts = _named(_from_table(connection, everything))
        ends = _ends(connection, everything)
        rows = connection.execute(_EARLIEST, {"bits": zones.ZONE_BITS})
        earliest = [arrival for (arrival,) in rows] or ends[:1]
        (turns,) = connection.execute("SELECT max(turn_last) FROM zones").fetchone()
        first, last, start = events_at(index, connection, [*ends, *earliest]) or (None, None, None)
        damage = connection.execute(_DAMAGE, {"limit": damage_max})
        return Overview(
            events=counts[0],
            unverified=counts[1],
            turns=turns or 0,
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
