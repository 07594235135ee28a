"""The candidates of an answer: a stretch of places, led by the index that leaves the fewest.

How many events a name or a span of turns leaves is tallied. A span of times or turns is looked
for on those shelves alone where it stands.

Events that follow each other are mostly of one time and one turn: then all but the ranges at the
ends of a span hold none of it, or nothing else, and only the events at the ends are looked at.
Where every range holds some of a span the counts are no help, and say so.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from thence.index.build.count_tables import KINDS, PAIRS, SHELF_BITS
from thence.index.build.places import STRIDE
from thence.index.build.selection import Ids, Selection, Span, listed_ids
from thence.index.build.tallies import of_turns

# from so many names on those of a shelf are gone through, not looked up
_NAMES_MAX = 24


class Spread(NamedTuple):
    """The first and the last shelf with events of a span, and how many it has at most."""

    first: int
    last: int
    events: int


class RangeCounts(NamedTuple):
    """How many of the events on a shelf are selected; None where they have to be counted."""

    number: int
    events: int | None


def spread(connection: sqlite3.Connection, column: str, span: Span) -> Spread | None:
    """Returns where the events of a span stand; None if there are none."""
    first, last, events = connection.execute(
        f"SELECT min(shelf), max(shelf), total({column}s) FROM shelves"
        f" WHERE {_overlaps(column, span)}"
    ).fetchone()
    return None if first is None else Spread(first, last, int(events))


def named(connection: sqlite3.Connection, column: str, ids: Ids) -> int:
    """Counts the events of some names in one column, by what is tallied."""
    if column in KINDS:
        sql = f"SELECT total(shelf_names.events) FROM {_of_names(column, ids)}"
    else:
        sql = f"SELECT total(events) FROM subject_tallies WHERE subject IN ({listed_ids(ids)})"
    return int(connection.execute(sql).fetchone()[0])


def shelves(connection: sqlite3.Connection, selection: Selection) -> list[RangeCounts] | None:
    """Returns the shelves on which selected events may stand, in order.

    None where the shelves don't tell: of subjects, of names in three columns.
    """
    names, spans = selection.names, selection.spans
    table, count = "shelves", "shelves.events"
    if len(names) > 2 or not KINDS.keys() >= names.keys():
        return None
    if len(names) == 2:
        table, count = _of_pairs(names), "sum(shelf_pairs.events)"
    elif names:
        ((column, ids),) = names.items()
        table, count = _of_names(column, ids), "sum(shelf_names.events)"
    overlaps = [_overlaps(column, span) for column, span in spans.items()]
    is_all = [f"{column}_first >= {first} AND {column}_last <= {last}"
              for column, (first, last) in spans.items()]  # fmt: skip
    if len(selection.columns) == 1 and spans:
        (count,) = (f"{column}s" for column in spans)
    else:
        is_all += [f"{column}s = shelves.events" for column in spans]
    if is_all:
        count = f"CASE WHEN {' AND '.join(is_all)} THEN {count} END"
    where = f"{' AND ' if names else ' WHERE '}{' AND '.join(overlaps)}" if overlaps else ""
    group = " GROUP BY shelves.shelf" if names else ""
    sql = f"SELECT shelves.shelf, {count} FROM {table}{where}{group} ORDER BY shelves.shelf"
    return [RangeCounts(*row) for row in connection.execute(sql)]


def _overlaps(column: str, span: Span) -> str:
    return f"{column}_first <= {span[1]} AND {column}_last >= {span[0]}"


def _of_names(column: str, ids: Ids) -> str:
    """Returns the shelves with their tallies of some names, as SQL."""
    name = "name" if len(ids) <= _NAMES_MAX else "+name"
    return (
        "shelves CROSS JOIN shelf_names ON shelf_names.shelf = shelves.shelf"
        f" AND kind = {KINDS[column]} WHERE {name} IN ({listed_ids(ids)})"
    )


def _of_pairs(names: Mapping[str, Ids]) -> str:
    """Returns the shelves with their tallies of names in two columns, as SQL."""
    (columns, kind), *_ = (pair for pair in PAIRS.items() if names.keys() == set(pair[0]))
    ones, others = (names[column] for column in columns)
    one = "one" if len(ones) <= _NAMES_MAX else "+one"
    other = "other" if len(ones) * len(others) <= _NAMES_MAX else "+other"
    return (
        "shelves CROSS JOIN shelf_pairs ON shelf_pairs.shelf = shelves.shelf"
        f" AND kind = {kind} WHERE {one} IN ({listed_ids(ones)})"
        f" AND {other} IN ({listed_ids(others)})"
    )


MERGED_NAMES_MAX = 24


class Bounds(NamedTuple):
    """Up to how many events a condition's are sorted.

    The table is read off, not looked up in, where a condition leaves more than one event in
    `sparse`. Of a span that lies on more than `looked` shelves at random its own index tells
    more. A shelf holds 2^`bits` places.
    """

    sorted: int = 10_000
    sparse: int = 4
    looked: int = 16
    bits: int = SHELF_BITS


USUAL = Bounds()


class PlaceRange(NamedTuple):
    """Events of a selection from place `first` to place `last`.

    `lead` is the column whose index gives the candidates, None where they are read off the
    table. `is_even` says that the places of all events are a stride apart. `snapshot` is the
    highest arrival of those that count, None for all.
    """

    selection: Selection
    is_even: bool
    first: int
    last: int
    lead: str | None = None
    snapshot: int | None = None

    @property
    def known_count(self) -> int | None:
        """How many events it holds, where that is arithmetic."""
        if not (self.is_even and self.selection.is_open and self.snapshot is None):
            return None
        return max(0, self.last // STRIDE - (self.first - 1) // STRIDE)

    def behind(self, skipped: int, descending: bool) -> "PlaceRange":
        """Returns the stretch without so many of its first events, where that is arithmetic."""
        assert self.known_count is not None
        if descending:
            return self._replace(last=self.last - skipped * STRIDE)
        return self._replace(first=self.first + skipped * STRIDE)

    def sql(self, descending: bool, columns: str = "place") -> str:
        """Returns the question for its places, in order; it takes :limit and :offset.

        Other columns may stand behind the place.
        """
        order = "ORDER BY place DESC" if descending else "ORDER BY place"
        parts = [f"SELECT {columns} FROM {part}" for part in self._parts()]
        return f"{' UNION ALL '.join(parts)} {order} LIMIT :limit OFFSET :offset"

    def count_sql(self) -> str:
        """Returns the question for the number of its events."""
        parts = [f"(SELECT count(*) FROM {part})" for part in self._parts()]
        return f"SELECT {' + '.join(parts)}"

    def _parts(self) -> list[str]:
        """Returns table and conditions of questions that together find each event once."""
        places = f"place BETWEEN {self.first} AND {self.last}"
        rest = [] if self.snapshot is None else [f"arrival <= {self.snapshot}"]
        if self.lead is None:
            conditions = [places, *self.selection.conditions(), *rest]
            return [f"events NOT INDEXED WHERE {' AND '.join(conditions)}"]
        rest += self.selection.without(self.lead).conditions()
        names = self.selection.names.get(self.lead, ())
        if 0 < len(names) <= MERGED_NAMES_MAX:  # in order each, and merged by SQLite
            leads = [f"{self.lead} = {name} AND {places}" for name in names]
        else:
            leads = [f"{self.selection.condition(self.lead)} AND +{places}"]
        return [f"events WHERE {' AND '.join([lead, *rest])}" for lead in leads]


def stretch(
    connection: sqlite3.Connection,
    selection: Selection,
    newest: int,
    bounds: Bounds = USUAL,
) -> PlaceRange:
    """Returns the stretch of all events of a selection; `newest` is how many there are."""
    last = connection.execute("SELECT max(place) FROM events").fetchone()[0] or 0
    whole = PlaceRange(selection, last == newest * STRIDE, 1, last)
    sizes: dict[str, int] = {}
    for column, ids in selection.names.items():
        sizes[column] = named(connection, column, ids)
    for column, span in selection.spans.items():
        found = spread(connection, column, span)
        if found is None:
            return whole._replace(last=0)
        first, end = found.first << bounds.bits, (found.last + 1 << bounds.bits) - 1
        whole = whole._replace(first=max(whole.first, first), last=min(whole.last, end))
        if column == "turn":
            sizes[column] = of_turns(connection, span)
            continue
        condition = selection.condition(column)
        sizes[column] = _counted(connection, condition, bounds.sorted, found.events)
    return whole._replace(lead=_lead(whole, sizes, newest, bounds))


def counts(
    connection: sqlite3.Connection, whole: PlaceRange, bounds: Bounds = USUAL
) -> list[tuple[int, int]] | None:
    """Counts the events of a stretch that is all of a selection, shelf by shelf.

    None where the shelves don't tell, or too little.
    """
    found = shelves(connection, whole.selection)
    if found is None:
        return None
    open_shelves = sum(shelf.events is None for shelf in found)
    if open_shelves > bounds.looked and len(whole.selection.columns) == 1:
        return None
    return [
        (number, _looked(connection, whole, number, bounds) if events is None else events)
        for number, events in found
    ]


def behind(
    whole: PlaceRange,
    found: Sequence[tuple[int, int]],
    offset: int,
    descending: bool,
    bits: int = SHELF_BITS,
) -> tuple[PlaceRange, int]:
    """Returns what of a stretch stands from one shelf on, and how many to pass over there.

    It is the shelf of the event behind `offset` others; `found` are the counts of its shelves.
    """
    for number, events in reversed(found) if descending else found:
        if offset < events:
            if descending:
                return whole._replace(last=min(whole.last, (number + 1 << bits) - 1)), offset
            return whole._replace(first=max(whole.first, number << bits)), offset
        offset -= events
    return whole._replace(last=0), 0


def _looked(connection: sqlite3.Connection, whole: PlaceRange, shelf: int, bounds: Bounds) -> int:
    """Counts the events on one shelf by looking at each."""
    first, last = shelf << bounds.bits, (shelf + 1 << bounds.bits) - 1
    names = len(whole.selection.names.get(whole.lead or "", ()))
    # other leads would be gone through from one end to the other
    lead = whole.lead if 0 < names <= MERGED_NAMES_MAX else None
    part = whole._replace(first=max(whole.first, first), last=min(whole.last, last), lead=lead)
    return int(connection.execute(part.count_sql()).fetchone()[0])


def _counted(connection: sqlite3.Connection, condition: str, most: int, otherwise: int) -> int:
    """Counts the events that one condition leaves, unless that takes too long."""
    some = f"SELECT 1 FROM events WHERE {condition} LIMIT {most + 1}"
    found = int(connection.execute(f"SELECT count(*) FROM ({some})").fetchone()[0])
    return found if found <= most else otherwise


def _lead(whole: PlaceRange, sizes: Mapping[str, int], newest: int, bounds: Bounds) -> str | None:
    """Chooses the column that leaves the fewest, if that beats reading the table."""
    selection = whole.selection
    is_single = len(selection.columns) == 1

    def is_fit(column: str) -> bool:
        if column in selection.spans:
            # a span in a narrow stretch of the table stands there in order already
            room = (whole.last - whole.first) // STRIDE
            return sizes[column] <= bounds.sorted and sizes[column] * bounds.sparse < room
        if sizes[column] <= bounds.sorted:
            return True
        merges = len(selection.names[column]) <= MERGED_NAMES_MAX
        return merges and (is_single or sizes[column] * bounds.sparse < newest)

    fit = [column for column in selection.columns if is_fit(column)]
    return min(fit, key=sizes.__getitem__, default=None)
