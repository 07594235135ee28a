"""The command `work renumber` of the version before this one, which says what to type instead."""

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
