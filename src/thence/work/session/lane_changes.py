"""Moves of packages and results of gates: decided on a board, appended if it still holds."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from thence.errors import GitFailed, Refused, ThenceError
from thence.git.git import own_variables
from thence.git.worktrees import state_of, uncommitted
from thence.log.open import new_id
from thence.log.recovery.writers import next_node_id
from thence.work.board.move_request import (
    GuardFailure,
    LandingStatus,
    Move,
    MoveContext,
    gate_change,
)
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    Board,
    FeatureState,
    GateState,
    PackageState,
)
from thence.work.board.transitions import DECIDING_TYPES, after_move
from thence.work.board.transitions import move as decide
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.plan.tasks import Subtask
from thence.work.project.configuration import gates_run
from thence.work.project.package_refs import keep_commit
from thence.work.session.package_code import LandingCheck, handed_in, reverted_in
from thence.work.session.session import Decision, Session
from thence.work.session.snapshot import Snapshot

_GATE_TYPES = ("GateCreated", "GateResultChanged")
RUN_VARIABLE = "THENCE_RUN"  # agents and gates have it, and what they start


class LaneRequest(NamedTuple):
    """A request to move a package to a lane, with what decides it beside the board."""

    wp_id: str
    to: str
    context: MoveContext

    def knowing(self, **members: Any) -> "LaneRequest":
        """Returns the request with other members of its context."""
        return self._replace(context=replace(self.context, **members))


class LaneChanges(NamedTuple):
    """The moves that a snapshot allows, the refusals by package, and the board afterwards."""

    moves: Sequence[Move]
    refused: Mapping[str, Refused]
    board: Board


def decide_moves(
    snapshot: Snapshot, slug: str, requests: Sequence[LaneRequest], *, is_strict: bool = True
) -> Decision[LaneChanges]:
    """Decides moves of packages of a feature on a snapshot: nothing is read, nothing written.

    Each is decided on the board after those before it. A package may go through several lanes, one
    after the other, all or none. With `is_strict` the first refusal ends the moves.
    """
    moves, refused, events = list[Move](), dict[str, Refused](), list[WorkEvent]()
    board = snapshot.board
    before = board, 0, 0  # the moves of the package
    for request in requests:
        wp_id = request.wp_id
        if wp_id in refused:
            continue
        package_of(board.features[slug], wp_id)  # its creation may have been redacted
        if moves and moves[-1].wp_id == wp_id:
            request = request.knowing(expected_lane=None)
        else:
            before = board, len(moves), len(events)
        decision = decide(board, slug, wp_id, request.to, request.context)
        if isinstance(decision, GuardFailure):
            refused[wp_id] = _error(decision, slug, request)
            board = before[0]
            del moves[before[1] :], events[before[2] :]
            if is_strict:
                break
            continue
        moved = WorkEvent("WPStatusChanged", decision.payload, slug, decision.caused_by)
        moves.append(decision)
        events.append(moved)
        for after in decision.follow_ups:
            causes = moved.event_id, *after.rests_on
            events.append(WorkEvent(after.event_type, after.payload, slug, causes))
        board = after_move(board, decision, moved.event_id, request.context.actor)
    watched = frozenset(subject for move in moves for subject in move.watched)
    guard = snapshot.guard(watched, DECIDING_TYPES)
    return Decision(events, guard, LaneChanges(moves, refused, board))


def move(
    session: Session,
    slug: str,
    request: LaneRequest,
    also: Sequence[WorkEvent] = (),
    *,
    needs_log: bool = True,
) -> Move:
    """Moves a package as `move_all` does; raises Refused with the guard that refuses the move."""
    moves, refused = move_all(session, slug, [request], also, needs_log=needs_log)
    for error in refused.values():
        raise error
    return moves[0]


def move_all(
    session: Session,
    slug: str,
    requests: Sequence[LaneRequest],
    also: Sequence[WorkEvent] = (),
    *,
    needs_log: bool = True,
    is_strict: bool = True,
) -> tuple[Sequence[Move], Mapping[str, Refused]]:
    """Moves packages of a feature, and returns the moves, and the refusals by package.

    The moves, their follow-ups and `also` are appended in one piece. When others append meanwhile,
    all is decided again. Without `needs_log` a log that can't be written only causes a warning.
    """
    decision: Decision[LaneChanges]

    def decide_all(snapshot: Snapshot) -> Decision[LaneChanges]:
        nonlocal decision
        decision = decide_moves(snapshot, slug, requests, is_strict=is_strict)
        return decision._replace(events=[*decision.events, *also] if decision.events else [])

    place = f"{slug}/{', '.join(request.wp_id for request in requests)}"
    try:
        moves, refused, board = session.run(
            decide_all, "could not move", place, needs_log=needs_log
        )
        session.show(board)
    except ThenceError as error:
        if error.code not in ("append_failed", "log_full"):
            raise
        # what stands before a refused event is recorded, and the same move can't be made again
        session.refresh()
        moves, refused, _ = decision.outcome
        ids = {event.event_id for event in decision.events}
        packages = session.board.features[slug].packages
        if any(packages[move.wp_id].lane_event not in ids for move in moves):
            raise
        session.warnings.append(
            f"the move is recorded, and not all that goes with it: {error.cause}; {error.hint}"
        )
    moved = {(move.wp_id, move.to) for move in moves}
    for wp_id, to, context in requests:
        if context.reviewed is not None and (wp_id, to) in moved:
            commit = context.reviewed.commit
            try:
                keep_commit(session.project.repo, session.refs, slug, wp_id, commit)
            except GitFailed as error:  # the move is recorded, and the branch has the commit
                session.warnings.append(f"only its branch keeps what went to review: {error.cause}")
    return moves, refused


def check_move(board: Board, slug: str, request: LaneRequest) -> None:
    """Raises Refused for a move that a board refuses."""
    decision = decide(board, slug, request.wp_id, request.to, request.context)
    if isinstance(decision, GuardFailure):
        raise _error(decision, slug, request)


def _error(refusal: GuardFailure, slug: str, request: LaneRequest) -> Refused:
    place = f"{slug}/{request.wp_id} to {request.to}"
    return refusal.error("could not move", place, is_agent=request.context.is_agent)


def request_of(
    session: Session,
    feature: FeatureState,
    wp_id: str,
    to: str,
    *,
    reason: str = "",
    is_forced: bool = False,
    code: LandingStatus | None = None,
) -> LaneRequest:
    """Returns the request to move a package, with what planning files and git say of the package.

    A move to done needs to know where the code is, unless `code` says it, and which gates are run.
    Without a lane `to` only subtasks and worktree are looked at. Raises PlanningError for a file
    that can't be read, GitFailed.
    """
    snapshot, slug = session.snapshot, feature.slug
    package, plan = feature.packages[wp_id], snapshot.planned(feature).get(wp_id)
    subtasks, ticked = plan.subtasks if plan else (), package.subtasks
    worktree: Literal["clean", "dirty"] | None = None
    path, branch = session.project.root / worktree_of(slug, wp_id), branch_of(slug, wp_id)
    state = state_of(session.project.repo, branch, path, snapshot.refs.trees)
    if state.kind == "moved":
        worktree = "dirty" if uncommitted(state.path) else "clean"
    elif state.kind == "clean" or state.kind == "dirty":
        worktree = state.kind
    context = MoveContext(
        actor=session.current_actor(),
        changed_by=session.changed_by(),
        reason=reason,
        is_forced=is_forced,
        worktree=worktree,
        # where the log is silent the file counts
        open_subtasks=tuple(one.id for one in subtasks if not ticked.get(one.id, one.is_done)),
        expected_lane=package.lane,
        is_agent=is_started_by_agent(),
        node_id=next_node_id(session.project.home),
    )
    if to == FOR_REVIEW:
        reviewed, has_commits = handed_in(snapshot, feature, package)
        context = replace(context, reviewed=reviewed, has_commits=has_commits)
    elif to in (DOING, DONE):
        context = replace(context, reverted=reverted_in(snapshot, feature, package.dependencies))
    if to == DONE:
        context = replace(
            context,
            code=code or LandingCheck(snapshot, feature).before_done(package),
            gates_run=gates_run(session.project),
        )
    return LaneRequest(wp_id, to, context)


def is_started_by_agent() -> bool:
    """Reports whether an agent, or a gate that judges its work, started this process."""
    return RUN_VARIABLE in own_variables()


def refuse_agents(operation: str, place: str, guard: str, rule: str) -> None:
    """Raises Refused if an agent started this process; `rule` is what no agent does."""
    if is_started_by_agent():
        raise Refused(
            operation,
            guard=guard,
            place=place,
            cause=f"this is an agent's environment, and no agent {rule}",
            hint="leave it to a person and their own shell; `thence work orchestrate` runs the"
            " gates of the configuration, and merges what has passed review",
        )


def tick_event(feature: FeatureState, wp_id: str, subtask: Subtask, is_done: bool) -> WorkEvent:
    """Returns the event of a box that was ticked or opened again."""
    package = feature.packages.get(wp_id)
    rests_on = (package.events_of("lane") or package.events_of("package")) if package else ()
    payload = {
        "work_package_id": wp_id,
        "subtask_index": subtask.id,
        "subtask_text": subtask.text or subtask.id,
    }
    kind = "SubtaskCompleted" if is_done else "SubtaskReopened"
    return WorkEvent(kind, payload, feature.slug, rests_on)


def package_of(feature: FeatureState, wp_id: str) -> PackageState:
    """Returns a package of the board; raises Refused that lists the known packages."""
    package = feature.packages.get(wp_id)
    if package is None:
        names = ", ".join(feature.packages) or "none yet"
        raise Refused(
            "could not find the package",
            guard="unknown_package",
            place=f"{feature.slug}/{wp_id}",
            cause=f"the feature has {names}",
            hint="look at `thence work status`; of another feature: --feature; or plan it:"
            " `thence work finalize-tasks`",
        )
    return package


def set_gates(
    session: Session,
    package: PackageState,
    slug: str,
    results: Mapping[str, str],
    reason: str,
    request: LaneRequest | None,
) -> list[GateState]:
    """Records the results of gates, and returns the gates.

    With a `request` it records nothing if that move would be refused, and raises Refused. A result
    stated for a gate that the configuration runs does not pass it.
    """
    place = f"{', '.join(results)} of {slug}/{package.wp_id}"
    refuse_agents("could not set the gate", place, "set_by_an_agent", "sets a gate")
    actor = session.current_actor()

    def decide_gates(snapshot: Snapshot) -> Decision[dict[str, GateState]]:
        state = snapshot.board.features[slug]
        about = package_of(state, package.wp_id)
        gates, events = dict(about.gates), list[WorkEvent]()
        for gate_type, result in results.items():
            present = (gate for gate in about.gates.values() if gate.gate_type == gate_type)
            gate, causes = next(present, None), tuple[str, ...]()
            if gate is None:
                gate = GateState(new_id(), gate_type)
                payload = {
                    "work_package_id": about.wp_id,
                    "gate_type": gate_type,
                    "gate_id": gate.gate_id,
                }
                rests_on = about.events_of("lane") or about.events_of("package")
                created = WorkEvent("GateCreated", payload, slug, rests_on)
                events.append(created)
                causes = (created.event_id,)
            if result != gate.status:
                change = gate_change(gate, result, **({"reason": reason} if reason else {}))
                events.append(WorkEvent(change.event_type, change.payload, slug, causes))
                gate = GateState(gate.gate_id, gate_type, result, actor)
            gates[gate.gate_id] = gate
        if request is not None:
            after = {**state.packages, about.wp_id: replace(about, gates=gates)}
            features = {**snapshot.board.features, slug: replace(state, packages=after)}
            check_move(replace(snapshot.board, features=features), slug, request)
        watched = {about.subject, *(session.store.subject(slug, name) for name in gates)}
        return Decision(events, snapshot.guard(watched, _GATE_TYPES), gates)

    gates = session.run(decide_gates, "could not set the gate", place)
    session.refresh()
    return [gate for gate in gates.values() if gate.gate_type in results]
