"""Counts of the events that match a filter, by type, actor, node, subject or time; the log's end.

Without a filter the counts of types, actors and nodes are those of the tables; else the events
that match are gone through once.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from thence.core.ids import NOISE_CHARACTERS
from thence.core.query.filter import Filter
from thence.core.query.tally import Group, LogEnd, Tally, descending
from thence.index.file.database import Index
from thence.index.file.lookup import events_at, in_total_order, last_arrival
from thence.index.plan.matching import matching
from thence.index.plan.scan import Scan, scan_of, selection, sources
from thence.index.tables.zones import zone_arrivals

By = Literal["type", "actor", "subject"]

_SECOND_US = 1_000_000
_ARRIVALS_TOGETHER = 10_000
_TABLES = "SELECT type, actor, NULL, events FROM counts"
_NODES = "SELECT NULL, NULL, node, sum(events) FROM zones GROUP BY node"
_STRANGERS = """
    SELECT node, count(*) FROM events INDEXED BY strangers WHERE seq = 0 GROUP BY node
"""
_ALL_BY = {
    "type": "SELECT type, sum(events) FROM counts GROUP BY type",
    "actor": "SELECT actor, sum(events) FROM counts GROUP BY actor",
    "subject": """
        SELECT subject, count(*) FROM events INDEXED BY subjects
        WHERE subject IS NOT NULL GROUP BY subject
    """,
}
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

# numbers of type, actor and node, with the number of events; None where it is not told
_Row = tuple[int | None, int | None, int | None, int]


def tally(index: Index, filter: Filter, by: By | None = None, per_s: int | None = None) -> Tally:
    """Counts the events of the present log that match, with groups by a name or by time.

    Spans of `per_s` seconds begin at multiples of it since 1970 UTC. Raises ReadFailed.
    """

    def work(connection: sqlite3.Connection) -> Tally:
        selected = selection(connection, filter)
        scan = None if selected is None else scan_of(connection, selected, descending=False)
        if selected is None or scan is None:
            return Tally(0, 0, {}, {}, {}, None, None)
        is_all = not selected.columns and not filter.where
        parts = sources(connection, selected)
        arrivals: list[int] = []
        if filter.where:
            arrivals = list(matching(index, connection, scan, filter))
            parts = list(_parts_of(arrivals))
        rows = _whole(connection) if is_all else _counted(connection, parts)
        ends = _ends(connection, scan, arrivals if filter.where else None)
        first, last = events_at(index, connection, ends) or (None, None)
        groups: tuple[Group, ...] = ()
        if by is not None or per_s is not None:
            grouped = _groups_of_all if is_all else _groups
            groups = grouped(connection, parts, by, per_s)
        return Tally(*_named(connection, rows), first, last, groups)

    return index.answer(work)


def _parts_of(arrivals: Sequence[int]) -> Iterator[str]:
    for at in range(0, len(arrivals), _ARRIVALS_TOGETHER):
        values = json.dumps(arrivals[at : at + _ARRIVALS_TOGETHER])
        yield f"(SELECT events.* FROM json_each('{values}') CROSS JOIN events ON arrival = value)"


def _whole(connection: sqlite3.Connection) -> list[_Row]:
    """Returns the counts of all events by the tables: of types with actors, then of nodes."""
    rows = connection.execute(_TABLES).fetchall()
    strangers = dict(connection.execute(_STRANGERS).fetchall())
    for *_, node, count in connection.execute(_NODES):
        rows.append((None, None, node, count - strangers.get(node, 0)))
    return rows


def _counted(connection: sqlite3.Connection, parts: Sequence[str]) -> list[_Row]:
    rows: list[_Row] = []
    for part in parts:
        sql = f"SELECT type, actor, CASE seq WHEN 0 THEN NULL ELSE node END, count(*) FROM {part}"
        counts = connection.execute(f"{sql} GROUP BY 1, 2, 3").fetchall()
        for type_, actor, node, count in counts:
            rows += [(type_, actor or 0, None, count), (None, None, node, count)]
    return rows


def _named(
    connection: sqlite3.Connection, rows: Sequence[_Row]
) -> tuple[int, int, dict[str, int], dict[str, int], dict[str, int]]:
    """Returns the numbers of all and of unverified events, and the counts by name."""
    types, actors, nodes = Counter[int](), Counter[int](), Counter[int]()
    for type_, actor, node, count in rows:
        if type_ is not None:
            types[type_] += count
            actors[actor or 0] += count
        elif node is not None:
            nodes[node] += count
    del actors[0]
    names = _texts(connection, {*types, *actors, *nodes})
    by_name = [
        descending({names[number]: count for number, count in counter.items() if count})
        for counter in (types, actors, nodes)
    ]
    events = types.total()
    return events, events - nodes.total(), by_name[0], by_name[1], by_name[2]


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


def _groups(
    connection: sqlite3.Connection, parts: Sequence[str], by: By | None, per_s: int | None
) -> tuple[Group, ...]:
    per_us = (per_s or 0) * _SECOND_US
    begin = "NULL" if per_s is None else _BEGIN
    counts: Counter[tuple[int | None, int | None]] = Counter()
    for part in parts:
        sql = f"SELECT {by or 'NULL'}, {begin}, count(*) FROM {part} GROUP BY 1, 2"
        for name, begin_us, count in connection.execute(sql, {"per": per_us}):
            counts[name or None, begin_us] += count
    return _sorted_groups(connection, counts)


def _groups_of_all(
    connection: sqlite3.Connection, parts: Sequence[str], by: By | None, per_s: int | None
) -> tuple[Group, ...]:
    """Returns the groups of all events: without looking at them, if tables or an index can tell."""
    if per_s is not None:
        if by is not None:
            return _groups(connection, parts, by, per_s)
        return _sorted_groups(connection, _by_zones(connection, per_s * _SECOND_US))
    counts: Counter[tuple[int | None, int | None]] = Counter()
    for name, count in connection.execute(_ALL_BY[by or "type"]):
        counts[name or None, None] += count
    total = connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()[0]
    counts[None, None] += total - counts.total()
    return _sorted_groups(connection, counts)


def _by_zones(
    connection: sqlite3.Connection, per_us: int
) -> "Counter[tuple[int | None, int | None]]":
    """Counts all events by span of time, one by one only in zones that lie in several spans."""
    counts: Counter[tuple[int | None, int | None]] = Counter()
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


def _sorted_groups(
    connection: sqlite3.Connection, counts: "Counter[tuple[int | None, int | None]]"
) -> tuple[Group, ...]:
    names = _texts(connection, {name for name, _ in counts if name is not None})
    groups = [
        Group(None if name is None else names[name], begin_us, count)
        for (name, begin_us), count in counts.items()
        if count
    ]
    return tuple(sorted(groups, key=_group_key))


def _group_key(group: Group) -> tuple[bool, int, int, str]:
    return group.begin_us is None, group.begin_us or 0, -group.events, group.name or ""


def log_end(index: Index) -> LogEnd | None:
    """Returns the last event and the open steps; None where only a reading can tell them.

    Raises ReadFailed.
    """

    def work(connection: sqlite3.Connection) -> LogEnd | None:
        row = connection.execute("SELECT value FROM meta WHERE key = 'steps'").fetchone()
        if not row[0]:
            return None
        last = last_arrival(connection)
        if last is None:
            return LogEnd(None, ())
        rows = connection.execute("SELECT arrival FROM open_steps").fetchall()
        begins = in_total_order(connection, (arrival for (arrival,) in rows))
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
