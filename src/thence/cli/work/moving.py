"""The commands of `thence work` by which a package goes from lane to lane."""

import click

from thence.cli.work.command_runner import (
    command,
    feature_option,
    force_option,
    local_option,
    reason_option,
    run,
)
from thence.errors import Refused
from thence.inspection.log_folder import next_node_id
from thence.work.board.move_attempt import Facts
from thence.work.board.state import DOING, PLANNED, FeatureState
from thence.work.board.transitions import claimable
from thence.work.result import CommandResult
from thence.work.session.lane_moves import actor_of, check_written, move
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile

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
    from thence.work.commands.implement import implement

    return run(
        lambda session: implement(
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
    from thence.work.commands.settle import settle

    return run(
        lambda session: settle(session, package, winner=winner, reason=reason, feature=feature),
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
