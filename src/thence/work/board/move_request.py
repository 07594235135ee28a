"""A move that an actor wants to make: the allowed lanes, the context, the gates, the refusals."""

from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

import msgspec

from thence.errors import Refused
from thence.git.landed import Landed, Reviewed
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PENDING,
    PLANNED,
    REJECTED,
    Board,
    FeatureState,
    GateState,
    PackageState,
)
from thence.work.events import GateStatus, GateType

SHORT = 7  # digits of a commit's id in a sentence
_WAIVED = ("skipped", "merged")
# the lanes a package may go to from each lane; from an unknown lane it can only be rejected
MATRIX: Mapping[str, tuple[str, ...]] = {
    PLANNED: (DOING, REJECTED),
    DOING: (FOR_REVIEW, PLANNED, REJECTED),
    FOR_REVIEW: (DONE, DOING, PLANNED, REJECTED),
    DONE: (DOING, REJECTED),
    REJECTED: (PLANNED,),
}
CodeKind = Literal[
    "landed",
    "local",
    "missing",
    "no_code",
    "unknown",
    "shallow",
    "unfetched",
    "reverted",
    "gone",
]
_SENTENCES: Mapping[CodeKind, str] = {
    "landed": "its code is in {target}, and it is not done",
    "local": "merged here, not pushed to {target}",
    "missing": "its code, on {branch}, is not in {target}",
    "no_code": "{branch} changes nothing",
    "unknown": "landed unknown: its code was not found",
    "shallow": "landed unknown: this clone is shallow",
    "unfetched": "its code is not fetched here",
    "reverted": "reverted in {target} by {reverts}",
    "gone": "its code is no longer in {target}",
}


class LandingStatus(msgspec.Struct, frozen=True):
    """The position of a package's code, seen from this clone; `target` is where it has to be.

    "landed": it is in the target. "local": it is merged into the branch that has the target as its
    upstream, and not pushed. "missing": its commits are known and are not in the target.
    "no_code": the branch changes nothing. "unknown": nothing is known of it. "shallow": this clone
    lacks the old commits that would tell. "unfetched": this clone lacks a commit of it, or never
    had its landing in the target. "reverted", "gone": it was in the target, and all of it was taken
    out by `reverts`, or it was reset since. `landed` records how it came to the target,
    `is_asserted` that a person stated it. `changed_since` is the commit that was handed in, where
    the package's last commit is another one. `revert` is the command that takes the reverts back,
    `push` the one that brings "local" code to the target, None where that follows no remote's.
    `nearest` is the target's commit that shares most words with "missing" code.
    """

    kind: CodeKind
    target: str
    branch: str
    landed: Landed | None = None
    is_asserted: bool = False
    changed_since: str | None = None
    reverts: tuple[str, ...] = ()
    revert: str = ""
    nearest: str | None = None
    push: str | None = None

    @property
    def sentence(self) -> str:
        """The position in words."""
        reverts = ", ".join(commit[:SHORT] for commit in self.reverts)
        return _SENTENCES[self.kind].format(target=self.target, branch=self.branch, reverts=reverts)


class MoveContext(msgspec.Struct, frozen=True, kw_only=True):
    """What decides, beside the board, whether a command may move a package.

    `changed_by` is the actor as the event has it for other tools, empty for the actor as it is.
    `worktree` is the state of the package's worktree, None where it has none or was not checked.
    `has_commits` is whether the branch holds anything beyond its base, None if unknown.
    `open_subtasks` are those that the planning files show as open. `expected_lane` is the lane that
    the command read on its first request, None during that request. `waived_guards` names guards
    that the command answers for itself, as `merge` does for other people's packages.

    `gates_run` are the types of the gates that the configuration runs. `gates_seen` maps those of
    `gates_run` that this very process saw pass to the events that record it; results by anybody
    else do not count. `is_agent` is whether an agent or a gate started the command. `rests_on` are
    the ids of events for which the command wants the move, such as an approval.

    `reviewed` is the code that goes to review. `code` is the state of the code of a package that is
    to be done; with `is_local` it may be done before it is pushed.
    `reverted` maps done packages whose code was reverted to the sentence that says so.
    `node_id` is the node under which this clone writes.
    """

    actor: str
    changed_by: str = ""
    reason: str = ""
    is_forced: bool = False
    worktree: Literal["clean", "dirty"] | None = None
    has_commits: bool | None = None
    open_subtasks: tuple[str, ...] = ()
    expected_lane: str | None = None
    waived_guards: frozenset[str] = frozenset()
    gates_run: frozenset[str] = frozenset()
    gates_seen: Mapping[str, str] = msgspec.field(default_factory=dict)
    is_agent: bool = False
    rests_on: tuple[str, ...] = ()
    reviewed: Reviewed | None = None
    code: LandingStatus | None = None
    is_local: bool = False
    reverted: Mapping[str, str] = msgspec.field(default_factory=dict)
    node_id: str | None = None


FETCH = "git fetch"
UNSHALLOW = "git fetch --unshallow"
FORCING = " (or overrule it: --force --reason TEXT)"


