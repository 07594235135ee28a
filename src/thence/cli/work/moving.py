"""The commands of `thence work` by which a package goes from lane to lane."""

from collections.abc import Sequence

import click

from thence.cli.work.command_runner import (
    command,
    feature_option,
    force_option,
    local_option,
    reason_option,
    run,
)
from thence.core.event import Event
from thence.core.values.new_event import Unchanged
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused
from thence.inspection.log_folder import next_node_id
from thence.merge.conflicts import Conflict
from thence.work.board.conflict_sides import action_of, person
from thence.work.board.guards import reason_missing
from thence.work.board.move_attempt import Facts
from thence.work.board.package_numbers import SLOT
from thence.work.board.state import DOING, PLANNED, FeatureState, PackageState
from thence.work.board.transitions import DECIDING_TYPES, claimable
from thence.work.journal.claims import claim_release, claimed
from thence.work.journal.store import WorkEvent
from thence.work.naming import wp_id_of
from thence.work.result import CommandResult
from thence.work.session.command_commit import check_at_target, keep_unwritten
from thence.work.session.lane_moves import (
    actor_of,
    check_written,
    decide_move,
    facts_of,
    move,
    package_of,
)
from thence.work.session.mirror import is_mirrored, mirror
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile
from thence.work.session.workspaces import release_reason, workspace

NOTHING_READY = 4  # the exit code of `next`


