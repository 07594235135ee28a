"""Moves of packages and results of gates: decided on a board, appended if it still holds."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec.structs import replace

from thence.core.new_event import Unchanged
from thence.errors import GitFailed, Refused, ThenceError
from thence.git.git import own_variables
from thence.git.worktrees import state_of, uncommitted
from thence.log.open import new_id
from thence.log.recovery.writers import next_node_id
from thence.work.board.move_request import REVIEWS, GuardFailure, Move, MoveContext, gate_change
from thence.work.board.state import (
    DONE,
    PASSED,
    Board,
    FeatureState,
    GateState,
    PackageState,
)
from thence.work.board.transitions import DECIDING_TYPES, after_move
from thence.work.board.transitions import move as decide
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.plan.tasks import PlannedPackage, Subtask, parse
from thence.work.project.configuration import gates_run, read_rules
from thence.work.project.package_refs import keep_commit
from thence.work.session.package_code import deleted_branch, with_code
from thence.work.session.session import Decision, Session

_GATE_TYPES = ("GateCreated", "GateResultChanged")
RUN_VARIABLE = "THENCE_RUN"  # agents and gates have it, and what they start


def move(
    session: Session,
    slug: str,
    wp_id: str,
    to: str,
    context: MoveContext,
    also: Sequence[WorkEvent] = (),
    *,
    needs_log: bool = True,
) -> Move:
    """Moves a package, and appends the move, its follow-ups and `also` in one piece.

    When others append meanwhile, the board is read again and the move decided again. Without
    `needs_log` a log that can't be written only causes a warning. Raises Refused with the guard
    that refuses the move.
    """
    moves, refused = move_all(session, slug, [(wp_id, to, context)], also, needs_log=needs_log)
    if refused:
        raise refused[wp_id]
    return moves[0]


def move_all(
    session: Session,
    slug: str,
    requests: Sequence[tuple[str, str, MoveContext]],
    also: Sequence[WorkEvent] = (),
    *,
    needs_log: bool = True,
    is_strict: bool = True,
) -> tuple[list[Move], dict[str, Refused]]:
    """Moves packages of a feature, each to a lane, in this order; appends all in one piece.

    Each move is decided on the board after the moves before it; a package may go through several
    lanes, one after the other, all or none. Returns the moves, and the refusals by package; with
    `is_strict` the first refusal ends the moves. Otherwise as `move`.
    """
    feature = session.board.features.get(slug)
    if feature is not None:
        requests = [
            (wp_id, to, with_code(session, feature, wp_id, to, context))
            for wp_id, to, context in requests
        ]
    moves, refused = list[Move](), dict[str, Refused]()
    events, board = list[WorkEvent](), session.board
    lanes: dict[str, str] = {}  # of the packages on the first attempt

    def decided() -> Decision:
        nonlocal board, lanes
        lanes = lanes or {one.wp_id: one.previous for one in reversed(moves)}
        board = session.board
        for before_it in (moves, events, refused):
            before_it.clear()
        before = board, 0, 0  # the moves of the package
        for wp_id, to, context in requests:
            if wp_id in refused:
                continue
            package_of(board.features[slug], wp_id)  # its creation may have been redacted
            if not moves or moves[-1].wp_id != wp_id:
                before = board, len(moves), len(events)
                lane = context.expected_lane or lanes.get(wp_id)
                context = replace(context, expected_lane=lane)
            decision = decide(board, slug, wp_id, to, context)
            if isinstance(decision, GuardFailure):
                refused[wp_id] = _error(decision, slug, wp_id, to, context)
                board = before[0]
                del moves[before[1] :], events[before[2] :]
                if is_strict:
                    break
                continue
            first, one = new_id(), decision
            moves.append(one)
            events.append(
                WorkEvent("WPStatusChanged", one.payload, slug, one.caused_by, event_id=first)
            )
            for after in one.follow_ups:
                causes = first, *after.rests_on
                events.append(WorkEvent(after.event_type, after.payload, slug, causes))
            board = after_move(board, decision, first, context.actor)
        watched = frozenset(subject for move in moves for subject in move.watched)
        guard = Unchanged(session.position, watched, DECIDING_TYPES)
        return [*events, *also] if moves else [], guard

    place = f"{slug}/{', '.join(wp_id for wp_id, _, _ in requests)}"
    try:
        session.run(decided, "could not move", place, needs_log=needs_log)
        session.board = board
    except ThenceError as error:
        if error.code not in ("append_failed", "log_full"):
            raise
        # what stands before a refused event is recorded, and the same move can't be made again
        session.refresh()
        packages, ids = session.board.features[slug].packages, {one.event_id for one in events}
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
                session.warnings.append(
                    f"what went to review is kept by its branch alone: {error.cause}"
                )
    return moves, refused


def decide_move(
    session: Session,
    slug: str,
    wp_id: str,
    to: str,
    context: MoveContext,
    board: Board | None = None,
) -> Move:
    """Returns the move on a board, by default the present one; raises Refused for a refused one."""
    decision = decide(board or session.board, slug, wp_id, to, context)
    if isinstance(decision, GuardFailure):
        raise _error(decision, slug, wp_id, to, context)
    return decision


def _error(refusal: GuardFailure, slug: str, wp_id: str, to: str, context: MoveContext) -> Refused:
    return refusal.error("could not move", f"{slug}/{wp_id} to {to}", is_agent=context.is_agent)


def context_of(
    session: Session,
    feature: FeatureState,
    wp_id: str,
    to: str = "",
    *,
    reason: str = "",
    is_forced: bool = False,
) -> MoveContext:
    """Returns the context of a move of a package, from planning files, worktree and branch.

    `to` is the goal lane: for done the configured gates are read as well. Raises PlanningError for
    a file that can't be read.
    """
    package = planned(session, feature).get(wp_id)
    subtasks = package.subtasks if package else ()
    slug = feature.slug
    worktree: Literal["clean", "dirty"] | None = None
    deleted = deleted_branch(session, slug, wp_id)
    if deleted is None:
        path = session.project.root / worktree_of(slug, wp_id)
        repo, branch = session.project.repo, branch_of(slug, wp_id)
        state = state_of(repo, branch, path, session.refs.trees)
        if state.kind == "moved":
            worktree = "dirty" if uncommitted(state.path) else "clean"
        elif state.kind == "clean" or state.kind == "dirty":
            worktree = state.kind
    return MoveContext(
        actor=session.current_actor(),
        changed_by=session.changed_by(),
        reason=reason,
        is_forced=is_forced,
        worktree=worktree,
        deleted=deleted,
        open_subtasks=tuple(one.id for one in subtasks if not one.is_done),
        gates_run=gates_run(session.project) if to == DONE else frozenset(),
        is_agent=is_started_by_agent(),
        node_id=next_node_id(session.project.home),
    )


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


def planned(session: Session, feature: FeatureState) -> dict[str, PlannedPackage]:
    """Returns the packages of a feature as planned in tasks.md, by id."""
    path = session.planning.path(feature.slug, "tasks.md")
    data = session.planning.read(session.target_of(feature), path)
    packages = parse(data, path).packages if data is not None else ()
    return {
        package.wp_id: package for package in packages if not has_lost_its_number(feature, package)
    }


def has_lost_its_number(feature: FeatureState, package: PlannedPackage) -> bool:
    """Reports whether a section of tasks.md is that of a package which lost its number."""
    keeper = feature.packages.get(package.wp_id)
    return keeper is not None and any(lost.title == package.title for lost in keeper.lost)


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
    to: str,
    context: MoveContext | None,
) -> list[GateState]:
    """Records the results of gates, and returns the gates.

    With a `context` it records nothing if the move to `to` would be refused, and raises Refused. A
    result stated for a gate that the configuration runs does not pass it.
    """
    place = f"{', '.join(results)} of {slug}/{package.wp_id}"
    refuse_agents("could not set the gate", place, "set_by_an_agent", "sets a gate")
    if any(results.get(gate_type) == PASSED for gate_type in REVIEWS):
        refuse_author(session, package, "could not set the gate", place)
    gates: dict[str, GateState] = {}

    def decided() -> Decision:
        state = session.board.features[slug]
        about = package_of(state, package.wp_id)
        gates.clear()
        gates.update(about.gates)
        events = list[WorkEvent]()
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
                gate = GateState(gate.gate_id, gate_type, result, session.current_actor())
            gates[gate.gate_id] = gate
        if context is not None:
            moving = with_code(session, state, about.wp_id, to, context)
            after = {**state.packages, about.wp_id: replace(about, gates=gates)}
            features = {**session.board.features, slug: replace(state, packages=after)}
            board = replace(session.board, features=features)
            decide_move(session, slug, about.wp_id, to, moving, board)
        watched = {about.subject, *(session.store.subject(slug, name) for name in gates)}
        return events, Unchanged(session.position, watched, _GATE_TYPES)

    if session.run(decided, "could not set the gate", place):
        session.refresh()
    return [gate for gate in gates.values() if gate.gate_type in results]


def refuse_author(session: Session, package: PackageState, operation: str, place: str) -> None:
    """Raises Refused if the actor did the package, and no one here may approve their own."""
    is_own = session.current_actor() == package.agent
    if is_own and not read_rules(session.project).author_may_approve:
        raise Refused(
            operation,
            guard="author_approves",
            place=place,
            cause=f"it is the work of {package.agent}, and nobody here may approve their own",
            hint="have somebody else look at it",
        )
