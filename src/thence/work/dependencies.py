"""Which package comes before which: an order that every dependency allows, or the circles.

A dependency on a package that is not among those given is passed over: who reads the
files tells of it, with its line.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from thence.errors import PlanningError


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
    """Returns the circles of dependencies, no package in two of them.

    A circle is ids, each depending on the next and the last on the first.
    """
    found: list[tuple[str, ...]] = []
    _, left = _sorted(packages)
    while left:
        found.append(_circle(left))
        _, left = _sorted([each for each in left if each.wp_id not in found[-1]])
    return tuple(found)


def described(circle: Sequence[str]) -> str:
    """Writes a circle as it is read: `WP01 → WP02 → WP01`."""
    return " → ".join((*circle, circle[0]))


def _sorted(packages: Sequence[P]) -> tuple[list[P], list[P]]:
    """Returns those that can be ordered, in order, and those that wait for a circle."""
    known = {each.wp_id for each in packages}
    ordered: list[P] = []
    done: set[str] = set()
    waiting = list(packages)
    while True:
        for position, each in enumerate(waiting):
            if all(wp_id in done or wp_id not in known for wp_id in each.dependencies):
                ordered.append(waiting.pop(position))
                done.add(each.wp_id)
                break
        else:
            return ordered, waiting


def _circle(left: Sequence[Depending]) -> tuple[str, ...]:
    """Returns a circle among packages each of which waits for another of them."""
    ids = [each.wp_id for each in left]
    waits_for = {
        each.wp_id: next(wp_id for wp_id in each.dependencies if wp_id in ids) for each in left
    }
    path = [ids[0]]
    while waits_for[path[-1]] not in path:
        path.append(waits_for[path[-1]])
    circle = path[path.index(waits_for[path[-1]]) :]
    start = circle.index(min(circle, key=ids.index))
    return tuple(circle[start:] + circle[:start])
