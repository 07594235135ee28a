"""Moves of a package from lane to lane, in three phases: conditions, validators, post-functions.

Conditions and validators are the guards of `work.board.guards`; post-functions return the events
that follow. All are pure: nothing is written here, and the state of disk and git comes in as
context.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from thence.core.vocabulary import work_subject
from thence.git.landed import Landed, Reviewed
from thence.work.board.guards import CONDITIONS, VALIDATORS, reason_missing
from thence.work.board.move_request import (
    MANUAL_REVIEW,
    FollowUpEvent,
    GuardFailure,
    Move,
    MoveContext,
    MoveRequest,
    closing_events,
    gate_change,
)
from thence.work.board.state import (
    DOING,
    DONE,
    FAILED,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    Board,
    PackageState,
)

# a move holds as long as no event of these types is new on the subjects its guards read
DECIDING_TYPES = frozenset(
    (
        "WPStatusChanged",
        "WPCreated",
        "WPAssigned",
        "DependencyResolved",
        "GateCreated",
        "GateResultChanged",
    )
)


def move(
    board: Board, feature_slug: str, wp_id: str, to: str, context: MoveContext
) -> Move | GuardFailure:
    """Returns the move of a package of the board to a lane, or the first refusal that counts.

    A forced move needs a reason, and overrules all refusals that may be forced.
    """
    request = _request(board, feature_slug, wp_id, to, context)
    refused, read = _check_guards(request)
    for refusal in refused:
        if not (context.is_forced and refusal.may_be_forced):
            return refusal
    if context.is_forced and not context.reason.strip():
        return reason_missing("what is forced needs a reason")
    feature, package = request.feature, request.package
    overruled = tuple(refusal.guard for refusal in refused)
    payload: dict[str, object] = {
        "wp_id": wp_id,
        "previous_status": package.lane,
        "new_status": to,
        "changed_by": context.changed_by or context.actor,
        "feature_slug": feature.slug,
    }
    if context.reason:
        payload["reason"] = context.reason
    if to == DONE and package.gates:
        payload["gate_results"] = [
            {"gate_type": gate.gate_type, "status": gate.status} for gate in package.gates.values()
        ]
    if request.is_claim and package.dependencies:
        payload["dependency_status"] = {one: request.lane_of(one) for one in package.dependencies}
    if overruled:
        payload["overruled"] = list(overruled)
    # the result of a conflict rests on all of its sides
    causes = dict.fromkeys(filter(None, (*read, *context.rests_on)))
    for conflict in board.conflicts:
        sides = [event.event_id for event in conflict.events]
        if not causes.keys().isdisjoint(sides):
            causes |= dict.fromkeys(sides)
    others = (*package.dependencies, *package.gates)
    subjects = (work_subject(feature.project_uuid, feature.slug, name) for name in others)
    return Move(
        feature_slug=feature.slug,
        wp_id=wp_id,
        previous=package.lane,
        to=to,
        payload=payload,
        follow_ups=tuple(_follow_ups(request)),
        overruled=overruled,
        watched=frozenset((package.subject, *subjects)),
        caused_by=tuple(causes),
    )


def after_move(board: Board, move: Move, event_id: str, actor: str) -> Board:
    """Returns the board after a move whose event has this id, for the next move of one append.

    The package's lane changes, and its agent with a claim; all else comes with the next replay.
    """
    feature = board.features[move.feature_slug]
    package = feature.packages[move.wp_id]
    set_by = {**package.set_by, "lane": event_id}
    is_claim = move.to == DOING and move.previous != FOR_REVIEW
    agent = actor if is_claim else package.agent
    moved = replace(package, lane=move.to, set_by=set_by, agent=agent)
    packages = {**feature.packages, move.wp_id: moved}
    features = {**board.features, feature.slug: replace(feature, packages=packages)}
    return replace(board, features=features)


def refusals(
    board: Board, feature_slug: str, wp_id: str, to: str, context: MoveContext
) -> tuple[GuardFailure, ...]:
    """Returns all refusals of a move, forced or not."""
    return _check_guards(_request(board, feature_slug, wp_id, to, context))[0]


def _check_guards(request: MoveRequest) -> tuple[tuple[GuardFailure, ...], tuple[str, ...]]:
    """Returns a move's refusals, and the events by which the other guards let it pass."""
    refused: list[GuardFailure] = []
    read: list[str] = []
    for guard in (*CONDITIONS, *VALIDATORS):
        outcome = guard(request)
        if not isinstance(outcome, GuardFailure):
            read += outcome
        elif outcome.guard not in request.context.waived_guards:
            refused.append(outcome)
    return tuple(refused), tuple(read)


def claimable(board: Board, feature_slug: str, context: MoveContext) -> tuple[PackageState, ...]:
    """Returns the packages that an actor could begin right now, ordered by their ids."""
    feature = board.features.get(feature_slug)
    return tuple(
        package
        for package in (feature.packages.values() if feature else ())
        if package.lane == PLANNED
        and not refusals(board, feature_slug, package.wp_id, DOING, context)
    )


def _request(
    board: Board, feature_slug: str, wp_id: str, to: str, context: MoveContext
) -> MoveRequest:
    feature = board.features[feature_slug]
    return MoveRequest(board, feature, feature.packages[wp_id], to, context)


def _follow_ups(request: MoveRequest) -> Iterator[FollowUpEvent]:
    """Yields what follows a move: reviewed code, a landing, freed dependents, failed gates."""
    package, context, code = request.package, request.context, request.context.code
    if request.to == FOR_REVIEW and context.reviewed is not None:
        yield FollowUpEvent("WPReviewed", reviewed_payload(package.wp_id, context.reviewed))
    if request.to == DONE and code is not None and code.landed is not None:
        yield FollowUpEvent("WPLanded", landed_payload(package.wp_id, code.landed))
    for gate in package.gates.values() if request.is_send_back else ():
        if gate.gate_type == MANUAL_REVIEW and gate.status != FAILED:
            yield gate_change(gate, FAILED, reason=context.reason)
    wp_id = package.wp_id
    for other in request.feature.packages.values() if request.to == DONE else ():
        is_waiting = wp_id in other.dependencies and wp_id not in other.resolved
        if not is_waiting or other.lane in (DONE, REJECTED):
            continue
        rest = [one for one in other.dependencies if one != wp_id]
        closing = [closing_events(request.feature, other, one) for one in rest]
        if None not in closing:  # this was the last one that it waited for
            payload = {"wp_id": other.wp_id, "dependency_wp_id": wp_id}
            payload["resolution_type"] = "completed"
            ids = tuple(one for events in closing for one in events or ())
            yield FollowUpEvent("DependencyResolved", payload, ids)


def reviewed_payload(wp_id: str, code: Reviewed) -> dict[str, object]:
    """Returns the payload of the WPReviewed of a package's code."""
    return {
        "wp_id": wp_id,
        "commit": code.commit,
        "base": code.base,
        "patch": code.patch,
        "patches": list(code.patches),
        "commits": list(code.commits),
    }


def landed_payload(wp_id: str, landed: Landed) -> dict[str, object]:
    """Returns the payload of the WPLanded of a package."""
    payload = {"wp_id": wp_id, "how": landed.how, "commit": landed.commit, "reason": landed.reason}
    return {key: value for key, value in payload.items() if value}
