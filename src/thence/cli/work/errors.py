"""The command `work errors`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, run

_EXAMPLE = """\b
Example:
  thence work errors --limit 5"""


@click.command("errors", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
@common
def errors_command(
    limit: int,
    actor: str | None,
    is_json: bool,
) -> int:
    """Show what was refused of late, and what to do about it.

    The newest come first.
    """
    from thence.work.commands.findings import errors

    return run("errors", "", actor, lambda session: errors(session, limit), create=False)
