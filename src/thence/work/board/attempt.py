"""A move that somebody wants to make: the matrix it keeps to, the facts, what guards say of it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from thence.errors import Refused
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    Board,
    FeatureState,
    Landed,
    PackageState,
    Reviewed,
)
from thence.work.naming import branch_of

_WAIVED = ("skipped", "merged")
# where a package may go from each lane; from a lane that nobody knows it can be rejected
MATRIX: Mapping[str, tuple[str, ...]] = {
    PLANNED: (DOING, REJECTED),
    DOING: (FOR_REVIEW, PLANNED, REJECTED),
    FOR_REVIEW: (DONE, DOING, PLANNED, REJECTED),
    DONE: (DOING, REJECTED),
    REJECTED: (PLANNED,),
}
CodeKind = Literal["landed", "local", "missing", "no_code", "unknown", "reverted", "gone"]


class CodeState(msgspec.Struct, frozen=True):
    """Where a package's code is, seen from this clone; `target` is where it has to be.

    "landed" there, "local": merged into the branch that has that target as its upstream, and not
    pushed. "missing": its commits are known and are not there. "no_code": it changes nothing.
    "unknown": nothing tells. "reverted", "gone": it was there, and was taken out or reset since.
    `landed` tells how it came there, `is_stated` that somebody says so.
    """

    kind: CodeKind
    target: str
    branch: str
    landed: Landed | None = None
    is_stated: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a command knows beside the board when it wants to move a package.

    `changed_by` is the actor as the event has it for other tools, empty for the actor as it is.
    `worktree` is the package's own, None where it has none or nobody looked; `has_commits`
    whether its branch holds anything beyond its base, None if unknown. `open_subtasks` are
    those that the planning files show as open. `seen_lane` is the lane that the command saw
    when it looked for the first time, None on that first look. `exempt` names guards that the
    command answers for itself, as `merge` does for other people's packages.

    `gates_run` are the types of the gates that the configuration runs, and `gates_seen` maps those
    of them that this very process saw pass to the events that tell so; what anybody else says of
    them does not count. `is_agent` tells whether the command was started by an agent or a gate.
    `rests_on` are the ids of events for which the command wants the move, such as an approval.

    `reviewed` is the code that goes to review, `code` where that of a package is which shall be
    done, None without git; with `is_local` it may be done before it is pushed. Unless
    `author_may_approve` nobody moves to done what they have implemented. `node_id` is that under
    which this clone writes.
    """

    actor: str
    changed_by: str = ""
    reason: str = ""
    is_forced: bool = False
    worktree: Literal["clean", "dirty"] | None = None
    has_commits: bool | None = None
    open_subtasks: tuple[str, ...] = ()
    seen_lane: str | None = None
    exempt: frozenset[str] = frozenset()
    gates_run: frozenset[str] = frozenset()
    gates_seen: Mapping[str, str] = msgspec.field(default_factory=dict)
    is_agent: bool = False
    rests_on: tuple[str, ...] = ()
    reviewed: Reviewed | None = None
    code: CodeState | None = None
    is_local: bool = False
    author_may_approve: bool = True
    node_id: str | None = None


FORCING = " (or overrule it: --force --reason TEXT)"


class Refusal(msgspec.Struct, frozen=True):
    """A guard's no: its stable code, why, and what to do next.

    `may_be_forced` tells whether `--force --reason` overrules it.
    """

    guard: str
    message: str
    remedy: str
    may_be_forced: bool = True

    def error(self, operation: str, place: str, *, is_agent: bool) -> Refused:
        """Returns the refusal as the error that a command ends with; no agent is told to force."""
        forced = FORCING if self.may_be_forced and not is_agent else ""
        return Refused(
            operation,
            guard=self.guard,
            place=place,
            cause=self.message,
            hint=self.remedy + forced,
        )


class FollowUp(msgspec.Struct, frozen=True):
    """An event to be appended: its type, its payload, and what it rests on beside its move."""

    event_type: str
    payload: Mapping[str, Any]
    rests_on: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A change of lane that every guard lets through, or was made to.

    `payload` is that of its WPStatusChanged, `follow_ups` are appended behind it. `overruled`
    are the guards that said no to what was forced. `watched` are the subjects that the guards
    looked at: the move holds as long as no event of `transitions.DECIDING_TYPES` is new there.
    `caused_by` are the ids of the events that set what the guards have read.
    """

    feature_slug: str
    wp_id: str
    previous: str
    to: str
    payload: Mapping[str, Any]
    follow_ups: tuple[FollowUp, ...]
    overruled: tuple[str, ...]
    watched: frozenset[str]
    caused_by: tuple[str, ...]


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
