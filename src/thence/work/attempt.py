"""A move that somebody wants to make, and the matrix that it has to keep to."""

from collections.abc import Mapping

import msgspec

from thence.work.naming import branch_of
from thence.work.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    Board,
    FeatureState,
    PackageState,
)
from thence.work.verdict import Facts

_WAIVED = ("skipped", "merged")
# where a package may go from each lane; from a lane that nobody knows it can be rejected
MATRIX: Mapping[str, tuple[str, ...]] = {
    PLANNED: (DOING, REJECTED),
    DOING: (FOR_REVIEW, PLANNED, REJECTED),
    FOR_REVIEW: (DONE, DOING, PLANNED, REJECTED),
    DONE: (DOING, REJECTED),
    REJECTED: (PLANNED,),
}


class Attempt(msgspec.Struct, frozen=True):
    """A move that somebody wants to make; `is_known` tells whether the board has the package."""

    board: Board
    feature: FeatureState
    package: PackageState
    is_known: bool
    to: str
    facts: Facts

    @property
    def is_send_back(self) -> bool:
        """Whether it takes the package out of review, back to work."""
        return self.package.lane == FOR_REVIEW and self.to in (DOING, PLANNED)

    @property
    def is_release(self) -> bool:
        """Whether it gives back a package that somebody works on."""
        return self.package.lane == DOING and self.to == PLANNED

    @property
    def is_reopening(self) -> bool:
        """Whether it takes up again what was done."""
        return self.package.lane == DONE and self.to == DOING

    @property
    def is_lost(self) -> bool:
        """Whether the actor works on the package no more, for somebody took it over."""
        package, actor = self.package, self.facts.actor
        lost = package.taken_over
        return package.lane == DOING and lost is not None and lost.former == actor != package.agent

    @property
    def is_claim(self) -> bool:
        """Whether it begins the work on the package."""
        return self.to == DOING and not self.is_send_back

    def lane_of(self, wp_id: str) -> str:
        """Returns the lane of another package of the feature, "unknown" where there is none."""
        other = self.feature.packages.get(wp_id)
        return other.lane if other else "unknown"


def is_begun_upon(feature: FeatureState, package: PackageState, dependency: str) -> bool:
    """Tells whether the work on a package can begin on what a dependency has come to.

    One in review is on its branch, which the package's own branch then begins at.
    """
    other = feature.packages.get(dependency)
    is_in_review = other is not None and other.lane == FOR_REVIEW
    return is_in_review or is_closed(feature, package, dependency)


def closed_by(feature: FeatureState, package: PackageState, dependency: str) -> tuple[str, ...]:
    """Returns the ids of the events by which a package need not wait for a dependency."""
    other, how = feature.packages.get(dependency), package.resolved.get(dependency)
    is_waived = how is not None if other is None else how in _WAIVED
    waived = package.events_of(f"resolved/{dependency}") if is_waived else ()
    if other is None or other.lane not in (FOR_REVIEW, DONE):
        return waived
    return (*other.events_of("lane"), *waived)


def is_closed(feature: FeatureState, package: PackageState, dependency: str) -> bool:
    """Tells whether a package need not wait for a dependency: it is done, or was waived.

    Of a package that the board lacks it counts that somebody said so.
    """
    other = feature.packages.get(dependency)
    how = package.resolved.get(dependency)
    if other is None:
        return how is not None
    return other.lane == DONE or how in _WAIVED


def begun_as(feature: FeatureState, package: PackageState, node_id: str | None) -> str | None:
    """Returns the number that is not a package's own under which a clone has its branch."""
    number = package.renumbered_from or package.wp_id.partition("~")[0]
    known = package.workspace
    if known is None or known.node_id != node_id or number == package.wp_id:
        return None
    return number if known.branch == branch_of(feature.slug, number) else None
