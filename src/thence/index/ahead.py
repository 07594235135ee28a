"""Links read ahead of a walk, as long as it goes on in the neighbourhood.

A long line of causes leads from one place to the next, mostly a near one. Asking for each by
itself takes longer than reading a hundred at once. How far is read ahead doubles while the
most of it is used, and halves when it was read in vain.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from thence.index.places import STRIDE

Direction = Literal["upstream", "downstream"]

# from which column of `causes` to which a step leads
ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}

_WIDTH_MAX = 1_024
_LINKS_A_PLACE = 4


class Ahead:
    """The links of a stretch of places, in one direction."""

    def __init__(self, connection: sqlite3.Connection, direction: Direction) -> None:
        near, far = ENDS[direction]
        self._db = connection
        self._sign = -1 if direction == "upstream" else 1
        order = "DESC" if direction == "upstream" else "ASC"
        self._one = f"SELECT {far} FROM causes WHERE {near} = ?"
        self._some = (
            f"SELECT {near}, {far} FROM causes WHERE {near} BETWEEN ? AND ?"
            f" ORDER BY {near} {order} LIMIT ?"
        )
        self._known: defaultdict[int, list[int]] = defaultdict(list)
        self._first, self._last = 0, -1
        self._width = 1
        self._read = self._used = 0

    def beside(self, places: Sequence[int]) -> list[int]:
        """Returns the places that are one step away from some places, which are in order."""
        found: list[int] = []
        if len(places) > 1 and self._sign < 0:
            places = places[::-1]
        for place in places:
            if not self._first <= place <= self._last:
                self._go_on(place)
            far = self._known.get(place)
            if far is not None:
                self._used += len(far)
                found += far
            elif not self._first <= place <= self._last:  # it has more links than are read ahead
                found += [row[0] for row in self._db.execute(self._one, (place,))]
        return found

    def _go_on(self, place: int) -> None:
        """Reads the links from a place on."""
        is_worth = 2 * self._used >= self._read
        self._width = min(2 * self._width, _WIDTH_MAX) if is_worth else max(self._width // 2, 1)
        end = place + self._sign * (self._width - 1) * STRIDE
        self._first, self._last = min(place, end), max(place, end)
        most = self._width * _LINKS_A_PLACE
        rows = self._db.execute(self._some, (self._first, self._last, most)).fetchall()
        self._read, self._used = len(rows), 0
        self._known = defaultdict(list)
        for near, far in rows:
            self._known[near].append(far)
        if len(rows) == most:  # of the last one there may be more
            cut = rows[-1][0]
            del self._known[cut]
            if self._sign < 0:
                self._first = cut + 1
            else:
                self._last = cut - 1
