"""Links read ahead of a walk, as long as it goes on in the neighbourhood.

A long line of causes leads from one place to the next, mostly a near one. Asking for each by
itself takes longer than reading a hundred at once. How far is read ahead doubles while the
most of it is used, and halves when it was read in vain.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec

from thence.index.build.places import STRIDE

Direction = Literal["upstream", "downstream"]

# from which column of `causes` to which a step leads
ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}

_WIDTH_MAX = 1_024
_LINKS_A_PLACE = 4

# lists come out of SQLite sooner than rows
_SOME = """
    SELECT json_group_array({near}), json_group_array({far})
    FROM (
        SELECT {near}, {far}
        FROM causes WHERE {near} BETWEEN ? AND ? ORDER BY {near} {order} LIMIT ?
    )
"""
_numbers = msgspec.json.Decoder(list[int]).decode


class Prefetch:
    """The links of a stretch of places, in one direction."""

    def __init__(self, connection: sqlite3.Connection, direction: Direction) -> None:
        near, far = ENDS[direction]
        self._db = connection
        self._sign = -1 if direction == "upstream" else 1
        order = "DESC" if direction == "upstream" else "ASC"
        self._one = f"SELECT {far} FROM causes WHERE {near} = ?"
        self._some = _SOME.format(near=near, far=far, order=order)
        self._known: dict[int, list[int]] = {}
        self._first, self._last = 0, -1
        self._width = 1
        self._read = self._used = 0

    def beside(self, places: Sequence[int]) -> list[int]:
        """Returns the places that are one step away from some places, which are in order."""
        found: list[int] = []
        known, first, last = self._known, self._first, self._last
        for place in reversed(places) if self._sign < 0 else places:
            if not first <= place <= last:
                self._go_on(place)
                known, first, last = self._known, self._first, self._last
            far = known.get(place)
            if far is not None:
                found += far
            elif not first <= place <= last:  # it has more links than are read ahead
                found += [row[0] for row in self._db.execute(self._one, (place,))]
        self._used += len(found)
        return found

    def _go_on(self, place: int) -> None:
        """Reads the links from a place on."""
        is_worth = 2 * self._used >= self._read
        self._width = min(2 * self._width, _WIDTH_MAX) if is_worth else max(self._width // 2, 1)
        end = place + self._sign * (self._width - 1) * STRIDE
        self._first, self._last = min(place, end), max(place, end)
        most = self._width * _LINKS_A_PLACE
        told = self._db.execute(self._some, (self._first, self._last, most)).fetchone()
        nears, fars = map(_numbers, told)
        self._read, self._used = len(nears), 0
        known: defaultdict[int, list[int]] = defaultdict(list)
        for near, far in zip(nears, fars, strict=True):
            known[near].append(far)
        self._known = dict(known)
        if len(nears) == most:  # of the last one there may be more
            cut = nears[-1]
            del self._known[cut]
            if self._sign < 0:
                self._first = cut + 1
            else:
                self._last = cut - 1
