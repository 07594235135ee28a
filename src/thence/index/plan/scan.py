"""The scan of an index for the events of a filter: which column leads, and between what clocks.

An index of a column of names holds the total order within each name, so that a page is found
without sorting. A span of times or turns has no index: it is searched between the clocks of the
zones that overlap it, and counted by them.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from thence.core.query.filter import Filter, is_named, is_pattern
from thence.index.file.lookup import NODE_NAME
from thence.index.tables.zones import (
    Span,
    ZoneCount,
    count_of,
    overlapping,
    zone_arrivals,
)

NUMBER_MIN, NUMBER_MAX = -(2**63), 2**63 - 1
# lamport, node_id, timestamp of a line without a clock, event_id: `Event.order_key` in bytes
Key = tuple[int, bytes, bytes, bytes]
Ids = tuple[int, ...]

# the most rows that are sorted for one page: 10,000 take about 10 ms
SORTED_MAX = 10_000
# the names whose rows are merged in order, each from its own part of an index
MERGED_NAMES_MAX = 24
# the index in which a column's names have their events in total order
_INDEXES = {"type": "types", "stream": "streams", "subject": "subjects", "actor": "actors"}
_KEY = f"lamport, stamp, {NODE_NAME} AS node_name, event_id AS key_id"
_ORDER = "lamport, stamp, node_name, key_id"
_ORDER_DESCENDING = "lamport DESC, stamp DESC, node_name DESC, key_id DESC"


class Selection(NamedTuple):
    """The conditions of a filter by column of the index, all but `where`.

    `names` are numbers of names, any of which matches; `spans` are first and last values.
    """

    names: Mapping[str, Ids]
    spans: Mapping[str, Span]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have a condition."""
        return (*self.names, *self.spans)

    def condition(self, column: str) -> str:
        """Returns the condition of one column, as SQL."""
        if column in self.names:
            return f"{column} IN ({_listed(self.names[column])})"
        first, last = self.spans[column]
        return f"{column} BETWEEN {first} AND {last}"

    def rest(self, *led: str) -> list[str]:
        """Returns the conditions of all other columns, as SQL for which SQLite uses no index."""
        return [f"+{self.condition(column)}" for column in self.columns if column not in led]


def selection(connection: sqlite3.Connection, filter: Filter) -> Selection | None:
    """Returns the selection of a filter in an index; None if no event can match."""
    named = {
        "type": filter.types,
        "actor": filter.actors,
        "subject": filter.subjects,
        "stream": filter.streams,
    }
    ids = {column: _ids(connection, column, names) for column, names in named.items() if names}
    if not all(ids.values()):
        return None
    bounds = {
        "turn": (filter.turn_first, filter.turn_last),
        "time": (filter.since, filter.until),
    }
    spans = {
        column: (
            NUMBER_MIN if first is None else max(first, NUMBER_MIN),
            NUMBER_MAX if last is None else min(last, NUMBER_MAX),
        )
        for column, (first, last) in bounds.items()
        if first is not None or last is not None
    }
    return Selection(ids, spans)


def _ids(connection: sqlite3.Connection, column: str, names: Sequence[str]) -> Ids:
    """Returns the numbers of names that are in the index, each once.

    A type or an actor may be a glob, which stands for all names of its column that match.
    """
    if column in ("type", "actor") and any(map(is_pattern, names)):
        sql = f"SELECT id, text FROM names WHERE id IN (SELECT {column} FROM counts)"
        rows = connection.execute(sql).fetchall()
        return tuple(row[0] for row in rows if is_named(row[1], names))
    number = "SELECT id FROM names WHERE text = ?"
    rows = [connection.execute(number, (name,)).fetchone() for name in dict.fromkeys(names)]
    return tuple(row[0] for row in rows if row is not None)


def _listed(ids: Ids) -> str:
    """Returns numbers as a list in SQL."""
    return ", ".join(map(str, ids))


