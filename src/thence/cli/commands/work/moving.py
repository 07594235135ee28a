"""The commands of `thence work` about one package: its lane, its gates, its ticks and notes."""

from collections.abc import Iterator, Sequence

import click
from msgspec.structs import replace

from thence.cli.commands.work.command_runner import (
    feature_option,
    force_option,
    reason_option,
    session_command,
)
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused, ThenceError
from thence.git.refs import refs_of, tip_of
from thence.log.recovery.writers import next_node_id
from thence.work.board.move_request import (
    GATE_STATUSES,
    GATE_TYPES,
    GuardFailure,
    MoveContext,
)
from thence.work.board.remarks import REVIEW
from thence.work.board.state import (
    APPROVED,
    DOING,
    DONE,
    FOR_REVIEW,
    LANES,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.board.transitions import DECIDING_TYPES
from thence.work.board.transitions import move as decide
from thence.work.journal.claims import claimed
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, wp_id_of
from thence.work.plan.tasks import parse
from thence.work.project.configuration import gates_run
from thence.work.session.command_commit import check_at_target
from thence.work.session.lane_changes import (
    check_move,
    is_started_by_agent,
    move,
    package_of,
    refuse_agents,
    request_of,
    set_gates,
    tick_event,
)
from thence.work.session.package_code import (
    LandingCheck,
    reverted_in,
    workspace,
)
from thence.work.session.pull_requests import take_plan_in
from thence.work.session.session import CommandResult, Session, moved_meanwhile
from thence.work.session.sharing import give_way, refresh_first
from thence.work.session.snapshot import Snapshot

NOTHING_READY = 4  # the exit code of `implement` without a package
_NOT_MADE = "its worktree could not be created"
_WAITING_SHOWN_MAX = 10


@click.argument("package", metavar="[WP]", required=False)
@click.option(
    "--take-over",
    "takes_over",
    is_flag=True,
    help="Take it from its owner, who is notified.",
)
@feature_option
@force_option
@reason_option
def implement(
    session: Session,
    package: str | None = None,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    takes_over: bool = False,
) -> CommandResult:
    """Claim a package and create its worktree.

    The package goes from planned to doing. Its branch starts from the branches of its dependencies
    that are not merged yet, otherwise from the feature's target branch.

    Without WP it claims the next package that is ready. If none is, the exit code is 4.
    """
    if package is None and (takes_over or is_forced):
        raise click.UsageError("--take-over and --force apply to one package: name it")
    until_s = refresh_first(session)
    if package is not None:
        state = session.feature(feature, package)
        taken = package_of(state, wp_id_of(package))
        return _take(
            session, state, taken, until_s, reason, is_forced=is_forced, takes_over=takes_over
        )
    passed: dict[str, ThenceError] = {}  # by subject; by slug what keeps all of a feature
    while True:
        states = list(session.board.features.values())
        chosen = states if feature is None else [session.feature(feature)]
        ready = next(ready_packages(session, chosen, passed), None)
        if ready is None:
            return _nothing(session, chosen, passed)
        state, taken = ready
        session.feature_slug = state.slug
        try:
            return _take(session, state, taken, until_s)
        except Refused as refusal:  # somebody else was faster
            passed[taken.subject] = refusal
        until_s = refresh_first(session)


implement_command = session_command(
    implement,
    "implement",
    "thence work implement --actor ada --json",
    "thence work implement WP01",
)


def ready_packages(
    session: Session, features: Sequence[FeatureState], passed: dict[str, ThenceError]
) -> Iterator[tuple[FeatureState, PackageState]]:
    """Yields the packages that can begin, apart from those passed over; adds to these."""
    context = _claim_context(session)
    for state in features:
        context = replace(context, reverted=reverted_in(session.snapshot, state))
        for wp_id, package in state.packages.items():
            if package.lane != PLANNED or package.subject in passed:
                continue
            if isinstance(decide(session.board, state.slug, wp_id, DOING, context), GuardFailure):
                continue
            try:
                check_at_target(session.snapshot, state, session.snapshot.target_of(state))
            except (PlanningError, Refused) as error:
                passed[state.slug] = error
                break
            yield state, package


def _claim_context(session: Session) -> MoveContext:
    node_id = next_node_id(session.project.home)
    return MoveContext(actor=session.current_actor(), node_id=node_id)


def _nothing(
    session: Session, features: Sequence[FeatureState], passed: dict[str, ThenceError]
) -> CommandResult:
    """Returns what is waited for, where no package is ready."""
    context, waiting = _claim_context(session), list[dict[str, str]]()
    for state in features:
        context = replace(context, reverted=reverted_in(session.snapshot, state))
        for package in state.packages.values():
            if package.lane in (DONE, REJECTED):
                continue
            who = f", with {package.agent}" if package.agent else ""
            why = f"it is in {package.lane}{who}"
            error = passed.get(package.subject) or passed.get(state.slug)
            if package.lane == PLANNED:
                found = decide(session.board, state.slug, package.wp_id, DOING, context)
                why = f"{error.cause}; {error.hint}" if error else ""
                why = found.message if isinstance(found, GuardFailure) else why
            about = {"feature_slug": state.slug, "wp_id": package.wp_id, "lane": package.lane}
            waiting.append({**about, "why": why})
    unlogged = session.snapshot.not_imported()
    empty = [one.slug for one in features if not one.packages and not one.is_completed]
    step = "thence work status" if waiting else "thence work setup-spec TITLE"
    if unlogged or (empty and not waiting):
        where = "" if unlogged else f" --feature {empty[0]}"
        step = f"thence work finalize-tasks{where}"
    shown = waiting[:_WAITING_SHOWN_MAX]
    lines = [f"{one['wp_id']} of {one['feature_slug']} waits: {one['why']}" for one in shown]
    if len(waiting) > len(shown):
        lines.append(f"{len(waiting) - len(shown):,} more wait; --json names them")
    if unlogged:
        lines.append(f"not in the log yet: {', '.join(unlogged)}")
    data = {"wp_id": None, "waiting": waiting, "not_imported": unlogged, "next": step}
    return session.result(data, ["nothing is ready", *lines, f"next: {step}"], NOTHING_READY)


def _take(
    session: Session,
    state: FeatureState,
    taken: PackageState,
    until_s: float,
    reason: str = "",
    *,
    is_forced: bool = False,
    takes_over: bool = False,
) -> CommandResult:
    """Takes a package, and makes its worktree."""
    # an agent that passed its own claim on would work unclaimed
    is_passed = takes_over and not is_started_by_agent()
    branch = branch_of(state.slug, taken.wp_id)
    with claimed(session.project.home, taken.subject, is_passed=is_passed):
        request = request_of(session, state, taken.wp_id, DOING, reason=reason, is_forced=is_forced)
        context = request.context
        is_mine = taken.lane == DOING and taken.agent in (None, context.actor, context.changed_by)
        is_taken_over, previous = takes_over and taken.lane == DOING and not is_mine, None
        if (is_mine or is_taken_over) and tip_of(session.refs, branch) is None:
            check_at_target(session.snapshot, state, session.snapshot.target_of(state))
        if is_taken_over:
            payload = {"wp_id": taken.wp_id, "agent_id": context.actor, "phase": "implementation"}
            causes = tuple(dict.fromkeys(taken.events_of("lane", "agent")))
            guard = session.snapshot.guard({taken.subject}, DECIDING_TYPES)
            try:
                session.append(WorkEvent("WPAssigned", payload, state.slug, causes), guard=guard)
            except HeadsMoved as error:
                place, cause = f"{state.slug}/{taken.wp_id}", "it has changed since"
                raise moved_meanwhile("could not take over", place, cause) from error
            previous, is_mine = taken.agent, True
            give_way(session, state, taken, until_s)
        if not is_mine:
            check_move(session.board, state.slug, request)
            check_at_target(session.snapshot, state, session.snapshot.target_of(state))
            move(session, state.slug, request, needs_log=False)
            _check_claimed(session, state, taken)
            give_way(session, state, taken, until_s)
        try:
            worktree = workspace(session, state, taken)
        except GitFailed as error:
            if not is_mine:  # it goes back to planned
                payload = {
                    "wp_id": taken.wp_id,
                    "previous_status": DOING,
                    "new_status": PLANNED,
                    "changed_by": session.changed_by(),
                    "feature_slug": state.slug,
                    "reason": f"{_NOT_MADE}: {error.cause or error.message}",
                }
                session.append_or_warn(WorkEvent("WPStatusChanged", payload, state.slug))
            raise
        if not worktree.is_new:
            take_plan_in(session, state, taken.wp_id)
        if not is_mine and not worktree.is_new:
            _check_claimed(session, state, taken)  # another made the branch meanwhile
    data: dict[str, object] = {
        "feature_slug": state.slug,
        "wp_id": taken.wp_id,
        "title": taken.title,
        "agent": context.actor,
        "worktree": str(worktree.path),
        "branch": worktree.branch,
        "base": worktree.head,
        "is_new": worktree.is_new,
    }
    lines = [
        f"{taken.wp_id} of {state.slug} is in doing, by {context.actor}: {taken.title}",
        f"worktree: {worktree.path}",
        "work and commit there",
        f"next: thence work move-task {taken.wp_id} --feature {state.slug} --to for_review",
    ]
    lines[3:3] = _revert_lines(session.snapshot, state, taken, data)
    if previous and worktree.is_new:
        lines.insert(1, f"anything {previous} has not pushed is not in this branch")
    return session.result(data, lines)


def _revert_lines(
    snapshot: Snapshot, feature: FeatureState, package: PackageState, data: dict[str, object]
) -> list[str]:
    """Returns what brings the code of a package back that was reverted, also into the data."""
    if not package.reviews:
        return []
    code = LandingCheck(snapshot, feature).of(package)
    if code.kind != "reverted":
        return []
    data["reverted_by"] = list(code.reverts)
    return [f"{package.wp_id} is {code.sentence}", f"in its worktree: {code.revert}"]


def _check_claimed(session: Session, feature: FeatureState, package: PackageState) -> None:
    """Raises Refused if no claim is in the log, and the package's branch exists.

    While the log can't be written, making the branch is the claim.
    """
    branch = branch_of(feature.slug, package.wp_id)
    if session.journal_error is not None and branch in refs_of(session.project.repo).branches:
        raise Refused(
            "could not begin work on",
            guard="branch_exists",
            place=f"{feature.slug}/{package.wp_id}",
            cause=f"its branch {branch} exists, and the log can't be written, so it counts as"
            " taken",
            hint="see why the log can't be written (thence doctor), then rerun the command",
        )


def _gates(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    """Returns gates with results, such as CI_CHECK=passed; the gate in upper or lower case."""
    gates = []
    for gate_type, _, status in (value.partition("=") for value in values):
        gates.append((gate_type.upper(), status))
        for word, words in zip(gates[-1], (GATE_TYPES, GATE_STATUSES), strict=True):
            if word not in words:
                text = f"{word!r} is not one of {', '.join(words)}"
                raise click.BadParameter(text, context, parameter)
    return gates


@click.argument("package", metavar="WP")
@click.option("--to", type=click.Choice(LANES), help="The lane that it goes to.")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="GATE=RESULT",
    callback=_gates,
    help="Record a gate's result: CI_CHECK, SECURITY_SCAN, MANUAL_REVIEW or ARCHITECTURE_REVIEW is"
    " pending, passed or failed.",
)
@feature_option
@force_option
@reason_option
def move_task(
    session: Session,
    package: str,
    to: str | None = None,
    *,
    gates: Sequence[tuple[str, str]] = (),
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
) -> CommandResult:
    """Move a package to another lane, or record the results of its gates.

    From doing to planned releases it, from done to doing reopens it. A refused move changes
    nothing, and names the guard that refused it and what to do. Only the log has the lane. A
    package is done only when each of its gates is passed.
    """
    if to is None and not gates:
        raise click.UsageError("name what is to change: --to LANE, --gate GATE=RESULT, or both")
    session.refresh()
    state = session.feature(feature, package)
    slug, wp_id = state.slug, wp_id_of(package)
    moving = package_of(state, wp_id)
    data: dict[str, object] = {"feature_slug": slug, "wp_id": wp_id}
    lines: list[str] = []
    request = None
    if to is not None:
        request = request_of(session, state, wp_id, to, reason=reason, is_forced=is_forced)
    if gates:
        run, results = gates_run(session.project), list[dict[str, object]]()
        for gate in set_gates(session, moving, slug, dict(gates), reason, request):
            result = {name: getattr(gate, name) for name in ("gate_id", "gate_type", "status")}
            results.append({**result, "is_run": gate.gate_type in run})
            line = f"gate {gate.gate_type} of {wp_id}: {gate.status}"
            if gate.gate_type in run:
                stated = f", as {gate.stated_by} states" if gate.stated_by else ""
                line += f"{stated}; thence work orchestrate runs it, and goes by what it saw"
            lines.append(line)
        data["gates"] = results
    if request is None:
        return session.result(data, lines)
    with claimed(session.project.home, moving.subject):
        moved = move(session, slug, request)
    data |= {"from": moved.previous, "to": to, "overruled": list(moved.overruled)}
    lines.append(f"{wp_id} of {slug}: {moved.previous} -> {to}")
    lines += [f"overruled: {guard}" for guard in moved.overruled]
    for event in moved.follow_ups:
        if event.event_type == "DependencyResolved":
            lines.append(f"{event.payload['wp_id']} can begin now")
    if to == PLANNED and moved.previous == DOING:
        lines.append("its branch and worktree stay as they are")
    if to == DOING and moved.previous in (PLANNED, DONE):
        lines.append(f"next: thence work implement {wp_id} --feature {slug}")
    if to == DOING:
        lines += _revert_lines(session.snapshot, state, moving, data)
    return session.result(data, lines)


move_task_command = session_command(
    move_task,
    "move-task",
    "thence work move-task WP01 --to for_review",
    "thence work move-task WP01 --gate CI_CHECK=passed",
    "thence work move-task WP01 --to doing --reason 'the build broke'",
)


@click.argument("subtasks", metavar="T...", nargs=-1, required=True)
@click.option("--undo", "is_undone", is_flag=True, help="Reopen the boxes.")
@feature_option
def mark_status(
    session: Session,
    subtasks: Sequence[str],
    *,
    feature: str | None = None,
    is_undone: bool = False,
) -> CommandResult:
    """Tick subtasks, or reopen them.

    Only the log has the ticks. A box that someone ticks in tasks.md counts until the log mentions
    that subtask.
    """
    is_done = not is_undone
    session.refresh()
    names = [name.upper() for name in subtasks]
    state = session.feature(feature)
    path = session.planning.path(state.slug, "tasks.md")
    is_here = not session.planning.is_by_pull_request
    data = session.planning.read(None, path) if is_here else None
    if data is None:
        data = session.planning.read(session.snapshot.target_of(state), path)
    packages = parse(data, path).packages if data is not None else ()
    boxes = [(package, box) for package in packages for box in package.subtasks]
    by_id = {box.id: (package, box) for package, box in reversed(boxes)}
    for name in names:
        if name not in by_id:
            raise Refused(
                "could not find the subtask",
                guard="unknown_subtask",
                place=repr(name),
                cause=f"{path} has {', '.join(box.id for _, box in boxes) or 'none'}",
                hint="write it as `- [ ] T001 text` below its package",
            )
    chosen = [by_id[name] for name in names]
    state = session.feature(state.slug, *(package.wp_id for package, _ in chosen))
    states = []
    for package, box in chosen:
        on_board = state.packages.get(package.wp_id)
        # a box that somebody ticked by hand has no event yet, and counts where the log is silent
        silent = box.is_done and not is_done
        was = on_board.subtasks.get(box.id, silent) if on_board else silent
        states.append((package, box, was))
    changed = [(package, box) for package, box, was in states if was is not is_done]
    if changed:
        session.append(*(tick_event(state, p.wp_id, box, is_done) for p, box in changed))
    result = {
        "feature_slug": state.slug,
        "subtasks": [box.id for _, box in chosen],
        "changed": [box.id for _, box in changed],
    }
    mark = "x" if is_done else " "
    lines = [
        f"[{mark}] {box.id} {box.text}  ({package.wp_id})"
        + ("  (it was already)" if was is is_done else "")
        for package, box, was in states
    ]
    return session.result(result, lines)


mark_status_command = session_command(
    mark_status,
    "mark-status",
    "thence work mark-status T001 T002",
    "thence work mark-status T002 --undo",
)


@click.argument("package", metavar="WP")
@click.argument("text", metavar="TEXT")
@click.option(
    "--type",
    "kind",
    type=click.Choice(("note", "review", "error", "comment")),
    default="note",
    show_default=True,
    help="The kind of entry.",
)
@feature_option
def add_history(
    session: Session,
    package: str,
    text: str,
    *,
    kind: str = "note",
    feature: str | None = None,
) -> CommandResult:
    """Record a note about a package, or a review of it.

    It appends one event, and commits nothing. A review whose text is `approved` approves what was
    handed in; to send it back: `thence work move-task WP --to doing --reason TEXT`.
    """
    session.refresh()
    state = session.feature(feature, package)
    about = package_of(state, wp_id_of(package))
    wp_id = about.wp_id
    if not text.strip():
        raise PlanningError(
            f"could not record the {kind} on",
            place=f"{state.slug}/{wp_id}",
            cause="its text is empty",
            hint=f"thence work add-history {wp_id} 'your remark'",
        )
    if (kind, text) == (REVIEW, APPROVED):
        place = f"{state.slug}/{wp_id}"
        refuse_agents("could not approve", place, "approved_by_an_agent", "approves a package")
        if about.lane != FOR_REVIEW:
            words = f"{wp_id} is in {about.lane}: an approval counts once it is in {FOR_REVIEW}"
            session.warnings.append(words)
    payload = {
        "wp_id": wp_id,
        "entry_type": kind,
        "entry_content": text,
        "author": session.current_actor(),
    }
    session.append(WorkEvent("HistoryAdded", payload, state.slug))
    data = {"feature_slug": state.slug, "wp_id": wp_id, "entry_type": kind}
    return session.result(data, [f"{kind} on {wp_id} of {state.slug} recorded"])


add_history_command = session_command(
    add_history,
    "add-history",
    "thence work add-history WP01 'It locks too long'",
    "thence work add-history WP01 approved --type review",
)
