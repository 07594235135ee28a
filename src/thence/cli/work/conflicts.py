"""The command `work conflicts`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, run

_EXAMPLE = """\b
Example:
  thence work conflicts"""


@click.command("conflicts", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option("--all", "is_all", is_flag=True, help="Those too that somebody has resolved.")
@common
def conflicts_command(
    is_all: bool,
    actor: str | None,
    is_json: bool,
) -> int:
    """Show what clones have written at once and can't both stand.

    Each is settled by a rule, and both sides stay in the log. With open conflicts the exit code
    is 3.
    """
    from thence.work.commands.findings import conflicts

    return run("conflicts", "", actor, lambda session: conflicts(session, is_all), create=False)
