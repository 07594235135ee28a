"""Moves of packages on the board: decided on a board, appended if that board still holds.

`mirror` shows the lanes in planning files, for people and other tools, where a file has them. The
changes stay in the main working tree until the next commit. A package's file without a `lane:` line
never gets one.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Literal

from msgspec.structs import replace

from thence.core.new_event import Unchanged
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused, ThenceError
from thence.git.commits import FileEdit, write_files
from thence.git.git import own_variables
from thence.git.repository import operation_under_way
from thence.git.worktrees import last_commit, state_of, uncommitted
from thence.log.open import new_id
from thence.log.recovery.writers import next_node_id
from thence.work.board.move_request import GuardFailure, Move, MoveContext
from thence.work.board.state import DONE, LANES, FeatureState, PackageState
from thence.work.board.transitions import DECIDING_TYPES, after_move
from thence.work.board.transitions import move as decide
from thence.work.journal.store import ACTOR, WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.plan.frontmatter import read, with_lane
from thence.work.plan.package_files import file_of
from thence.work.plan.tasks import PlannedPackage, parse
from thence.work.project.configuration import gates_run
from thence.work.project.package_refs import keep_commit
from thence.work.session.package_code import with_code
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile
from thence.work.session.ticks import has_lost_its_number

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
    lanes: dict[str, str] = {}  # of the packages on the first attempt
    for _ in range(ATTEMPTS_MAX):
        board, moves, refused = session.board, list[Move](), dict[str, Refused]()
        events: list[WorkEvent] = []
        before = board, 0, 0  # the moves of the package
        for wp_id, to, context in requests:
            if wp_id in refused:
                continue
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
            first = new_id()
            moves.append(decision)
            events += _events_of(decision, first)
            board = after_move(board, decision, first, context.actor)
        watched = frozenset(subject for move in moves for subject in move.watched)
        try:
            if moves:
                guard = Unchanged(session.position, watched, DECIDING_TYPES)
                append = session.append if needs_log else session.append_or_warn
                append(*events, *also, guard=guard)
        except HeadsMoved:
            lanes = {move.wp_id: move.previous for move in reversed(moves)}
            session.refresh()
            continue
        except ThenceError as error:
            if error.code not in ("append_failed", "log_full"):
                raise
            _check_recorded(session, slug, moves, {event.event_id for event in events}, error)
        else:
            session.board = board
        moved = {(move.wp_id, move.to) for move in moves}
        _keep_reviewed(session, slug, [one for one in requests if one[:2] in moved])
        return moves, refused
    names = ", ".join(wp_id for wp_id, _, _ in requests)
    raise moved_meanwhile(
        "could not move", f"{slug}/{names}", f"the board changed {ATTEMPTS_MAX} times meanwhile"
    )


def _check_recorded(
    session: Session,
    slug: str,
    moves: Sequence[Move],
    event_ids: Collection[str],
    error: ThenceError,
) -> None:
    """Warns of an append that failed behind the moves' own events; raises its error for others.

    What stands before a refused event is recorded, and the same move can't be made again.
    """
    session.refresh()
    packages = session.board.features[slug].packages
    if any(packages[move.wp_id].lane_event not in event_ids for move in moves):
        raise error
    session.warnings.append(
        f"the move is recorded, and not all that goes with it: {error.cause}; {error.hint}"
    )


def _keep_reviewed(
    session: Session, slug: str, requests: Sequence[tuple[str, str, MoveContext]]
) -> None:
    for wp_id, _, context in requests:
        if context.reviewed is not None:
            commit = context.reviewed.commit
            try:
                keep_commit(session.project.repo, session.refs, slug, wp_id, commit)
            except GitFailed as error:  # the move is recorded, and the branch has the commit
                session.warnings.append(
                    f"what went to review is kept by its branch alone: {error.cause}"
                )


def decide_move(session: Session, slug: str, wp_id: str, to: str, context: MoveContext) -> Move:
    """Returns the move on the present board; raises Refused if a guard refuses it."""
    decision = decide(session.board, slug, wp_id, to, context)
    if isinstance(decision, GuardFailure):
        raise _error(decision, slug, wp_id, to, context)
    return decision


def _error(refusal: GuardFailure, slug: str, wp_id: str, to: str, context: MoveContext) -> Refused:
    lane = to if to in LANES else repr(to)
    return refusal.error("could not move", f"{slug}/{wp_id} to {lane}", is_agent=context.is_agent)


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
    actor = actor_of(session, feature, wp_id)
    worktree = _worktree(session, feature.slug, wp_id)
    return MoveContext(
        actor=actor,
        changed_by=session.changed_by(),
        reason=reason,
        is_forced=is_forced,
        worktree=worktree,
        lost_commit=_lost_commit(session, feature.slug, wp_id) if worktree == "dirty" else "",
        open_subtasks=open_subtasks(session, feature, wp_id),
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


def _worktree(session: Session, slug: str, wp_id: str) -> Literal["clean", "dirty"] | None:
    path = session.project.root / worktree_of(slug, wp_id)
    state = state_of(session.project.repo, branch_of(slug, wp_id), path, session.refs.trees)
    if state.kind == "moved":
        return "dirty" if uncommitted(state.path) else "clean"
    return state.kind if state.kind in ("clean", "dirty") else None


def _lost_commit(session: Session, slug: str, wp_id: str) -> str:
    """Returns the commit of a package's branch that was deleted under its worktree, else ""."""
    if branch_of(slug, wp_id) in session.refs.branches:
        return ""
    return last_commit(session.project.root / worktree_of(slug, wp_id))


