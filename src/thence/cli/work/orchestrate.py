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


def _goes_on(_: click.Context, option: click.Parameter, is_given: bool) -> None:
    """Refuses an option of the version before this one."""
    if is_given:
        raise click.UsageError(
            f"--{option.name} is gone, for each start goes on where the last one ended: type"
            " thence work orchestrate"
        )


@command("orchestrate", "thence work orchestrate --feature 001 --dry-run")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show the plan and its critical path.")
@click.option("--resume", is_flag=True, hidden=True, expose_value=False, callback=_goes_on)
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

    if is_dry and is_aborted:
        raise click.UsageError("--dry-run goes not with --abort")
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
        with display(current()) as live:  # the display ends before the result is written
            return orchestrate(
                session,
                feature=feature,
                skip=skip,
                report=live.report,
                turn=live.turn,
            )

    return run(work)
