"""The commands of `thence work` by which a package goes from lane to lane."""

import click
from msgspec.structs import replace

from thence.cli.commands.work.command_runner import (
    feature_option,
    force_option,
    local_option,
    reason_option,
    session_command,
)
from thence.cli.shared.completing import complete_package
from thence.core.new_event import Unchanged
from thence.errors import GitFailed, HeadsMoved, Refused
from thence.git.repository import branches
from thence.log.recovery.writers import next_node_id
from thence.work.board.move_request import MoveContext, reverted_by
from thence.work.board.state import DOING, DONE, PLANNED, FeatureState, PackageState
from thence.work.board.transitions import DECIDING_TYPES, claimable
from thence.work.journal.claims import claim_release, claimed
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, wp_id_of
from thence.work.session.command_commit import check_at_target
from thence.work.session.feature_choice import not_imported
from thence.work.session.lane_changes import (
    actor_of,
    context_of,
    decide_move,
    is_mirrored,
    is_started_by_agent,
    mirror,
    move,
    package_of,
)
from thence.work.session.package_code import (
    LandingCheck,
    code_of,
    reverted_in,
    workspace,
)
from thence.work.session.pull_requests import take_plan_in
from thence.work.session.session import ATTEMPTS_MAX, CommandResult, Session, moved_meanwhile

NOTHING_READY = 4  # the exit code of `next`
_NOT_MADE = "its worktree could not be made"


@click.argument("package", metavar="WP", shell_complete=complete_package)
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
    package: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    takes_over: bool = False,
) -> CommandResult:
    """Take a package, and make its worktree.

    The package goes from planned to doing. Its branch starts from the branches of its dependencies
    that are not merged yet, otherwise from the feature's target branch.
    """
    session.refresh()
    state = session.feature(feature, package)
    taken = package_of(state, wp_id_of(package))
    # an agent that passed its own claim on would work unclaimed
    is_passed = takes_over and not is_started_by_agent()
    with claimed(session.project.home, taken.subject, is_passed=is_passed):
        context = context_of(session, state, taken.wp_id, reason=reason, is_forced=is_forced)
        is_mine = taken.lane == DOING and taken.agent in (None, context.actor, context.changed_by)
        previous = None
        if takes_over and taken.lane == DOING and not is_mine:
            payload = {"wp_id": taken.wp_id, "agent_id": context.actor, "phase": "implementation"}
            causes = tuple(dict.fromkeys(taken.events_of("lane", "agent")))
            guard = Unchanged(session.position, {taken.subject}, DECIDING_TYPES)
            try:
                session.append(WorkEvent("WPAssigned", payload, state.slug, causes), guard=guard)
            except HeadsMoved as error:
                raise Refused(
                    "could not take over",
                    guard="moved_meanwhile",
                    place=f"{state.slug}/{taken.wp_id}",
                    cause="somebody changed it meanwhile",
                    hint="look at `thence work status`, then try again",
                ) from error
            previous, is_mine = taken.agent, True
        if not is_mine:
            decide_move(session, state.slug, taken.wp_id, DOING, context)
            check_at_target(session, state, session.target_of(state))
            move(session, state.slug, taken.wp_id, DOING, context, needs_log=False)
            _check_claimed(session, state, taken)
        try:
            worktree = workspace(session, state, taken)
        except GitFailed as error:
            if not is_mine:  # it goes back to planned
                reason, who = f"{_NOT_MADE}: {error.cause or error.message}", session.changed_by()
                session.append_or_warn(claim_release(reason, state.slug, taken.wp_id, who))
            raise
        if not worktree.is_new:
            take_plan_in(session, state, taken.wp_id)
        if not is_mine and not worktree.is_new:
            _check_claimed(session, state, taken)  # another made the branch meanwhile
        if session.journal_error is None and is_mirrored(session, state):
            session.refresh()
            mirror(session, session.board.features.get(state.slug, state))
    data: dict[str, object] = {
        "feature_slug": state.slug,
        "wp_id": taken.wp_id,
        "worktree": str(worktree.path),
        "branch": worktree.branch,
        "base": worktree.head,
        "is_new": worktree.is_new,
    }
    lines = [
        f"{taken.wp_id} of {state.slug} is in doing, by {context.actor}",
        f"worktree: {worktree.path}",
        "work and commit there",
        f"next: thence work move-task {taken.wp_id} --feature {state.slug} --to for_review",
    ]
    lines[3:3] = _revert_lines(session, state, taken, data)
    if previous and worktree.is_new:
        lines.insert(1, f"what {previous} has not pushed of it is not in this branch")
    return session.result(data, lines)


implement_command = session_command(
    implement, "implement", "thence work implement WP01 --actor ada"
)


def _revert_lines(
    session: Session, feature: FeatureState, package: PackageState, data: dict[str, object]
) -> list[str]:
    """Returns what brings the code of a package back that was reverted, also into the data."""
    if not package.reviews:
        return []
    code = LandingCheck(session, feature).of(package)
    if code.kind != "reverted":
        return []
    data["reverted_by"] = list(code.reverts)
    return [f"{package.wp_id} is {reverted_by(code)}", f"in its worktree: {code.revert}"]


def _check_claimed(session: Session, feature: FeatureState, package: PackageState) -> None:
    """Raises Refused if no claim is in the log, and the package's branch exists.

    While the log can't be written, making the branch is the claim.
    """
    branch = branch_of(feature.slug, package.wp_id)
    if session.journal_error is not None and branch in branches(session.project.repo):
        raise Refused(
            "could not begin work on",
            guard="branch_exists",
            place=f"{feature.slug}/{package.wp_id}",
            cause=f"its branch {branch} exists, and the log can't be written, so that it counts"
            " as taken",
            hint="see why the log can't be written (thence doctor), then type the command again",
        )