class Scan(NamedTuple):
    """The events of a selection whose clocks are from `first` to `last`, in total order.

    `lead` is the column whose index gives the candidates, None for the index of the order.
    `behind` is the key behind which the scan begins, `snapshot` the highest arrival that counts.
    """

    selection: Selection
    descending: bool
    first: int
    last: int
    lead: str | None
    behind: Key | None = None
    snapshot: int | None = None

    def rows(
        self, connection: sqlite3.Connection, columns: str, limit: int = NUMBER_MAX, offset: int = 0
    ) -> sqlite3.Cursor:
        """Returns columns of the events in order, `arrival` first, and their keys."""
        scan = self
        if offset:
            position = self._position(connection, offset)
            if position is None:
                return connection.execute("SELECT 1 WHERE FALSE")
            bound, offset = position
            scan = self._replace(last=bound) if self.descending else self._replace(first=bound)
        order = _ORDER_DESCENDING if self.descending else _ORDER
        sql = f"{scan._union(f'{columns}, {_KEY}')} ORDER BY {order} LIMIT :limit OFFSET :offset"
        return connection.execute(sql, {**self._values(), "limit": limit, "offset": offset})

    def _position(self, connection: sqlite3.Connection, offset: int) -> tuple[int, int] | None:
        """Returns the clock of the event behind `offset` others, and how many share it before.

        No names and ids are compared on the way: the index alone is walked.
        """
        sign = " DESC" if self.descending else ""
        order = f"ORDER BY lamport{sign}, stamp{sign}, arrival{sign} LIMIT 1 OFFSET :offset"
        sql = f"{self._union('lamport, stamp, arrival')} {order}"
        row = connection.execute(sql, {**self._values(), "offset": offset}).fetchone()
        if row is None:
            return None
        clock, stamp, arrival = row
        before = f"(stamp, arrival) {'>' if self.descending else '<'} (:at_stamp, :at_arrival)"
        block = self._replace(first=clock, last=clock)
        values = {"at_stamp": stamp, "at_arrival": arrival}
        return clock, block.count(connection, [before], values)

    def count(
        self,
        connection: sqlite3.Connection,
        conditions: Sequence[str] = (),
        values: Mapping[str, object] = MappingProxyType({}),
    ) -> int:
        """Returns the number of events, those with further conditions."""
        parts = [" AND ".join([part, *conditions]) for part in self._parts()]
        sql = f"SELECT {' + '.join(f'(SELECT count(*) FROM {part})' for part in parts)}"
        return int(connection.execute(sql, {**self._values(), **values}).fetchone()[0])

    def _values(self) -> dict[str, object]:
        if self.behind is None:
            return {}
        lamport, *texts = self.behind
        node, stamp, event_id = (text.decode("utf-8", "replace") for text in texts)
        return {"lamport": lamport, "stamp": stamp, "node": node, "event_id": event_id}

    def _union(self, columns: str) -> str:
        return " UNION ALL ".join(f"SELECT {columns} FROM {part}" for part in self._parts())

    def _parts(self) -> list[str]:
        """Returns table and conditions of queries that together find each event once."""
        conditions = self._bounds()
        if self.snapshot is not None:
            conditions.append(f"+arrival <= {self.snapshot}")
        conditions += self.selection.rest(self.lead or "")
        names = self.selection.names.get(self.lead or "", ())
        if 0 < len(names) <= MERGED_NAMES_MAX:  # each query is in order, and SQLite merges them
            leads = [f"{self.lead} = {name}" for name in names]
        else:
            leads = ["TRUE" if self.lead is None else self.selection.condition(self.lead)]
        source = "ordered" if self.lead is None else _INDEXES[self.lead]
        return [
            f"events INDEXED BY {source} WHERE {' AND '.join([lead, *conditions])}"
            for lead in leads
        ]

    def _bounds(self) -> list[str]:
        """Returns the conditions for the clocks, and for the key behind which the scan begins."""
        bounds = [f"lamport >= {self.first}", f"lamport <= {self.last}"]
        if self.behind is None:
            return bounds
        sign = "<" if self.descending else ">"
        key = f"(lamport, stamp, {NODE_NAME}, event_id) {sign} (:lamport, :stamp, :node, :event_id)"
        clock = self.behind[0]
        near = f"(lamport, stamp) {sign}= (:lamport, :stamp)"
        if self.descending and clock <= self.last:
            bounds[1] = near
        elif not self.descending and clock >= self.first:
            bounds[0] = near
        return [*bounds, key]


