"""The group `work`: which commands there are, each imported when it is called."""

import click

from thence.cli.groups import HELP_NAMES, LazyCommands, talks

_EXAMPLE = """\b
Example:
  thence work add "Read the spec"
  thence work status"""

TABLE = {
    "finalize-tasks": ("finalize_tasks", "Make work packages of what tasks.md says."),
    "init": ("init", "Make this repository a project, and tell coding agents how to use it."),
    "setup-spec": ("setup_spec", "Begin a feature: its folder, its spec, its branch."),
    "status": ("status", "Show the board: every work package in its lane."),
}


@click.group(
    "work",
    cls=LazyCommands,
    table=TABLE,
    package="thence.cli.work",
    context_settings=HELP_NAMES,
    invoke_without_command=True,
    epilog=_EXAMPLE,
)
@talks
@click.pass_context
def work_command(context: click.Context) -> None:
    """Cut features into work packages, and move them to done."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
