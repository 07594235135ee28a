"""The command `work publish`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.door import common, run

_EXAMPLE = """\b
Example:
  thence work publish"""


@click.command("publish", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option("--target-branch", metavar="BRANCH", help="Else the branch that is checked out.")
@common
def publish_command(
    target_branch: str | None,
    actor: str | None,
    is_json: bool,
) -> int:
    """Commit the events that a branch lacks, for others to merge.

    Commands that commit do it too; this is for notes and claims that can't wait for them.
    """
    from thence.work.commands.publish import publish

    return run("publish", "", actor, lambda desk: publish(desk, target_branch))
