"""The command `work finalize-tasks`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, feature_option, run

_EXAMPLE = """\b
Example:
  thence work finalize-tasks --feature 001"""


@click.command("finalize-tasks", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@feature_option
@common
def finalize_tasks_command(feature: str | None, actor: str | None, is_json: bool) -> int:
    """Make work packages of what tasks.md says.

    Each package gets a file in tasks/, and stands on the board as planned. All planning files
    of the feature are committed on the branch that is checked out. Run again, it adds new packages.
    """
    from thence.work.commands.finalize_tasks import finalize_tasks

    return run("finalize-tasks", "", actor, lambda session: finalize_tasks(session, feature))
