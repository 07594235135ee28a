"""The command `work share` of the version before this one, which says what to type instead."""

import click

from thence.cli.work.command_runner import command


@command("share", "thence work share")
@click.argument("mode", required=False, metavar="")
@click.option("--anyway", is_flag=True, hidden=True)
def share_command(mode: str | None, anyway: bool) -> int:
    """Say what to type instead: events are shared in one way, by the board's branch."""
    raise click.UsageError(
        "there is nothing to choose any more, for events are shared by the board's branch alone:"
        " type `thence work publish` to share them, and `thence work import`, once, where git"
        " tracks the day files of a project"
    )
