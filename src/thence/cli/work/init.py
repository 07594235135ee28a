"""The command `work init`."""

import click

from thence.cli.work.command_runner import command, run


@command("init", "thence work init")
@click.option(
    "--new-id",
    "has_new_id",
    is_flag=True,
    help="Give the project an id of its own: the repository was made from a template.",
)
def init_command(has_new_id: bool) -> int:
    """Make this repository a project, and tell coding agents how to use it.

    Its own files (.kittify/, a line of .gitignore, a section of AGENTS.md) are committed on the
    branch that is checked out. Run again, it adds what is missing.
    """
    from thence.work.commands.init import init

    return run(lambda session: init(session, has_new_id=has_new_id))