def actor_of(session: Session, feature: FeatureState, wp_id: str) -> str:
    """Returns the actor: the named one, else the package's agent, else the user."""
    if session.actor:
        return session.actor
    agent = ""
    _, data = package_file(session, feature, wp_id)
    with suppress(PlanningError):
        agent = read(data, wp_id).text("agent") if data else ""
    session.agent, session.store.actor = agent, agent or ACTOR
    return session.current_actor()


def open_subtasks(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, ...]:
    """Returns the subtasks of a package whose boxes are not ticked."""
    package = planned(session, feature).get(wp_id)
    subtasks = package.subtasks if package else ()
    return tuple(subtask.id for subtask in subtasks if not subtask.is_done)


def planned(session: Session, feature: FeatureState) -> dict[str, PlannedPackage]:
    """Returns the packages of a feature as planned in tasks.md, by id."""
    path = session.planning.path(feature.slug, "tasks.md")
    data = session.planning.read(session.target_of(feature), path)
    packages = parse(data, path).packages if data is not None else ()
    return {
        package.wp_id: package for package in packages if not has_lost_its_number(feature, package)
    }


def package_file(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, bytes | None]:
    """Returns path and bytes of a package's file; empty and None if it has none."""
    branch, package = session.target_of(feature), feature.packages.get(wp_id)
    if package is None:
        return "", None
    paths = (path for path, _ in session.planning.package_files(branch, feature.slug))
    path = file_of(package, paths, lambda name: session.planning.read(branch, name))
    return path, session.planning.read(branch, path) if path else None


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


def _events_of(move: Move, first: str) -> list[WorkEvent]:
    """Returns a move's event, whose id is `first`, and its follow-ups."""
    slug = move.feature_slug
    return [
        WorkEvent("WPStatusChanged", move.payload, slug, move.caused_by, event_id=first),
        *(
            WorkEvent(follow_up.event_type, follow_up.payload, slug, (first, *follow_up.rests_on))
            for follow_up in move.follow_ups
        ),
    ]


def is_mirrored(session: Session, feature: FeatureState) -> bool:
    """Reports whether planning files of the feature show lanes.

    Where features land by pull requests none does: no move is a commit there.
    """
    return not session.planning.is_by_pull_request and any(_lanes(session, feature))


def mirror(session: Session, feature: FeatureState) -> None:
    """Writes the packages' lanes into their files, as far as the files show lanes."""
    if not is_mirrored(session, feature) or operation_under_way(session.project.main.git_dir):
        return  # the next move writes the missing lanes
    changes = {}
    for path, present, lane in _lanes(session, feature):
        if present != lane:
            changes[path] = _lane_of(lane, path)
    write_files(session.project.main, changes)


def _lanes(session: Session, feature: FeatureState) -> Iterator[tuple[str, str, str]]:
    """Yields the files that show a lane, with that lane and the one that the package is in."""
    files = [path for path, _ in session.planning.package_files(None, feature.slug)]
    for package in feature.packages.values():
        path = file_of(package, files, lambda name: session.planning.read(None, name))
        data = session.planning.read(None, path) if path else None
        if data is None:
            continue
        try:
            present = read(data, path).text("lane")
            with_lane(data, package.lane, path)
        except PlanningError as error:
            note = f"{error.place}: its lane was not written: {error.cause}"
            session.warnings += [note] if note not in session.warnings else []
            continue
        if present:
            yield path, present, package.lane


def _lane_of(lane: str, path: str) -> FileEdit:
    def edit(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        try:
            return with_lane(data, lane, path)
        except PlanningError:  # the user's unfinished change that can't be read
            return data

    return edit
