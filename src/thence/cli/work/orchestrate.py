"""The command `work orchestrate`."""

import signal
from typing import TYPE_CHECKING

import click

from thence.cli.frame import checked_name
from thence.cli.output import current
from thence.cli.work.command_runner import command, feature_option, run

if TYPE_CHECKING:
    from thence.work.result import CommandResult
    from thence.work.session.session import Session


@command("orchestrate", "thence work orchestrate --feature 001 --dry-run")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show the plan and its critical path.")
@click.option("--resume", "is_resumed", is_flag=True, help="Go on where one that ended was.")
@click.option("--abort", "is_aborted", is_flag=True, help="End it; packages are planned again.")
@click.option(
    "--skip",
    metavar="WP",
    multiple=True,
    callback=checked_name,
    help="Reject a package; others go on.",
)
@feature_option
def orchestrate_command(
    is_dry: bool,
    is_resumed: bool,
    is_aborted: bool,
    skip: tuple[str, ...],
    feature: str | None,
) -> int:
    """Work a feature off with agent programs, until all of it is done.

    The agents stand in `.kittify/config.yaml`. Ctrl-C ends them and gives their packages free;
    what was committed stays. With packages left that nobody can do the exit code is 1.
    """
    from thence.cli.work.orchestration_display import display
    from thence.work.commands.orchestrate import abort, dry_run, orchestrate

    if sum((is_dry, is_resumed, is_aborted)) > 1:
        raise click.UsageError("of --dry-run, --resume and --abort only one can be done")
    if skip and (is_dry or is_aborted):
        raise click.UsageError("--skip goes with neither --dry-run nor --abort")
    if is_dry:
        return run(
            lambda session: dry_run(session, feature=feature), operation="orchestrate --dry-run"
        )
    if is_aborted:
        return run(lambda session: abort(session, feature=feature), operation="orchestrate --abort")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: agents are ended

    def work(session: "Session") -> "CommandResult":
        with display(current()) as shown:  # the display ends before the result is written
            return orchestrate(
                session,
                feature=feature,
                skip=skip,
                is_resumed=is_resumed,
                report=shown.report,
                turn=shown.turn,
            )

    return run(work)
