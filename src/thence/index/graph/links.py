"""Walks along the links between causes and effects, by the places of an index.

Places are in total order: a smaller place is earlier. Lines of other tools carry no clock:
they may come before their causes, and name each other in a cycle. Every walk ends all the
same, because it visits a place once.

A long chain of causes leads from one place to the next, usually a near one. One query for each
link takes longer than reading a hundred links at once. The width of the prefetch doubles while
most of its links are used, and halves when they are not.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from thence.index.tables.places import STRIDE

Direction = Literal["upstream", "downstream"]

# the columns of `causes` from which and to which a step leads
ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}

_WIDTH_MAX = 1_024
_LINKS_A_PLACE = 4

# SQLite returns lists faster than rows
_SOME = """
    SELECT json_group_array({near}), json_group_array({far})
    FROM (
        SELECT {near}, {far}
        FROM causes WHERE {near} BETWEEN ? AND ? ORDER BY {near} {order} LIMIT ?
    )
"""
_numbers = msgspec.json.Decoder(list[int]).decode


class Prefetch:
    """The prefetched links of a range of places, in one direction."""

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

    def neighbours(self, places: Sequence[int]) -> list[int]:
        """Returns the places one step away from some places, which are in order."""
        found: list[int] = []
        known, first, last = self._known, self._first, self._last
        for place in reversed(places) if self._sign < 0 else places:
            if not first <= place <= last:
                self._fetch(place)
                known, first, last = self._known, self._first, self._last
            far = known.get(place)
            if far is not None:
                found += far
            elif not first <= place <= last:  # the place has more links than the prefetch
                found += [row[0] for row in self._db.execute(self._one, (place,))]
        self._used += len(found)
        return found

    def _fetch(self, place: int) -> None:
        """Prefetches the links from a place on."""
        is_worth = 2 * self._used >= self._read
        self._width = min(2 * self._width, _WIDTH_MAX) if is_worth else max(self._width // 2, 1)
        end = place + self._sign * (self._width - 1) * STRIDE
        self._first, self._last = min(place, end), max(place, end)
        most = self._width * _LINKS_A_PLACE
        row = self._db.execute(self._some, (self._first, self._last, most)).fetchone()
        nears, fars = map(_numbers, row)
        self._read, self._used = len(nears), 0
        known: defaultdict[int, list[int]] = defaultdict(list)
        for near, far in zip(nears, fars, strict=True):
            known[near].append(far)
        self._known = dict(known)
        if len(nears) == most:  # the last place may have more links
            cut = nears[-1]
            del self._known[cut]
            if self._sign < 0:
                self._first = cut + 1
            else:
                self._last = cut - 1


# steps from at most this many places use the prefetch
_FEW_PLACES = 3

_LOWEST = -(2**63)
_REACHED = """
    WITH RECURSIVE reached (place) AS (
        SELECT causes.{far} FROM json_each(:places) CROSS JOIN causes
            ON causes.{near} = value AND causes.{far} >= :floor
        UNION
        SELECT {far} FROM reached CROSS JOIN causes
            ON {near} = reached.place AND {far} >= :floor
    )
    SELECT place FROM reached
"""


def neighbours(
    connection: sqlite3.Connection, places: Sequence[int], direction: Direction
) -> set[int]:
    """Returns the places one step away from any of some places."""
    near, far = ENDS[direction]
    # json_each has a column of the name parent too
    sql = f"SELECT causes.{far} FROM json_each(?) CROSS JOIN causes ON causes.{near} = value"
    rows = connection.execute(sql, (json.dumps(places),)).fetchall()
    return {place for (place,) in rows}


def cone(
    connection: sqlite3.Connection, place: int, direction: Direction, depth: int | None, limit: int
) -> tuple[dict[int, int], bool]:
    """Returns the distance of each place in a cone, nearest first, and whether it was cut off.

    At equal distance the total order decides; `core.order.upstream` defines the rest.
    """
    distances = {place: 0}
    layer = [place]
    distance = 0
    is_cut = False
    prefetch = Prefetch(connection, direction)
    while layer and distance != depth and not is_cut:
        distance += 1
        is_narrow = len(layer) <= _FEW_PLACES
        found = (
            prefetch.neighbours(layer) if is_narrow else neighbours(connection, layer, direction)
        )
        layer = [other for other in found if other not in distances]
        if len(layer) > 1:
            layer = sorted(set(layer))
        if len(distances) + len(layer) > limit + 1:
            is_cut = True
            layer = layer[: limit + 1 - len(distances)]
        for other in layer:
            distances[other] = distance
    del distances[place]
    return distances, is_cut


def reachable(
    connection: sqlite3.Connection,
    places: Iterable[int],
    direction: Direction,
    floor: int = _LOWEST,
) -> set[int]:
    """Returns all places reachable by steps from some places, none of them below the floor.

    A starting place is included only if a step leads back to it.
    """
    near, far = ENDS[direction]
    given = {"places": json.dumps(list(places)), "floor": floor}
    found = connection.execute(_REACHED.format(near=near, far=far), given)
    return {place for (place,) in found}


def is_forward(connection: sqlite3.Connection) -> bool:
    """Reports whether every cause comes before its effects, as with correct clocks."""
    backward = "SELECT 1 FROM causes WHERE parent >= child LIMIT 1"
    return connection.execute(backward).fetchone() is None


def maximal(connection: sqlite3.Connection, places: Sequence[int]) -> list[int]:
    """Returns those of some places, in total order, that are causes of none of the others.

    One step excludes most places. Where every cause comes before its effects, the rest of the
    search ends at the first undecided place.
    """
    one_step = "SELECT causes.parent FROM json_each(:places) CROSS JOIN causes ON child = value"
    found = connection.execute(one_step, {"places": json.dumps(places)})
    passed = {place for (place,) in found}.intersection(places)
    open_places = [place for place in places if place not in passed]
    if not open_places:
        return []
    if not is_forward(connection):
        passed |= reachable(connection, places, "upstream")
    else:
        first = min(open_places)
        later = [place for place in places if place > first]
        passed |= reachable(connection, later, "upstream", first)
    return sorted(place for place in open_places if place not in passed)


def chain(connection: sqlite3.Connection, place: int, avoided_type: str, limit: int) -> list[int]:
    """Returns one chain of causes that ends at a place, as `core.order.chain` does.

    The chain passes through an event of the avoided type only where no other cause is named.
    """
    back = (
        "SELECT parent FROM causes JOIN events ON place = parent WHERE child = :child"
        " ORDER BY type = (SELECT id FROM names WHERE text = :avoided), parent DESC"
    )
    links = {place: None}
    while len(links) < limit:
        named = connection.execute(back, {"child": place, "avoided": avoided_type})
        before = next((cause for (cause,) in named if cause not in links), None)
        if before is None:
            break
        links[before] = None
        place = before
    return list(reversed(links))


def causes_within(connection: sqlite3.Connection, places: Collection[int]) -> dict[int, list[int]]:
    """Returns the direct causes of each of some places, as far as they are among these."""
    sql = "SELECT child, causes.parent FROM json_each(:places) CROSS JOIN causes ON child = value"
    found: dict[int, list[int]] = {place: [] for place in places}
    for child, parent in connection.execute(sql, {"places": json.dumps(list(places))}):
        if parent in found:
            found[child].append(parent)
    return found