def scan_of(connection: sqlite3.Connection, selection: Selection, descending: bool) -> Scan | None:
    """Returns the scan for all events of a selection; None if there are none."""
    first, last = 0, NUMBER_MAX
    for column, span in selection.spans.items():
        zones = overlapping(connection, column, span)
        if not zones:
            return None
        first = max(first, min(zone.first for zone in zones))
        last = min(last, max(zone.last for zone in zones))
    lead = _lead(connection, selection)
    return Scan(selection, descending, first, last, lead)


def _lead(connection: sqlite3.Connection, selection: Selection) -> str | None:
    """Chooses the names with the fewest events; None where these can't be had in order."""
    sizes: dict[str, int] = {}
    for column, ids in selection.names.items():
        size = 0  # a single column of few names leads anyway
        if len(selection.names) > 1 or len(ids) > MERGED_NAMES_MAX:
            size = _size_up_to(connection, selection, column, SORTED_MAX + 1)
        if size <= SORTED_MAX or len(ids) <= MERGED_NAMES_MAX:
            sizes[column] = size
    return min(sizes, key=sizes.__getitem__, default=None)


def _size_up_to(
    connection: sqlite3.Connection, selection: Selection, column: str, most: int
) -> int:
    """Returns the number of events with the names of one column, of subjects up to `most`."""
    condition = selection.condition(column)
    if column in ("type", "actor"):
        return count_of(connection, {column: condition})
    some = f"SELECT 1 FROM events WHERE {condition} LIMIT {most}"
    return int(connection.execute(f"SELECT count(*) FROM ({some})").fetchone()[0])


def total(connection: sqlite3.Connection, selection: Selection) -> int:
    """Returns the number of all events of a selection."""
    names, spans = selection.names, selection.spans
    if not selection.columns:
        row = connection.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()
        return int(row[0])
    if not spans and {"type", "actor"}.issuperset(names) and 0 not in names.get("actor", ()):
        conditions = {column: selection.condition(column) for column in names}
        return count_of(connection, conditions)
    if len(selection.columns) == 1:
        for column, span in spans.items():
            zones = overlapping(connection, column, span)
            return sum(_count_in_zone(connection, selection, zone) for zone in zones)
        (column,) = names
        return _size_up_to(connection, selection, column, NUMBER_MAX)
    return _total_of_several(connection, selection)


def _count_in_zone(connection: sqlite3.Connection, selection: Selection, zone: ZoneCount) -> int:
    if zone.events is not None:
        return zone.events
    return _count_between(connection, selection, *zone_arrivals(zone.number))


def _count_between(
    connection: sqlite3.Connection, selection: Selection, first: int, last: int
) -> int:
    """Counts the events of a selection in a range of arrivals, each looked at."""
    conditions = [f"arrival BETWEEN {first} AND {last}", *selection.rest()]
    sql = f"SELECT count(*) FROM events NOT INDEXED WHERE {' AND '.join(conditions)}"
    return int(connection.execute(sql).fetchone()[0])


def _total_of_several(connection: sqlite3.Connection, selection: Selection) -> int:
    """Counts by the column with the fewest candidates, or in the arrivals that a span can have."""
    scan = scan_of(connection, selection, descending=False)
    if scan is None:
        return 0
    first, last = 1, NUMBER_MAX
    for column, span in selection.spans.items():
        zones = overlapping(connection, column, span)
        first = max(first, zone_arrivals(zones[0].number)[0])
        last = min(last, zone_arrivals(zones[-1].number)[1])
    if scan.lead is not None:
        size = _size_up_to(connection, selection, scan.lead, last - first + 1)
        # rows one behind the other are read about three times as fast as single ones
        if last - first >= 3 * size:
            return scan.count(connection)
    return _count_between(connection, selection, first, last)
