"""The latest causes that several events share, by the places of an index."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from thence.index.ahead import Ahead
from thence.index.links import causes_within, is_forward, reached


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


def _painted(connection: sqlite3.Connection, places: Sequence[int]) -> list[int]:
    """Goes back from the latest place on; each hands the colours it was reached in to its causes.

    So git finds merge bases: a place that has all colours is shared, and what it hands its
    colours to is surpassed. It ends when only surpassed places are left to go to.
    """
    links = Ahead(connection, "upstream")
    every = (1 << len(places)) - 1
    surpassed = every + 1
    colours: dict[int, int] = {}
    for number, place in enumerate(places):
        colours[place] = colours.get(place, 0) | 1 << number
    ahead = [-place for place in colours]
    heapify(ahead)
    found: list[int] = []
    open_places = len(ahead)
    while open_places:
        place = -heappop(ahead)
        colour = colours[place]
        if colour < surpassed:
            open_places -= 1
        if colour == every:
            found.append(place)
            colour |= surpassed
        for cause in links.beside((place,)):
            before = colours.get(cause)
            after = colours[cause] = (before or 0) | colour
            if before is None:
                heappush(ahead, -cause)
                open_places += after < surpassed
            else:
                open_places -= before < surpassed <= after
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
