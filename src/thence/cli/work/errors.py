"""The command `work errors`."""

import click

from thence.cli.work.command_runner import command, run


@command("errors", "thence work errors --limit 5")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
def errors_command(
    limit: int,
) -> int:
    """Show what was refused of late, and what to do about it.

    The newest come first.
    """
    from thence.work.commands.findings import errors

    return run(lambda session: errors(session, limit), create=False)
