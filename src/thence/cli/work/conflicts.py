"""The command `work conflicts`."""

import click

from thence.cli.work.command_runner import command, run


@command("conflicts", "thence work conflicts")
@click.option("--all", "is_all", is_flag=True, help="Those too that somebody has resolved.")
def conflicts_command(
    is_all: bool,
) -> int:
    """Show what clones have written at once and can't both stand.

    Each is settled by a rule, and both sides stay in the log. With open conflicts the exit code
    is 3.
    """
    from thence.work.commands.findings import conflicts

    return run(lambda session: conflicts(session, is_all), create=False)
