"""The command `work move-task`."""

import click

from thence.cli.work.command_runner import (
    command,
    feature_option,
    force_option,
    local_option,
    reason_option,
    run,
)


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
