"""What events share, or don't: their latest causes, and who has none of it."""

import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from thence.index.build.count_tables import SHELF_BITS
from thence.index.build.selection import NUMBER_MAX
from thence.index.graph.descent import descended, effects_upward
from thence.index.graph.links import causes_within, is_forward, reached

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
