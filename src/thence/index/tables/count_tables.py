"""The count tables: counts of events by range of places.

The tables `shelves`, `shelf_names` and `shelf_pairs` have a row per range; a shelf is such a
range. They are updated with the rows: counts are exact, first and last values are bounds of all
events in the range. A range is computed from a place, so that all events have to be counted
anew after they got new places.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from thence.index.tables.rows import NULL

# a range holds 8,192 events if their places are one stride apart
RANGE_BITS = 23
# the number of each counted column of names in the tables
KINDS = {"type": 0, "stream": 1, "actor": 2}
# the number of each pair of columns that are counted together
PAIRS = {("type", "actor"): 0, ("type", "stream"): 1, ("stream", "actor"): 2}
# indexes of these columns, and of those of spans, in a row
_NAMES = (5, 6, 8)
_SPANS = (9, 10)

_TOGETHER = 4_096
_KEPT_MAX = 16_384

_ADD = """
    INSERT INTO shelves VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        events = events + excluded.events,
        turns = turns + excluded.turns,
        turn_first = min(ifnull(turn_first, excluded.turn_first),
            ifnull(excluded.turn_first, turn_first)),
        turn_last = max(ifnull(turn_last, excluded.turn_last),
            ifnull(excluded.turn_last, turn_last)),
        times = times + excluded.times,
        time_first = min(ifnull(time_first, excluded.time_first),
            ifnull(excluded.time_first, time_first)),
        time_last = max(ifnull(time_last, excluded.time_last),
            ifnull(excluded.time_last, time_last))
"""
_ADD_NAMES = """
    INSERT INTO shelf_names VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_PAIRS = """
    INSERT INTO shelf_pairs VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ALL = """
    SELECT place, 0, 0, 0, 0, 0, type, stream, 0, actor, turn, time FROM events ORDER BY place
"""


class CountTables:
    """The changes of the count tables since the last write."""

    def __init__(self, connection: sqlite3.Connection, bits: int = RANGE_BITS) -> None:
        self._db = connection
        self._bits = bits
        self._rows: list[tuple[int | None, ...]] = []
        # by range, type, stream and actor
        self._named: Counter[tuple[int, float, float | None, float | None]] = Counter()

    def add(self, places: Sequence[int], columns: Sequence[Sequence[Any]], sign: int = 1) -> None:
        """Counts events at places, in the columns of a `Row`; the sign -1 subtracts them."""
        if min(places) >> self._bits == max(places) >> self._bits:
            self._put(places[0] >> self._bits, columns, sign)
        else:
            numbers = [place >> self._bits for place in places]
            for number in dict.fromkeys(numbers):
                at = [index for index, other in enumerate(numbers) if other == number]
                self._put(number, [[column[index] for index in at] for column in columns], sign)
        if len(self._rows) + len(self._named) > _KEPT_MAX:
            self.write()

    def write(self) -> None:
        """Adds the changes to the tables."""
        self._db.executemany(_ADD, self._rows)
        names: Counter[tuple[int, int, float]] = Counter()
        pairs: Counter[tuple[int, int, float, float]] = Counter()
        for (number, *named), events in self._named.items():
            there = {
                column: name
                for column, name in zip(KINDS, named, strict=True)
                if name is not None and name is not NULL
            }
            for column, name in there.items():
                names[number, KINDS[column], name] += events
            for (one, other), kind in PAIRS.items():
                if one in there and other in there:
                    pairs[number, kind, there[one], there[other]] += events
        for sql, counted in ((_ADD_NAMES, names), (_ADD_PAIRS, pairs)):
            counts = sorted((*key, count) for key, count in counted.items() if count)
            self._db.executemany(sql, counts)
        self._named.clear()
        self._rows.clear()

    def _put(self, number: int, columns: Sequence[Sequence[Any]], sign: int) -> None:
        row: list[int | None] = [number, sign * len(columns[0])]
        for at in _SPANS:
            row += _spanned(columns[at], sign)
        self._rows.append(tuple(row))
        named = zip(repeat(number), *(columns[at] for at in _NAMES))
        (self._named.update if sign > 0 else self._named.subtract)(named)


def _spanned(values: Sequence[int | None], sign: int) -> tuple[int | None, ...]:
    """Returns the number of values, the least and the greatest."""
    there = [value for value in values if value is not None and value is not NULL]
    return (sign * len(there), min(there), max(there)) if there else (0, None, None)


def recount(connection: sqlite3.Connection, bits: int = RANGE_BITS) -> None:
    """Counts all events anew."""
    connection.execute("DELETE FROM shelves")
    connection.execute("DELETE FROM shelf_names")
    connection.execute("DELETE FROM shelf_pairs")
    counts = CountTables(connection, bits)
    rows = connection.execute(_ALL)
    while some := rows.fetchmany(_TOGETHER):
        places, *columns = zip(*some, strict=True)
        counts.add(places, columns)
    counts.write()
