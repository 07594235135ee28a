"""What events share, or don't: their latest causes, and who has none of it.

Very many links are walked range by range, where causes stand before their effects. On the way
back all effects of a place come before it, so that one reading of the links in their order is
enough. Where the walk goes on in a neighbourhood much of it is read at once, else little.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain

import msgspec

from thence.index.build.count_tables import SHELF_BITS
from thence.index.build.places import STRIDE
from thence.index.build.selection import NUMBER_MAX
from thence.index.graph.links import causes_within, is_forward, reached

# what is read pays if one link in so many belongs to the walk
_USED_PART = 8

# lists come out of SQLite sooner than rows
_BETWEEN = """
    SELECT json_group_array(child), json_group_array(parent)
    FROM (SELECT child, parent FROM causes WHERE child BETWEEN ? AND ? ORDER BY child)
"""
_place_numbers = msgspec.json.Decoder(list[int]).decode

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
    return _place_numbers(children), _place_numbers(parents)


def _is_any_open(shelves: Mapping[int, Colours], surpassed: int) -> bool:
    every = (colour for colours in shelves.values() for colour in colours.values())
    return any(not colour & surpassed for colour in every)


# a list comes out of SQLite sooner than rows
_PLACES = """
    SELECT json_group_array(place)
    FROM (SELECT place FROM events WHERE place BETWEEN ? AND ? ORDER BY place)
"""
_numbers = msgspec.json.Decoder(list[int]).decode


def latest_shared(connection: sqlite3.Connection, places: Sequence[int]) -> list[int]:
    """Returns the latest places that all of some places go back to, in total order.

    `core.concurrency.common_causes` tells what these are. Where every cause stands before
    its effects, only what is later than the last of them is looked at.
    """
    if is_forward(connection):
        return sorted(_painted(connection, places))
    roots = [reached(connection, [place], "upstream") | {place} for place in places]
    shared = set[int].intersection(*roots)
    return sorted(_surpassed_by_none(causes_within(connection, shared)))


def unrelated(connection: sqlite3.Connection, place: int) -> Iterator[int]:
    """Yields the places that neither lead to a place nor are led to from it, in total order.

    Where every cause stands before its effects no more is read of what is later than needed.
    """
    if not is_forward(connection):
        related = reached(connection, [place], "upstream") | {place}
        related |= reached(connection, [place], "downstream")
        yield from _others(connection, 0, NUMBER_MAX, related)
        return
    causes = {next(iter(found)) >> SHELF_BITS: found for found, _ in descended(connection, [place])}
    for shelf in range((place >> SHELF_BITS) + 1):
        end = min(place, (shelf + 1 << SHELF_BITS) - 1)
        yield from _others(connection, shelf << SHELF_BITS, end, causes.get(shelf, ()))
    last = connection.execute("SELECT max(place) FROM events").fetchone()[0]
    for begin, end, effects in effects_upward(connection, place, last):
        yield from _others(connection, begin, end, effects)


def _others(
    connection: sqlite3.Connection, first: int, last: int, related: Container[int]
) -> Iterator[int]:
    rows = connection.execute(_PLACES, (first, last)).fetchone()
    yield from (place for place in _numbers(rows[0]) if place not in related)


def _painted(connection: sqlite3.Connection, places: Sequence[int]) -> list[int]:
    """Goes back from the latest place on; each hands the colours it was reached in to its causes.

    So git finds merge bases: a place that has all colours is shared, and what it hands its
    colours to is surpassed. It ends when only surpassed places are left to go to.
    """
    every = (1 << len(places)) - 1
    found: list[int] = []
    for colours, is_any_open in descended(connection, places):
        found += [place for place, colour in colours.items() if colour == every]
        if not is_any_open:
            break
    return found


def _surpassed_by_none(causes: Mapping[int, Sequence[int]]) -> set[int]:
    """Returns the places that caused no other of them but such as caused them as well.

    First one of each circle is found to start from, so that all else is reached: a start
    that a later start reaches is surpassed. Then each start's circle is what it caused.
    """
    starts = _starts(causes, causes)
    latest = _starts(reversed(starts), causes)
    effects: dict[int, list[int]] = {place: [] for place in causes}
    for effect, named in causes.items():
        for cause in named:
            effects[cause].append(effect)
    circles: set[int] = set()
    _starts(latest, effects, circles)
    return circles


def _starts(
    places: Iterable[int], links: Mapping[int, Sequence[int]], seen: set[int] | None = None
) -> list[int]:
    """Walks from each place that no walk before has come to, and returns these places."""
    seen = set() if seen is None else seen
    starts = []
    for start in places:
        if start in seen:
            continue
        starts.append(start)
        seen.add(start)
        stack = [start]
        while stack:
            fresh = [place for place in links[stack.pop()] if place not in seen]
            seen.update(fresh)
            stack += fresh
    return starts