@command("implement", "thence work implement WP01 --actor ada")
@click.argument("package", metavar="WP")
@click.option(
    "--take-over",
    "takes_over",
    is_flag=True,
    help="Take it from whoever has it; they are notified.",
)
@feature_option
@force_option
@reason_option
def implement_command(
    package: str,
    takes_over: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Take a package, and make the worktree that it is done in.

    The package goes from planned to doing. Its branch begins at the branches of what it depends
    on, where these are not merged yet, else at the feature's target branch.
    """
    return run(
        lambda session: _implement(
            session,
            package,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            takes_over=takes_over,
        ),
        entity=package,
    )


@command("next", "thence work next --actor ada --json")
@feature_option
def next_command(
    feature: str | None,
) -> int:
    """Take the next package that is ready, so that nobody else does.

    It goes from planned to doing. With nothing ready the exit code is 4.
    """
    return run(lambda session: _take_next(session, feature))


@command("move-task", "thence work move-task WP01 --to for_review")
@click.argument("package", metavar="WP")
@click.option(
    "--to", required=True, metavar="LANE", help="planned, doing, for_review, done, rejected."
)
@click.option("--no-code", metavar="REASON", help="A done package has no code, for this reason.")
@local_option
@feature_option
@force_option
@reason_option
def move_task_command(
    package: str,
    to: str,
    no_code: str | None,
    is_local: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Move a package to another lane, if its guards let it through.

    A refused move changes nothing and names the guard that refused it, and what to do. The
    lane is written into the package's file too, if that shows one.
    """
    from thence.work.commands.move_task import move_task

    return run(
        lambda session: move_task(
            session,
            package,
            to,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            is_local=is_local,
            no_code=no_code,
        ),
        entity=package,
    )


@command("release", "thence work release WP01")
@click.argument("package", metavar="WP")
@feature_option
@force_option
@reason_option
def release_command(
    package: str,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Give back a package that you work on, so that anybody can take it.

    It goes from doing to planned; its branch and worktree stay, and who takes it next goes on
    there.
    """
    from thence.work.commands.move_task import release

    return run(
        lambda session: release(
            session, package, feature=feature, reason=reason or "", is_forced=is_forced
        ),
        entity=package,
    )


@command("reopen", "thence work reopen WP01 --reason reverted")
@click.argument("package", metavar="WP")
@feature_option
@reason_option
def reopen_command(
    package: str,
    feature: str | None,
    reason: str | None,
) -> int:
    """Take up again a package that is done.

    It goes from done to doing, and is yours; `thence work implement` makes its worktree again.
    """
    from thence.work.commands.move_task import reopen

    return run(
        lambda session: reopen(session, package, feature=feature, reason=reason or ""),
        entity=package,
    )


@command(
    "mark-status",
    "thence work mark-status T001 T002",
    "thence work mark-status T002 --undo",
)
@click.argument("subtasks", metavar="T...", nargs=-1, required=True)
@click.option("--undo", "is_undone", is_flag=True, help="Open the boxes again.")
@click.option(
    "--status",
    type=click.Choice(("done", "pending")),
    help="done ticks the boxes, as without it; pending is --undo.",
)
@feature_option
def mark_status_command(
    subtasks: tuple[str, ...],
    is_undone: bool,
    status: str | None,
    feature: str | None,
) -> int:
    """Tick the boxes of subtasks in tasks.md, or open them again.

    Where the project shows lanes and ticks in its planning files, tasks.md is changed too.
    """
    from thence.work.commands.mark_status import mark_status

    if is_undone and status == "done":
        raise click.UsageError("of --undo and --status done only one can be done")
    is_done = not is_undone and status != "pending"
    return run(lambda session: mark_status(session, subtasks, feature=feature, is_done=is_done))


_TYPES = ("CI_CHECK", "SECURITY_SCAN", "MANUAL_REVIEW", "ARCHITECTURE_REVIEW")


class _AnyCase(click.Choice[str]):
    """A choice of words in capitals that may be written in small letters."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Returns a word as it is compared and shown."""
        return str(choice).upper()


@command("gate", "thence work gate WP01 CI_CHECK passed")
@click.argument("package", metavar="WP")
@click.argument("gate_type", metavar="GATE", type=_AnyCase(_TYPES, case_sensitive=False))
@click.argument("result", required=False, type=click.Choice(("pending", "passed", "failed")))
@feature_option
@reason_option
def gate_command(
    package: str,
    gate_type: str,
    result: str | None,
    feature: str | None,
    reason: str | None,
) -> int:
    """Set a gate before a package, or record its result.

    GATE is CI_CHECK, SECURITY_SCAN, MANUAL_REVIEW or ARCHITECTURE_REVIEW. A package is done only
    when each of its gates is passed.
    """
    from thence.work.commands.gate import gate

    return run(
        lambda session: gate(
            session, package, gate_type, result, feature=feature, reason=reason or ""
        ),
        entity=package,
    )


@command("settle", "thence work settle WP01 --winner ada --reason 'she is further'")
@click.argument("package", metavar="WP")
@click.option(
    "--winner",
    metavar="EVENT_OR_ACTOR",
    required=True,
    help="What stands: the last event of a side, or who wrote it.",
)
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept in the log.")
@feature_option
def settle_command(
    package: str,
    winner: str,
    reason: str,
    feature: str | None,
) -> int:
    """Choose which side of a conflict stands.

    The sides are what `thence work conflicts` shows. It is one event; both sides stay in the log.
    """
    return run(
        lambda session: _settle(session, package, winner=winner, reason=reason, feature=feature),
        entity=package,
    )


def _take_next(session: Session, feature: str | None) -> CommandResult:
    """Moves the first package that is ready from planned to doing, for the actor.

    Ready packages are ordered by feature and number. With nothing ready the exit code is 4. Raises
    Refused if others are faster ATTEMPTS_MAX times, and what the append raises.
    """
    for _ in range(ATTEMPTS_MAX):
        session.look()
        facts = Facts(actor=session.current_actor(), node_id=next_node_id(session.project.home))
        every = list(session.board.features.values())
        chosen = every if feature is None else [session.feature(feature)]
        for each in chosen:
            ready = claimable(session.board, each.slug, facts)
            if ready:
                result = _take(session, each, ready[0].wp_id)
                if result is not None:
                    return result
                break
        else:
            return _nothing(session, chosen)
    raise moved_meanwhile(
        "could not take a package", "", f"others were faster {ATTEMPTS_MAX} times", "try again"
    )


def _take(session: Session, feature: FeatureState, wp_id: str) -> CommandResult | None:
    """Claims a package; returns None if somebody else was faster."""
    actor = actor_of(session, feature, wp_id)
    node_id = next_node_id(session.project.home)
    facts = Facts(actor=actor, changed_by=session.changed_by(), node_id=node_id)
    try:
        move(session, feature.slug, wp_id, DOING, facts)
    except Refused:
        return None
    check_written(session)
    package = feature.packages[wp_id]
    data = {
        "feature_slug": feature.slug,
        "package": {"wp_id": wp_id, "title": package.title, "agent": facts.actor},
    }
    lines = [
        f"{wp_id} of {feature.slug} is yours: {package.title}",
        f"next: thence work implement {wp_id} --feature {feature.slug}",
    ]
    return session.result(data, lines)


def _nothing(session: Session, features: list[FeatureState]) -> CommandResult:
    waiting = [
        f"{package.wp_id} of {feature.slug} waits for {', '.join(package.dependencies)}"
        for feature in features
        for package in feature.packages.values()
        if package.lane == PLANNED and package.dependencies
    ]
    left = session.not_imported()
    if left:
        waiting += [f"not in the log yet: {', '.join(left)}", "next: thence work import"]
    return session.result({"package": None}, ["nothing is ready", *waiting], NOTHING_READY)


def _implement(
    session: Session,
    given: str,
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    takes_over: bool = False,
) -> CommandResult:
    """Moves a package to doing and makes its branch and worktree, on top of its dependencies.

    With `takes_over` a package that somebody else has in doing becomes the actor's. For a package
    that the actor has already, the worktree is completed or just reported. If the worktree can't be
    made the package goes back to planned. Raises Refused, PlanningError, GitFailed.
    """
    session.look()
    session.unwritten_events.clear()  # the next look appends the events that this one could not
    found = session.feature(feature, given)
    package = package_of(found, wp_id_of(given))
    with claimed(session.project.home, package.subject):
        facts = facts_of(session, found, package.wp_id, reason=reason, is_forced=is_forced)
        is_mine = package.lane == DOING and package.agent in (None, facts.actor, facts.changed_by)
        claim, former = None, None
        if takes_over and package.lane == DOING and not is_mine:
            _take_over(session, found, package, facts.actor)
            former, is_mine = package.agent, True
        if not is_mine:
            decide_move(session, found.slug, package.wp_id, DOING, facts)
            check_at_target(session, found, session.target_of(found))
            move(session, found.slug, package.wp_id, DOING, facts, begins=True)
            claim = next((event.event_id for event in session.appended if event.begins), None)
        try:
            made = workspace(session, found, package, claim)
        except GitFailed as error:
            if not is_mine:
                reason, who = release_reason(error), session.changed_by()
                session.append(claim_release(reason, found.slug, package.wp_id, who, claim))
            raise
        if session.journal_error is not None and made.is_new:  # making the branch was the claim
            keep_unwritten(session)
        elif session.journal_error is None and is_mirrored(session, found):
            session.look()
            mirror(session, session.board.features.get(found.slug, found))
    data = {
        "feature_slug": found.slug,
        "wp_id": package.wp_id,
        "worktree": str(made.path),
        "branch": made.branch,
        "base": made.head,
        "is_new": made.is_new,
    }
    lines = [
        f"{package.wp_id} of {found.slug} is in doing, by {facts.actor}",
        f"worktree: {made.path}",
        "work and commit there",
        f"next: thence work move-task {package.wp_id} --feature {found.slug} --to for_review",
    ]
    if former and made.is_new:
        lines.insert(1, f"what {former} has not pushed of it is not in this branch")
    return session.result(data, lines)


def _take_over(session: Session, feature: FeatureState, package: PackageState, actor: str) -> None:
    payload = {"wp_id": package.wp_id, "agent_id": actor, "phase": "implementation"}
    causes = tuple(dict.fromkeys(package.events_of("lane", "agent")))
    guard = Unchanged(session.position, {package.subject}, DECIDING_TYPES)
    try:
        session.append(WorkEvent("WPAssigned", payload, feature.slug, causes), guard=guard)
    except HeadsMoved as error:
        raise Refused(
            "could not take over",
            guard="moved_meanwhile",
            place=f"{feature.slug}/{package.wp_id}",
            cause="somebody changed it meanwhile",
            hint="look at `thence work status`, then try again",
        ) from error
    check_written(session)


_SETTLING = "could not settle"


def _settle(
    session: Session, given: str, *, winner: str, reason: str, feature: str | None = None
) -> CommandResult:
    """Settles the open conflicts on a package for an event, or for the author of one side.

    The board then follows that side, and both sides stay in the log. Raises Refused where there is
    no conflict, or events of it are missing here, PlanningError for a winner that is no side of it,
    and what the append raises.
    """
    for _ in range(ATTEMPTS_MAX):
        session.look()
        found = session.feature(feature, given)
        package = package_of(found, wp_id_of(given))
        place = f"{found.slug}/{package.wp_id}"
        if not reason.strip():
            raise reason_missing("what was decided otherwise needs a reason").error(
                _SETTLING, place, is_agent=False
            )
        chosen = _winners(_open_conflicts(session, package, place), winner, place)
        choices = [_choice_event(found.slug, package.wp_id, reason, *each) for each in chosen]
        guard = session.guard((found.slug, package.wp_id), types=tuple(DECIDING_TYPES))
        try:
            session.append(*choices, guard=guard)
        except HeadsMoved:
            continue
        check_written(session)
        return _settled(session, found.slug, package.wp_id, [event for _, event in chosen])
    raise moved_meanwhile(_SETTLING, place, f"the board changed {ATTEMPTS_MAX} times meanwhile")


def _open_conflicts(session: Session, package: PackageState, place: str) -> Sequence[Conflict]:
    about = [each for each in session.board.conflicts if each.subject == package.subject]
    found = [each for each in about if each.is_open or each.slot == SLOT]
    if not found:
        raise Refused(
            _SETTLING,
            guard="no_conflict",
            place=place,
            cause="nothing was written on it at once that nobody has gone on from",
            hint="look at thence work conflicts --all",
        )
    if any(each.is_provisional for each in found):
        raise Refused(
            _SETTLING,
            guard="conflict_provisional",
            place=place,
            cause="events that led to the conflict are not here yet",
            hint="get them by `git pull`, then try again",
        )
    return found


def _winners(
    conflicts: Sequence[Conflict], winner: str, place: str
) -> list[tuple[Conflict, Event]]:
    """Returns the conflicts in which the winner has a side, each with that side's last event."""
    heads = [event for each in conflicts for event in each.heads]
    author = next((person(event) for event in heads if event.event_id == winner), winner)
    found: list[tuple[Conflict, Event]] = []
    for conflict in conflicts:
        sides = [event for event in conflict.heads if event.event_id == winner]
        if conflict.slot == SLOT and not sides:
            continue  # two packages are declared one by naming an event only
        sides = sides or [event for event in conflict.heads if person(event) == author]
        if len(sides) == 1:
            found.append((conflict, sides[0]))
    if not found:
        names = ", ".join(f"{event.event_id} ({action_of(event)})" for event in heads)
        raise PlanningError(
            _SETTLING,
            place=place,
            cause=f"{winner!r:.80} names no single side of the conflict",
            hint=f"name one of {names}",
        )
    return found


def _choice_event(
    slug: str, wp_id: str, reason: str, conflict: Conflict, winner: Event
) -> WorkEvent:
    sides = tuple(event.event_id for event in conflict.events)
    payload = {
        "wp_id": wp_id,
        "events": list(sides),
        "winner": winner.event_id,
        "reason": reason,
    }
    return WorkEvent("ConflictSettled", payload, slug, sides)


def _settled(session: Session, slug: str, wp_id: str, winners: Sequence[Event]) -> CommandResult:
    session.look()
    feature = session.board.features[slug]
    mirror(session, feature, is_all=True)
    package = feature.packages[wp_id]
    data = {
        "feature_slug": slug,
        "wp_id": wp_id,
        "winners": [event.event_id for event in winners],
        "lane": package.lane,
        "agent": package.agent,
    }
    whose = f", with {package.agent}" if package.agent else ""
    lines = [f"{action_of(event)} stands" for event in winners]
    return session.result(data, [*lines, f"{wp_id} of {slug} is in {package.lane}{whose}"])
