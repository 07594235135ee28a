"""The command `work status`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.door import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work status --json"""


@click.command("status", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@feature_option
@common
def status_command(feature: str | None, actor: str | None, is_json: bool) -> int:
    """Show the board: every work package in its lane.

    It is a replay of the log. What clones have written at once and can't both stand is shown as
    a conflict, with the rule that settled it.
    """
    from thence.work.commands.status import status

    return run("status", "", actor, lambda desk: status(desk, feature), create=False)
