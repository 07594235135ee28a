"""The order of packages by their dependencies, or the cycles that prevent it.

A dependency on a package that was not given is ignored: the reader of the planning files reports
it, with its line.
"""

import heapq
from collections.abc import Sequence
from typing import Protocol, TypeVar

from thence.errors import PlanningError

CYCLES_MAX = 20


class Depending(Protocol):
    """A package with dependencies, read from a file or from the log."""

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
    """Returns packages, each behind its dependencies, otherwise in the given order.

    Raises PlanningError that names a cycle if there is one.
    """
    ordered, left = _sorted(packages)
    if left:
        raise PlanningError(
            "could not order the packages",
            cause=f"they wait for each other: {describe(_find_cycle(left))}",
            hint="take one of these dependencies out",
        )
    return tuple(ordered)


def cycles(packages: Sequence[Depending]) -> tuple[tuple[str, ...], ...]:
    """Returns the cycles of dependencies, no package in two of them; CYCLES_MAX at most.

    A cycle is a tuple of ids, each depending on the next and the last on the first.
    """
    found: list[tuple[str, ...]] = []
    _, left = _sorted(packages)
    while left and len(found) < CYCLES_MAX:
        cycle = _find_cycle(left)
        found.append(cycle)
        broken = {*cycle}
        _, left = _sorted([each for each in left if each.wp_id not in broken])
    return tuple(found)


def describe(cycle: Sequence[str]) -> str:
    """Returns a cycle as text: `WP01 → WP02 → WP01`."""
    return " → ".join((*cycle, cycle[0]))


def _sorted(packages: Sequence[P]) -> tuple[list[P], list[P]]:
    """Returns the packages that can be ordered, in order, and those that wait for a cycle."""
    positions = {each.wp_id: position for position, each in enumerate(packages)}
    needs = [{*each.dependencies} & positions.keys() for each in packages]
    needed_by: dict[str, list[int]] = {}
    for position, ids in enumerate(needs):
        for wp_id in ids:
            needed_by.setdefault(wp_id, []).append(position)
    ready = [position for position, ids in enumerate(needs) if not ids]
    ordered: list[P] = []
    while ready:  # a sorted list is a heap: the first ready package comes next
        each = packages[heapq.heappop(ready)]
        ordered.append(each)
        for position in needed_by.pop(each.wp_id, ()):
            needs[position].discard(each.wp_id)
            if not needs[position]:
                heapq.heappush(ready, position)
    return ordered, [each for each, ids in zip(packages, needs, strict=True) if ids]


def _find_cycle(left: Sequence[Depending]) -> tuple[str, ...]:
    """Returns a cycle among packages each of which waits for another of them."""
    positions = {each.wp_id: position for position, each in enumerate(left)}
    waits_for = {
        each.wp_id: next(wp_id for wp_id in each.dependencies if wp_id in positions)
        for each in left
    }
    path: dict[str, int] = {}
    now = left[0].wp_id
    while now not in path:
        path[now] = len(path)
        now = waits_for[now]
    cycle = list(path)[path[now] :]
    start = cycle.index(min(cycle, key=lambda wp_id: positions[wp_id]))
    return tuple(cycle[start:] + cycle[:start])