class GuardFailure(msgspec.Struct, frozen=True):
    """A guard's refusal: its stable code, the reason, and what to do next.

    `may_be_forced` is whether `--force --reason` overrules it.
    """

    guard: str
    message: str
    remedy: str
    may_be_forced: bool = True

    def error(self, operation: str, place: str, *, is_agent: bool) -> Refused:
        """Returns the refusal as the error of a command; agents get no hint to force it."""
        forced = FORCING if self.may_be_forced and not is_agent else ""
        return Refused(
            operation,
            guard=self.guard,
            place=place,
            cause=self.message,
            hint=self.remedy + forced,
        )


def changed_since(commit: str) -> str:
    """Returns the sentence on a package whose code is not the commit that was handed in."""
    return f"changed since it was handed in at {commit[:SHORT]}"


class FollowUpEvent(msgspec.Struct, frozen=True):
    """An event to append after a move: type, payload, and its causes beside the move."""

    event_type: str
    payload: Mapping[str, Any]
    rests_on: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A change of lane that every guard lets pass, or was overruled on.

    `payload` is that of its WPStatusChanged, `follow_ups` are appended behind it. `overruled`
    are the guards that refused a forced move. `watched` are the subjects that the guards read:
    the move holds as long as no event of `transitions.DECIDING_TYPES` is new on them. `caused_by`
    are the ids of the events that set the values that the guards read.
    """

    feature_slug: str
    wp_id: str
    previous: str
    to: str
    payload: Mapping[str, Any]
    follow_ups: tuple[FollowUpEvent, ...]
    overruled: tuple[str, ...]
    watched: frozenset[str]
    caused_by: tuple[str, ...]


class MoveRequest(msgspec.Struct, frozen=True):
    """A move that an actor wants to make."""

    board: Board
    feature: FeatureState
    package: PackageState
    to: str
    context: MoveContext

    @property
    def is_send_back(self) -> bool:
        """True if the move takes the package out of review, back to work."""
        return self.package.lane == FOR_REVIEW and self.to in (DOING, PLANNED)

    @property
    def is_release(self) -> bool:
        """True if the move gives back a package that somebody works on."""
        return self.package.lane == DOING and self.to == PLANNED

    @property
    def is_reopening(self) -> bool:
        """True if the move reopens a package that was done."""
        return self.package.lane == DONE and self.to == DOING

    @property
    def is_claim(self) -> bool:
        """True if the move begins the work on the package."""
        return self.to == DOING and not self.is_send_back

    def lane_of(self, wp_id: str) -> str:
        """Returns the lane of another package of the feature, "unknown" where there is none."""
        other = self.feature.packages.get(wp_id)
        return other.lane if other else "unknown"


def closing_events(
    feature: FeatureState, package: PackageState, dependency: str, lanes: Collection[str] = (DONE,)
) -> tuple[str, ...] | None:
    """Returns the ids of the events by which a package need not wait for a dependency.

    It need not if that is in one of the `lanes`, or was waived, or is not on the board and any
    event resolved it; else None is returned.
    """
    other, how = feature.packages.get(dependency), package.resolved.get(dependency)
    is_waived = how is not None if other is None else how in _WAIVED
    waived = package.events_of(f"resolved/{dependency}") if is_waived else ()
    if other is not None and other.lane in lanes:
        return (*other.events_of("lane"), *waived)
    return waived if is_waived else None


def can_begin_on(feature: FeatureState, package: PackageState, dependency: str) -> bool:
    """Reports whether work on a package can begin on the present state of a dependency.

    The code of a dependency in review is on its branch; the package's branch then begins there.
    """
    return closing_events(feature, package, dependency, (FOR_REVIEW, DONE)) is not None


def is_closed(feature: FeatureState, package: PackageState, dependency: str) -> bool:
    """Reports whether a dependency of a package is done, or need not be waited for."""
    return closing_events(feature, package, dependency) is not None


GATE_TYPES: tuple[str, ...] = get_args(GateType)
GATE_STATUSES: tuple[str, ...] = get_args(GateStatus)
MANUAL_REVIEW = "MANUAL_REVIEW"


def open_gates(package: PackageState, context: MoveContext) -> tuple[GateState, ...]:
    """Returns the gates that keep a package from being done, ordered by their ids.

    For an agent, configured gates that have not been created yet are open too.
    """
    created = {gate.gate_type for gate in package.gates.values()}
    missing = context.gates_run - created if context.is_agent else ()
    return (
        *(gate for gate in package.gates.values() if passed_by(gate, context) is None),
        *(GateState("", gate_type) for gate_type in sorted(missing)),
    )


def passed_by(gate: GateState, context: MoveContext) -> str | None:
    """Returns the id of the event by which a gate is passed, None for an open one.

    A gate that the configuration runs is passed only if this very process saw it pass.
    """
    if gate.gate_type in context.gates_run:
        return context.gates_seen.get(gate.gate_type)
    return gate.event_id if gate.is_passed else None


def gate_change(gate: GateState, status: str, **result: str | float) -> FollowUpEvent:
    """Returns the event that gives a gate a status, with the gate's type and `result`."""
    payload = {
        "gate_id": gate.gate_id,
        "old_status": gate.status or PENDING,
        "new_status": status,
        "result_data": {"gate_type": gate.gate_type, **result},
    }
    return FollowUpEvent("GateResultChanged", payload)
