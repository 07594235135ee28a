"""The scan for the candidates of an answer: a range of places, by the most selective column.

The number of events with a name or in a span of turns is known from the count tables. A span of
times or turns is searched only in the ranges that overlap it.

Consecutive events usually have the same time and turn. Then each range lies wholly inside or
outside of a span, except those at its ends, and only events in the latter are counted one by
one. Where many ranges overlap a span in part, the count tables don't help and None is returned.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from thence.index.tables.count_tables import KINDS, PAIRS, RANGE_BITS, of_turns
from thence.index.tables.places import STRIDE
from thence.index.tables.selection import Ids, Selection, Span, listed_ids

# with more names than this the rows of a range are scanned, not looked up
_NAMES_MAX = 24


class Spread(NamedTuple):
    """The first and the last range with events of a span, and the most events it can have."""

    first: int
    last: int
    events: int


class RangeCounts(NamedTuple):
    """The number of selected events in a range; None where they have to be counted."""

    number: int
    events: int | None


def spread(connection: sqlite3.Connection, column: str, span: Span) -> Spread | None:
    """Returns the ranges that hold the events of a span; None if there are none."""
    first, last, events = connection.execute(
        f"SELECT min(number), max(number), total({column}s) FROM counts_by_range"
        f" WHERE {_overlaps(column, span)}"
    ).fetchone()
    return None if first is None else Spread(first, last, int(events))


def count_named(connection: sqlite3.Connection, column: str, ids: Ids) -> int:
    """Returns the number of events with some names in one column."""
    if column in KINDS:
        sql = f"SELECT total(counts_by_name.events) FROM {_names_sql(column, ids)}"
    else:
        sql = f"SELECT total(events) FROM counts_by_subject WHERE subject IN ({listed_ids(ids)})"
    return int(connection.execute(sql).fetchone()[0])


def range_counts(connection: sqlite3.Connection, selection: Selection) -> list[RangeCounts] | None:
    """Returns the counts of the ranges that may hold selected events, in order.

    None where the count tables have no such counts: for subjects, for names in three columns.
    """
    names, spans = selection.names, selection.spans
    table, count = "counts_by_range", "counts_by_range.events"
    if len(names) > 2 or not KINDS.keys() >= names.keys():
        return None
    if len(names) == 2:
        table, count = _pairs_sql(names), "sum(counts_by_pair.events)"
    elif names:
        ((column, ids),) = names.items()
        table, count = _names_sql(column, ids), "sum(counts_by_name.events)"
    overlaps = [_overlaps(column, span) for column, span in spans.items()]
    is_all = [f"{column}_first >= {first} AND {column}_last <= {last}"
              for column, (first, last) in spans.items()]  # fmt: skip
    if len(selection.columns) == 1 and spans:
        (count,) = (f"{column}s" for column in spans)
    else:
        is_all += [f"{column}s = counts_by_range.events" for column in spans]
    if is_all:
        count = f"CASE WHEN {' AND '.join(is_all)} THEN {count} END"
    where = f"{' AND ' if names else ' WHERE '}{' AND '.join(overlaps)}" if overlaps else ""
    group = " GROUP BY number" if names else ""
    sql = f"SELECT number, {count} FROM {table}{where}{group} ORDER BY number"
    return [RangeCounts(*row) for row in connection.execute(sql)]


def _overlaps(column: str, span: Span) -> str:
    return f"{column}_first <= {span[1]} AND {column}_last >= {span[0]}"


def _names_sql(column: str, ids: Ids) -> str:
    """Returns the SQL for the ranges with their counts of some names."""
    name = "name" if len(ids) <= _NAMES_MAX else "+name"
    return (
        "counts_by_range CROSS JOIN counts_by_name USING (number)"
        f" WHERE kind = {KINDS[column]} AND {name} IN ({listed_ids(ids)})"
    )


def _pairs_sql(names: Mapping[str, Ids]) -> str:
    """Returns the SQL for the ranges with their counts of names in two columns."""
    (columns, kind), *_ = (pair for pair in PAIRS.items() if names.keys() == set(pair[0]))
    ones, others = (names[column] for column in columns)
    one = "one" if len(ones) <= _NAMES_MAX else "+one"
    other = "other" if len(ones) * len(others) <= _NAMES_MAX else "+other"
    return (
        "counts_by_range CROSS JOIN counts_by_pair USING (number)"
        f" WHERE kind = {kind} AND {one} IN ({listed_ids(ones)})"
        f" AND {other} IN ({listed_ids(others)})"
    )


MERGED_NAMES_MAX = 24


class Bounds(NamedTuple):
    """The limits by which a scan chooses its column index.

    `sorted` is the most rows sorted for one condition. The table is scanned where a condition
    leaves more than one event in `sparse`. If more than `looked` ranges hold part of a span,
    the column's own index is faster than counting range by range. A range has 2^`bits` places.
    """

    sorted: int = 10_000
    sparse: int = 4
    looked: int = 16
    bits: int = RANGE_BITS


USUAL = Bounds()


class PlaceRange(NamedTuple):
    """The events of a selection from place `first` to place `last`.

    `lead` is the column whose index gives the candidates, None for a scan of the table.
    `is_even` means that the places of all events are one stride apart. `snapshot` is the
    highest arrival that counts, None for all.
    """

    selection: Selection
    is_even: bool
    first: int
    last: int
    lead: str | None = None
    snapshot: int | None = None

    @property
    def known_count(self) -> int | None:
        """The number of events in the range where it follows by arithmetic, else None."""
        if not (self.is_even and self.selection.is_open and self.snapshot is None):
            return None
        return max(0, self.last // STRIDE - (self.first - 1) // STRIDE)

    def behind(self, skipped: int, descending: bool) -> "PlaceRange":
        """Returns the range without its first `skipped` events, by arithmetic."""
        assert self.known_count is not None
        if descending:
            return self._replace(last=self.last - skipped * STRIDE)
        return self._replace(first=self.first + skipped * STRIDE)

    def sql(self, descending: bool, columns: str = "place") -> str:
        """Returns the SQL for the places in order, with parameters :limit and :offset.

        `columns` may name other columns behind the place.
        """
        order = "ORDER BY place DESC" if descending else "ORDER BY place"
        parts = [f"SELECT {columns} FROM {part}" for part in self._parts()]
        return f"{' UNION ALL '.join(parts)} {order} LIMIT :limit OFFSET :offset"

    def count_sql(self) -> str:
        """Returns the SQL for the number of events."""
        parts = [f"(SELECT count(*) FROM {part})" for part in self._parts()]
        return f"SELECT {' + '.join(parts)}"

    def _parts(self) -> list[str]:
        """Returns table and conditions of queries that together find each event once."""
        places = f"place BETWEEN {self.first} AND {self.last}"
        rest = [] if self.snapshot is None else [f"arrival <= {self.snapshot}"]
        if self.lead is None:
            conditions = [places, *self.selection.conditions(), *rest]
            return [f"events NOT INDEXED WHERE {' AND '.join(conditions)}"]
        rest += self.selection.without(self.lead).conditions()
        names = self.selection.names.get(self.lead, ())
        if 0 < len(names) <= MERGED_NAMES_MAX:  # each query is in order, and SQLite merges them
            leads = [f"{self.lead} = {name} AND {places}" for name in names]
        else:
            leads = [f"{self.selection.condition(self.lead)} AND +{places}"]
        return [f"events WHERE {' AND '.join([lead, *rest])}" for lead in leads]


def scan_range(
    connection: sqlite3.Connection,
    selection: Selection,
    newest: int,
    bounds: Bounds = USUAL,
) -> PlaceRange:
    """Returns the range of all events of a selection; `newest` is the number of all events."""
    last = connection.execute("SELECT max(place) FROM events").fetchone()[0] or 0
    scan = PlaceRange(selection, last == newest * STRIDE, 1, last)
    sizes: dict[str, int] = {}
    for column, ids in selection.names.items():
        sizes[column] = count_named(connection, column, ids)
    for column, span in selection.spans.items():
        found = spread(connection, column, span)
        if found is None:
            return scan._replace(last=0)
        first, end = found.first << bounds.bits, (found.last + 1 << bounds.bits) - 1
        scan = scan._replace(first=max(scan.first, first), last=min(scan.last, end))
        if column == "turn":
            sizes[column] = of_turns(connection, span)
            continue
        condition = selection.condition(column)
        sizes[column] = _count_up_to(connection, condition, bounds.sorted, found.events)
    return scan._replace(lead=_lead(scan, sizes, newest, bounds))


def count_ranges(
    connection: sqlite3.Connection, scan: PlaceRange, bounds: Bounds = USUAL
) -> list[tuple[int, int]] | None:
    """Counts all events of a selection, range by range.

    None where the count tables don't have these counts, or too few of them.
    """
    found = range_counts(connection, scan.selection)
    if found is None:
        return None
    partial_ranges = sum(counted.events is None for counted in found)
    if partial_ranges > bounds.looked and len(scan.selection.columns) == 1:
        return None
    return [
        (number, _count_one_by_one(connection, scan, number, bounds) if events is None else events)
        for number, events in found
    ]


def behind(
    scan: PlaceRange,
    found: Sequence[tuple[int, int]],
    offset: int,
    descending: bool,
    bits: int = RANGE_BITS,
) -> tuple[PlaceRange, int]:
    """Returns the rest of a scan from one range on, and how many events to skip there.

    The range is that of the event behind `offset` others; `found` are the counts by range.
    """
    for number, events in reversed(found) if descending else found:
        if offset < events:
            if descending:
                return scan._replace(last=min(scan.last, (number + 1 << bits) - 1)), offset
            return scan._replace(first=max(scan.first, number << bits)), offset
        offset -= events
    return scan._replace(last=0), 0


def _count_one_by_one(
    connection: sqlite3.Connection, scan: PlaceRange, counted: int, bounds: Bounds
) -> int:
    """Counts the events in one range, one by one."""
    first, last = counted << bounds.bits, (counted + 1 << bounds.bits) - 1
    names = len(scan.selection.names.get(scan.lead or "", ()))
    # any other column index would be scanned completely
    lead = scan.lead if 0 < names <= MERGED_NAMES_MAX else None
    part = scan._replace(first=max(scan.first, first), last=min(scan.last, last), lead=lead)
    return int(connection.execute(part.count_sql()).fetchone()[0])


def _count_up_to(connection: sqlite3.Connection, condition: str, most: int, otherwise: int) -> int:
    """Counts the events of one condition up to `most`; beyond that returns `otherwise`."""
    some = f"SELECT 1 FROM events WHERE {condition} LIMIT {most + 1}"
    found = int(connection.execute(f"SELECT count(*) FROM ({some})").fetchone()[0])
    return found if found <= most else otherwise


def _lead(scan: PlaceRange, sizes: Mapping[str, int], newest: int, bounds: Bounds) -> str | None:
    """Chooses the column with the fewest candidates if that is faster than a table scan."""
    selection = scan.selection
    is_single = len(selection.columns) == 1

    def is_fit(column: str) -> bool:
        if column in selection.spans:
            # in a narrow range of the table the events of a span are in order already
            room = (scan.last - scan.first) // STRIDE
            return sizes[column] <= bounds.sorted and sizes[column] * bounds.sparse < room
        if sizes[column] <= bounds.sorted:
            return True
        merges = len(selection.names[column]) <= MERGED_NAMES_MAX
        return merges and (is_single or sizes[column] * bounds.sparse < newest)

    fit = [column for column in selection.columns if is_fit(column)]
    return min(fit, key=sizes.__getitem__, default=None)
