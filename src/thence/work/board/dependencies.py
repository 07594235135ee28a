"""The order of packages by their dependencies, or the cycle that prevents it.

A dependency on a package that is not among them is ignored: the reader of the planning files
reports it, with its line.
"""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol, TypeVar

from thence.errors import PlanningError


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
                cause=f"they wait for each other: {describe(cycle_in(packages))}",
                hint="take one of these dependencies out",
            )
        remaining.remove(package)
        ordered.append(package)
    return tuple(ordered)


def cycle_in(packages: Sequence[Depending]) -> tuple[str, ...]:
    """Returns a cycle of dependencies by its ids, each depending on the next; none without one.

    It begins with the package that comes first.
    """
    positions = {package.wp_id: position for position, package in enumerate(packages)}
    needs = {one.wp_id: [w for w in one.dependencies if w in positions] for one in packages}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = error.args[1][:0:-1]  # graphlib names each before the one that depends on it
        start = circle.index(min(circle, key=positions.__getitem__))
        return (*circle[start:], *circle[:start])
    return ()


def describe(cycle: Sequence[str]) -> str:
    """Returns a cycle as text: `WP01 → WP02 → WP01`."""
    return " → ".join((*cycle, cycle[0]))
