"""Shelves: stretches of places, with tallies of what stands there.

They are kept with the rows: counts are exact, first and last values are bounds that no event
passes. A shelf is found by arithmetic from a place, so that whoever gives all events new
places has to tally them anew.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from thence.index.build.rows import NULL

# 8,192 events where they stand a stride apart
SHELF_BITS = 23
# by which number a column of names is tallied
KINDS = {"type": 0, "stream": 1, "actor": 2}
# by which number two of them are tallied together
PAIRS = {("type", "actor"): 0, ("type", "stream"): 1, ("stream", "actor"): 2}
# where these columns, and those of spans, stand in a row of columns
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
    """What came onto shelves, or went, since it was written down last."""

    def __init__(self, connection: sqlite3.Connection, bits: int = SHELF_BITS) -> None:
        self._db = connection
        self._bits = bits
        self._rows: list[tuple[int | None, ...]] = []
        # of shelf, type, stream and actor
        self._named: Counter[tuple[int, float, float | None, float | None]] = Counter()

    def add(self, places: Sequence[int], columns: Sequence[Sequence[Any]], sign: int = 1) -> None:
        """Counts events at places, in the columns of a `Row`; with the sign -1 they have gone."""
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
        """Adds what was counted to the tables."""
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
    """Returns how many values there are, the least and the greatest."""
    there = [value for value in values if value is not None and value is not NULL]
    return (sign * len(there), min(there), max(there)) if there else (0, None, None)


def shelve(connection: sqlite3.Connection, bits: int = SHELF_BITS) -> None:
    """Tallies all events anew."""
    connection.execute("DELETE FROM shelves")
    connection.execute("DELETE FROM shelf_names")
    connection.execute("DELETE FROM shelf_pairs")
    shelving = CountTables(connection, bits)
    rows = connection.execute(_ALL)
    while some := rows.fetchmany(_TOGETHER):
        places, *columns = zip(*some, strict=True)
        shelving.add(places, columns)
    shelving.write()
