"""Walks through very many links, stretch by stretch, where causes stand before their effects.

On the way back all effects of a place come before it, so that one reading of the links in
their order is enough. Where the walk goes on in a neighbourhood much of it is read at once,
where it leaps little.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain

import msgspec

from thence.index.build.count_tables import SHELF_BITS
from thence.index.build.places import STRIDE

# what is read pays if one link in so many belongs to the walk
_USED_PART = 8

# lists come out of SQLite sooner than rows
_BETWEEN = """
    SELECT json_group_array(child), json_group_array(parent)
    FROM (SELECT child, parent FROM causes WHERE child BETWEEN ? AND ? ORDER BY child)
"""
_numbers = msgspec.json.Decoder(list[int]).decode

Colours = dict[int, int]


def descended(
    connection: sqlite3.Connection,
    places: Sequence[int],
    bits: int = SHELF_BITS,
) -> Iterator[tuple[Colours, bool]]:
    """Yields the places that some places go back to, themselves included, with their colours.

    They come by shelves, the last first. Colours are bits, one for each of the given places;
    each place hands its own to its causes. One that has all of them hands on the next higher
    bit too, which says that a place caused one that has them all. Beside the colours stands
    whether any place without that bit is left to go to.
    """
    every = (1 << len(places)) - 1
    surpassed = every + 1
    shelves: defaultdict[int, Colours] = defaultdict(dict)
    numbers: list[int] = []
    for number, place in enumerate(places):
        if place >> bits not in shelves:
            heappush(numbers, -(place >> bits))
        mine = shelves[place >> bits]
        mine[place] = mine.get(place, 0) | 1 << number
    walk = _Walk(connection)
    while numbers:
        begin = -heappop(numbers) << bits
        mine = shelves.pop(begin >> bits)
        for child, parent in chain.from_iterable(walk.links(begin, mine)):
            if child not in mine:
                continue
            colour = mine[child]
            if colour == every:
                colour |= surpassed
            if parent >= begin:
                mine[parent] = mine.get(parent, 0) | colour
                continue
            if parent >> bits not in shelves:
                heappush(numbers, -(parent >> bits))
            other = shelves[parent >> bits]
            other[parent] = other.get(parent, 0) | colour
        yield mine, _is_any_open(shelves, surpassed)


def effects_upward(
    connection: sqlite3.Connection, place: int, last: int, bits: int = SHELF_BITS
) -> Iterator[tuple[int, int, set[int]]]:
    """Yields stretches behind a place, first and last place of each, and its effects so far.

    The set grows from one to the next; the place itself is in it.
    """
    effects = {place}
    begin = place + 1
    while begin <= last:
        end = min(last, ((begin >> bits) + 1 << bits) - 1)
        for child, parent in zip(*_links(connection, begin, end), strict=True):
            if parent in effects:
                effects.add(child)
        yield begin, end, effects
        begin = end + 1


class _Walk:
    """How much is read at once, learnt on the way."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._width = STRIDE

    def links(self, begin: int, mine: Colours) -> Iterator[Iterable[tuple[int, int]]]:
        """Yields links from the places of one shelf, and others between, some at a time.

        `mine` grows meanwhile: what is added stands before the link that it was added for.
        """
        top = max(mine)
        while top >= begin:
            low = max(begin, top - self._width + 1)
            children, parents = _links(self._db, low, top)
            yield zip(reversed(children), reversed(parents), strict=True)
            if sum(map(mine.__contains__, children)) * _USED_PART >= len(children):
                self._width *= 2
            elif self._width > STRIDE:
                self._width //= 2
            top = max((place for place in mine if place < low), default=begin - 1)


def _links(connection: sqlite3.Connection, low: int, top: int) -> tuple[list[int], list[int]]:
    """Returns the links from some places: children in order, and the parent of each."""
    children, parents = connection.execute(_BETWEEN, (low, top)).fetchone()
    return _numbers(children), _numbers(parents)


def _is_any_open(shelves: Mapping[int, Colours], surpassed: int) -> bool:
    every = (colour for colours in shelves.values() for colour in colours.values())
    return any(not colour & surpassed for colour in every)
