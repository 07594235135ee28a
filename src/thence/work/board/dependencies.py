"""Which package comes before which: an order that every dependency allows, or the circles.

A dependency on a package that is not among those given is passed over: who reads the
files tells of it, with its line.
"""

import heapq
from collections.abc import Sequence
from typing import Protocol, TypeVar

from thence.errors import PlanningError

CIRCLES_MAX = 20


class Depending(Protocol):
    """A package, as a file or the log tells of it."""

    @property
    def wp_id(self) -> str:
        """The package's id, such as WP01."""
        ...

    @property
    def dependencies(self) -> Sequence[str]:
        """The ids of the packages that have to be done before this one."""
        ...


P = TypeVar("P", bound=Depending)


def in_order(packages: Sequence[P]) -> tuple[P, ...]:
    """Returns packages so that each stands behind what it depends on, else as they were given.

    Raises PlanningError that names a circle if there is one.
    """
    ordered, left = _sorted(packages)
    if left:
        raise PlanningError(
            "could not order the packages",
            cause=f"they wait for each other: {described(_circle(left))}",
            hint="take one of these dependencies out",
        )
    return tuple(ordered)


def circles(packages: Sequence[Depending]) -> tuple[tuple[str, ...], ...]:
    """Returns the circles of dependencies, no package in two of them; CIRCLES_MAX at most.

    A circle is ids, each depending on the next and the last on the first.
    """
    found: list[tuple[str, ...]] = []
    _, left = _sorted(packages)
    while left and len(found) < CIRCLES_MAX:
        circle = _circle(left)
        found.append(circle)
        broken = {*circle}
        _, left = _sorted([each for each in left if each.wp_id not in broken])
    return tuple(found)


def described(circle: Sequence[str]) -> str:
    """Writes a circle as it is read: `WP01 → WP02 → WP01`."""
    return " → ".join((*circle, circle[0]))


def _sorted(packages: Sequence[P]) -> tuple[list[P], list[P]]:
    """Returns those that can be ordered, in order, and those that wait for a circle."""
    places = {each.wp_id: place for place, each in enumerate(packages)}
    needs = [{*each.dependencies} & places.keys() for each in packages]
    needed_by: dict[str, list[int]] = {}
    for place, ids in enumerate(needs):
        for wp_id in ids:
            needed_by.setdefault(wp_id, []).append(place)
    ready = [place for place, ids in enumerate(needs) if not ids]
    ordered: list[P] = []
    while ready:  # the first of those that can come, a heap from the beginning
        each = packages[heapq.heappop(ready)]
        ordered.append(each)
        for place in needed_by.pop(each.wp_id, ()):
            needs[place].discard(each.wp_id)
            if not needs[place]:
                heapq.heappush(ready, place)
    return ordered, [each for each, ids in zip(packages, needs, strict=True) if ids]


def _circle(left: Sequence[Depending]) -> tuple[str, ...]:
    """Returns a circle among packages each of which waits for another of them."""
    places = {each.wp_id: place for place, each in enumerate(left)}
    waits_for = {
        each.wp_id: next(wp_id for wp_id in each.dependencies if wp_id in places) for each in left
    }
    path: dict[str, int] = {}
    now = left[0].wp_id
    while now not in path:
        path[now] = len(path)
        now = waits_for[now]
    circle = list(path)[path[now] :]
    start = circle.index(min(circle, key=lambda wp_id: places[wp_id]))
    return tuple(circle[start:] + circle[:start])
