"""The commands of the version before this one that went; each says what to type instead."""

import click

from thence.cli.work.command_runner import command


@command("renumber", "thence work renumber")
@click.argument("package", required=False, metavar="")
@click.option("--to", hidden=True)
@click.option("--feature", hidden=True)
def renumber_command(package: str | None, to: str | None, feature: str | None) -> int:
    """Say what to type instead: a package keeps the name that it got."""
    raise click.UsageError(
        "a package whose number was given twice keeps the name that it got: type that name, such"
        " as `thence work implement WP10-ab12`; see it by `thence work status`"
    )


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