@feature_option
def take_next(session: Session, feature: str | None = None) -> CommandResult:
    """Claim the next package that is ready.

    It goes from planned to doing. With nothing ready the exit code is 4.
    """
    for _ in range(ATTEMPTS_MAX):
        session.refresh()
        context = MoveContext(
            actor=session.current_actor(), node_id=next_node_id(session.project.home)
        )
        states = list(session.board.features.values())
        chosen = states if feature is None else [session.feature(feature)]
        for state in chosen:
            context = replace(context, reverted=reverted_in(session, state))
            if ready := claimable(session.board, state.slug, context):
                break
        else:
            return _nothing(session, chosen)
        wp_id, title, slug = ready[0].wp_id, ready[0].title, state.slug
        actor, changed_by = actor_of(session, state, wp_id), session.changed_by()
        context = MoveContext(actor=actor, changed_by=changed_by, node_id=context.node_id)
        try:
            move(session, slug, wp_id, DOING, context)
        except Refused:  # somebody else was faster
            continue
        data = {"feature_slug": slug, "package": {"wp_id": wp_id, "title": title, "agent": actor}}
        next_line = f"next: thence work implement {wp_id} --feature {slug}"
        return session.result(data, [f"{wp_id} of {slug} is yours: {title}", next_line])
    raise moved_meanwhile(
        "could not take a package", "", f"others were faster {ATTEMPTS_MAX} times", "try again"
    )


next_command = session_command(take_next, "next", "thence work next --actor ada --json")


def _nothing(session: Session, features: list[FeatureState]) -> CommandResult:
    waiting = [
        f"{package.wp_id} of {feature.slug} waits for {', '.join(package.dependencies)}"
        for feature in features
        for package in feature.packages.values()
        if package.lane == PLANNED and package.dependencies
    ]
    unlogged = not_imported(session.board, session.planning)
    if unlogged:
        waiting += [
            f"not in the log yet: {', '.join(unlogged)}",
            "next: thence work finalize-tasks",
        ]
    return session.result({"package": None}, ["nothing is ready", *waiting], NOTHING_READY)


@click.argument("package", metavar="WP", shell_complete=complete_package)
@click.option(
    "--to", required=True, metavar="LANE", help="planned, doing, for_review, done, rejected."
)
@click.option("--no-code", metavar="REASON", help="The reason why a done package has no code.")
@local_option
@feature_option
@force_option
@reason_option
def move_task(
    session: Session,
    package: str,
    to: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_local: bool = False,
    no_code: str | None = None,
    from_lane: str | None = None,
) -> CommandResult:
    """Move a package to another lane, if its guards let it through.

    A refused move changes nothing and names the guard that refused it, and what to do. The
    lane is written into the package's file too, if that shows one.
    """
    session.refresh()
    state = session.feature(feature, package)
    wp_id = wp_id_of(package)
    moving = package_of(state, wp_id)
    if from_lane is not None and moving.lane != from_lane:
        raise Refused(
            "could not move",
            guard="not_in_lane",
            place=wp_id,
            cause=f"{wp_id} is in {moving.lane}, not in {from_lane}",
            hint="look at `thence work status`; `thence work move-task` makes other moves",
        )
    with claimed(session.project.home, moving.subject):
        context = context_of(session, state, wp_id, to, reason=reason, is_forced=is_forced)
        code = code_of(session, state, moving, None, no_code, reason) if to == DONE else None
        context = replace(context, is_local=is_local, code=code)
        shows_lane = is_mirrored(session, state)
        needs_log = from_lane is not None or not shows_lane
        moved = move(session, state.slug, wp_id, to, context, needs_log=needs_log)
        if shows_lane and session.journal_error is None:
            session.refresh()
        mirror(session, session.board.features.get(state.slug, state))
    data: dict[str, object] = {
        "feature_slug": state.slug,
        "wp_id": wp_id,
        "from": moved.previous,
        "to": to,
        "overruled": list(moved.overruled),
    }
    lines = [f"{wp_id} of {state.slug}: {moved.previous} -> {to}"]
    lines += [f"overruled: {guard}" for guard in moved.overruled]
    for event in moved.follow_ups:
        if event.event_type == "DependencyResolved":
            lines.append(f"{event.payload['wp_id']} can begin now")
    if to == PLANNED and moved.previous == DOING:
        lines.append("its branch and worktree stay as they are")
    if to == DOING and moved.previous in (PLANNED, DONE):
        lines.append(f"next: thence work implement {wp_id} --feature {state.slug}")
    if to == DOING:
        lines += _revert_lines(session, state, moving, data)
    return session.result(data, lines)


move_task_command = session_command(
    move_task, "move-task", "thence work move-task WP01 --to for_review"
)


@click.argument("package", metavar="WP", shell_complete=complete_package)
@feature_option
@force_option
@reason_option
def release(
    session: Session,
    package: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
) -> CommandResult:
    """Give back a package that you work on, so that anybody can take it.

    It goes from doing to planned; its branch and worktree stay, and its next owner continues there.
    """
    return move_task(
        session,
        package,
        PLANNED,
        from_lane=DOING,
        feature=feature,
        reason=reason,
        is_forced=is_forced,
    )


release_command = session_command(release, "release", "thence work release WP01")


@click.argument("package", metavar="WP", shell_complete=complete_package)
@feature_option
@reason_option
def reopen(
    session: Session, package: str, *, feature: str | None = None, reason: str = ""
) -> CommandResult:
    """Reopen a package that is done.

    It goes from done to doing, and is yours; `thence work implement` makes its worktree again.
    """
    return move_task(session, package, DOING, from_lane=DONE, feature=feature, reason=reason)


reopen_command = session_command(reopen, "reopen", "thence work reopen WP01 --reason reverted")
