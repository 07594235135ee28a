"""The order of packages by their dependencies, or the cycles that prevent it.

A dependency on a package that is not among them is ignored: the reader of the planning files
reports it, with its line.
"""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
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
    """Returns packages, each behind its dependencies, otherwise in their own order.

    Raises PlanningError that names a cycle if there is one.
    """
    remaining, ordered = list(packages), list[P]()
    while remaining:
        open_ones = {package.wp_id for package in remaining}
        ready = (one for one in remaining if open_ones.isdisjoint(one.dependencies))
        package = next(ready, None)
        if package is None:
            raise PlanningError(
                "could not order the packages",
                cause=f"they wait for each other: {describe(cycles(packages)[0])}",
                hint="take one of these dependencies out",
            )
        remaining.remove(package)
        ordered.append(package)
    return tuple(ordered)


def cycles(packages: Sequence[Depending]) -> tuple[tuple[str, ...], ...]:
    """Returns the cycles of dependencies, no package in two of them; CYCLES_MAX at most.

    A cycle is a tuple of ids, each depending on the next and the last on the first.
    """
    positions = {package.wp_id: position for position, package in enumerate(packages)}
    remaining = list(packages)
    circles: list[tuple[str, ...]] = []
    while len(circles) < CYCLES_MAX:
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for package in remaining:
            sorter.add(package.wp_id, *(one for one in package.dependencies if one in positions))
        try:
            sorter.prepare()
            break
        except CycleError as error:
            circle = error.args[1][:0:-1]  # graphlib names each before the one that depends on it
        start = circle.index(min(circle, key=positions.__getitem__))
        circles.append((*circle[start:], *circle[:start]))
        remaining = [package for package in remaining if package.wp_id not in circle]
    return tuple(sorted(circles, key=lambda circle: positions[circle[0]]))


def describe(cycle: Sequence[str]) -> str:
    """Returns a cycle as text: `WP01 → WP02 → WP01`."""
    return " → ".join((*cycle, cycle[0]))
