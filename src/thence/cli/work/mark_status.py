"""The command `work mark-status`."""

import click

from thence.cli.work.command_runner import command, feature_option, run


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
