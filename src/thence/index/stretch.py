"""The candidates of an answer: a stretch of places, led by the index that leaves the fewest.

How many events a condition leaves is tallied for types and actors; for others it is counted
up to a bound. A wide span of times or turns that turns out to be a stretch of places without
a gap, as it is in most logs, is asked as such from then on.
"""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from thence.index.places import STRIDE
from thence.index.selection import Ids, Selection, listed_ids

MERGED_NAMES_MAX = 24


class Bounds(NamedTuple):
    """Up to how many events a condition's are counted, and sorted.

    The table is read off, not looked up in, where a condition leaves more than one event in
    `sparse`.
    """

    counted: int = 50_000
    sorted: int = 10_000
    sparse: int = 4


USUAL = Bounds()


class Stretch(NamedTuple):
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

    def behind(self, skipped: int, descending: bool) -> "Stretch":
        """Returns the stretch without so many of its first events, where that is arithmetic."""
        assert self.known_count is not None
        if descending:
            return self._replace(last=self.last - skipped * STRIDE)
        return self._replace(first=self.first + skipped * STRIDE)

    def sql(self, descending: bool) -> str:
        """Returns the question for its places, in order; it takes :limit and :offset."""
        order = "ORDER BY place DESC" if descending else "ORDER BY place"
        parts = [f"SELECT place FROM {part}" for part in self._parts()]
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
    is_counted: bool,
    bounds: Bounds = USUAL,
) -> Stretch:
    """Returns the stretch of all events of a selection; `newest` is how many there are.

    With `is_counted` all of them will be looked at, so that wide spans are worth a look of
    their own.
    """
    last = connection.execute("SELECT max(place) FROM events").fetchone()[0] or 0
    whole = Stretch(selection, last == newest * STRIDE, 1, last)
    sizes = {
        column: _size(connection, selection, column, newest, bounds.counted)
        for column in selection.columns
    }
    if is_counted and min(sizes.values(), default=0) > bounds.counted:
        for column in selection.spans:
            whole = _narrowed(connection, whole, column)
    return whole._replace(lead=_lead(whole.selection, sizes, newest, bounds))


def tallied(connection: sqlite3.Connection, names: Mapping[str, Ids]) -> int | None:
    """Returns how many events have these types and actors; None where no tally tells it."""
    if not {"type", "actor"}.issuperset(names) or 0 in names.get("actor", ()):
        return None  # an empty actor is tallied with none at all
    conditions = [f"{column} IN ({listed_ids(ids)})" for column, ids in names.items()]
    where = " AND ".join(["TRUE", *conditions])
    found = connection.execute(f"SELECT total(events) FROM tallies WHERE {where}").fetchone()
    return int(found[0])


def _size(
    connection: sqlite3.Connection, selection: Selection, column: str, newest: int, most: int
) -> int:
    """Counts the events that one condition leaves; it is `newest` where that takes too long."""
    if column in selection.names:
        exact = tallied(connection, {column: selection.names[column]})
        if exact is not None:
            return exact
    condition = selection.condition(column)
    some = f"SELECT 1 FROM events WHERE {condition} LIMIT {most + 1}"
    found = int(connection.execute(f"SELECT count(*) FROM ({some})").fetchone()[0])
    return found if found <= most else newest


def _narrowed(connection: sqlite3.Connection, whole: Stretch, column: str) -> Stretch:
    """Bounds a stretch by the places of a span, which then needn't be asked if it has no gap."""
    count, low, high = connection.execute(
        "SELECT count(*), min(place), max(place) FROM events"
        f" WHERE {whole.selection.condition(column)}"
    ).fetchone()
    if not count:
        return whole._replace(last=0)
    bounded = whole._replace(first=max(whole.first, low), last=min(whole.last, high))
    if whole.is_even and count * STRIDE == high - low + STRIDE:
        return bounded._replace(selection=whole.selection.without(column))
    return bounded


def _lead(
    selection: Selection, sizes: Mapping[str, int], newest: int, bounds: Bounds
) -> str | None:
    """Chooses the column that leaves the fewest, if that beats reading the table."""
    is_single = len(selection.columns) == 1

    def is_fit(column: str) -> bool:
        if sizes[column] <= bounds.sorted:
            return True
        merges = len(selection.names.get(column, range(MERGED_NAMES_MAX + 1))) <= MERGED_NAMES_MAX
        return merges and (is_single or sizes[column] * bounds.sparse < newest)

    fit = [column for column in selection.columns if is_fit(column)]
    return min(fit, key=sizes.__getitem__, default=None)
