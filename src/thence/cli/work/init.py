"""The command `work init`."""

import click

from thence.cli.groups import HELP_NAMES
from thence.cli.work.command_runner import common, run

_EXAMPLE = """\b
Example:
  thence work init"""


@click.command("init", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option(
    "--new-id",
    "has_new_id",
    is_flag=True,
    help="Give the project an id of its own: the repository was made from a template.",
)
@common
def init_command(has_new_id: bool, actor: str | None, is_json: bool) -> int:
    """Make this repository a project, and tell coding agents how to use it.

    Its own files (.kittify/, a line of .gitignore, a section of AGENTS.md) are committed on the
    branch that is checked out. Run again, it adds what is missing.
    """
    from thence.work.commands.init import init

    return run("init", "", actor, lambda session: init(session, has_new_id=has_new_id))
