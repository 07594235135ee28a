"""The latest common causes of events, and the events unrelated to an event.

Where causes come before their effects, links are walked range by range. A walk backwards
visits all effects of a place before the place itself, so that one pass over the links in order
is enough. The walk reads many links at once where most are used, else few.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain

import msgspec

from thence.index.graph.links import causes_within, is_forward, reachable
from thence.index.tables.count_tables import RANGE_BITS
from thence.index.tables.places import STRIDE
from thence.index.tables.selection import NUMBER_MAX

# a wide read pays if at least one link in this many belongs to the walk
_USED_PART = 8

# SQLite returns lists faster than rows
_BETWEEN = """
    SELECT json_group_array(child), json_group_array(parent)
    FROM (SELECT child, parent FROM causes WHERE child BETWEEN ? AND ? ORDER BY child)
"""
_PLACES = """
    SELECT json_group_array(place)
    FROM (SELECT place FROM events WHERE place BETWEEN ? AND ? ORDER BY place)
"""
_numbers = msgspec.json.Decoder(list[int]).decode

Colours = dict[int, int]


def ancestors_by_range(
    connection: sqlite3.Connection,
    places: Sequence[int],
    bits: int = RANGE_BITS,
) -> Iterator[tuple[Colours, bool]]:
    """Yields the given places and all their causes with their colours, by range, the last first.

    Colours are bits, one for each of the given places; each place passes its colours to its
    causes. A place with all colours also passes the next higher bit, which marks causes of a
    place that has all. The second value reports whether any place without that bit is left to
    visit.
    """
    every = (1 << len(places)) - 1
    surpassed = every + 1
    ranges: defaultdict[int, Colours] = defaultdict(dict)
    numbers: list[int] = []
    for number, place in enumerate(places):
        if place >> bits not in ranges:
            heappush(numbers, -(place >> bits))
        here = ranges[place >> bits]
        here[place] = here.get(place, 0) | 1 << number
    walk = _Walk(connection)
    while numbers:
        begin = -heappop(numbers) << bits
        here = ranges.pop(begin >> bits)
        for child, parent in chain.from_iterable(walk.links(begin, here)):
            if child not in here:
                continue
            colour = here[child]
            if colour == every:
                colour |= surpassed
            if parent >= begin:
                here[parent] = here.get(parent, 0) | colour
                continue
            if parent >> bits not in ranges:
                heappush(numbers, -(parent >> bits))
            other = ranges[parent >> bits]
            other[parent] = other.get(parent, 0) | colour
        yield here, _is_any_open(ranges, surpassed)


def effects_by_range(
    connection: sqlite3.Connection, place: int, last: int, bits: int = RANGE_BITS
) -> Iterator[tuple[int, int, set[int]]]:
    """Yields ranges behind a place, as first and last place, with the effects found so far.

    The set of effects grows from range to range, and includes the place itself.
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
    """The adaptive reader of links: its width follows the use of what it read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._width = STRIDE

    def links(self, begin: int, here: Colours) -> Iterator[Iterable[tuple[int, int]]]:
        """Yields links from the places of one range, and others between, a batch at a time.

        `here` grows meanwhile: an added place comes before the link that added it.
        """
        top = max(here)
        while top >= begin:
            low = max(begin, top - self._width + 1)
            children, parents = _links(self._db, low, top)
            yield zip(reversed(children), reversed(parents), strict=True)
            if sum(map(here.__contains__, children)) * _USED_PART >= len(children):
                self._width *= 2
            elif self._width > STRIDE:
                self._width //= 2
            top = max((place for place in here if place < low), default=begin - 1)


def _links(connection: sqlite3.Connection, low: int, top: int) -> tuple[list[int], list[int]]:
    """Returns the links from some places: children in order, and the parent of each."""
    children, parents = connection.execute(_BETWEEN, (low, top)).fetchone()
    return _numbers(children), _numbers(parents)


def _is_any_open(ranges: Mapping[int, Colours], surpassed: int) -> bool:
    every = (colour for colours in ranges.values() for colour in colours.values())
    return any(not colour & surpassed for colour in every)


def latest_shared(connection: sqlite3.Connection, places: Sequence[int]) -> list[int]:
    """Returns the latest common causes of some places, in total order.

    `core.query.answer.common_causes` defines them. Where every cause comes before its effects, only
    places later than the earliest common cause found are visited.
    """
    if is_forward(connection):
        return sorted(_latest_by_colours(connection, places))
    roots = [reachable(connection, [place], "upstream") | {place} for place in places]
    shared = set[int].intersection(*roots)
    return sorted(_surpassed_by_none(causes_within(connection, shared)))


def unrelated(connection: sqlite3.Connection, place: int) -> Iterator[int]:
    """Yields the places that are neither causes nor effects of a place, in total order.

    Where every cause comes before its effects, later places are read only as needed.
    """
    if not is_forward(connection):
        related = reachable(connection, [place], "upstream") | {place}
        related |= reachable(connection, [place], "downstream")
        yield from _others(connection, 0, NUMBER_MAX, related)
        return
    causes = {
        next(iter(found)) >> RANGE_BITS: found
        for found, _ in ancestors_by_range(connection, [place])
    }
    for number in range((place >> RANGE_BITS) + 1):
        end = min(place, (number + 1 << RANGE_BITS) - 1)
        yield from _others(connection, number << RANGE_BITS, end, causes.get(number, ()))
    last = connection.execute("SELECT max(place) FROM events").fetchone()[0]
    for begin, end, effects in effects_by_range(connection, place, last):
        yield from _others(connection, begin, end, effects)


def _others(
    connection: sqlite3.Connection, first: int, last: int, related: Container[int]
) -> Iterator[int]:
    rows = connection.execute(_PLACES, (first, last)).fetchone()
    yield from (place for place in _numbers(rows[0]) if place not in related)


def _latest_by_colours(connection: sqlite3.Connection, places: Sequence[int]) -> list[int]:
    """Returns the latest common causes by colours that each place passes to its causes.

    Git finds merge bases in this way: a place that has all colours is a common cause, and its
    causes are surpassed. The walk ends when only surpassed places are left to visit.
    """
    every = (1 << len(places)) - 1
    found: list[int] = []
    for colours, is_any_open in ancestors_by_range(connection, places):
        found += [place for place, colour in colours.items() if colour == every]
        if not is_any_open:
            break
    return found


def _surpassed_by_none(causes: Mapping[int, Sequence[int]]) -> set[int]:
    """Returns the places that caused none of the others, except others in the same cycle.

    The first walk finds starts that reach all places; a start that a later start reaches is
    surpassed. The last walk finds each remaining start's cycle, which are its effects.
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
    """Walks from each place that no earlier walk has visited, and returns these places."""
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
