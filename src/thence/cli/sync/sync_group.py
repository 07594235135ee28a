"""The group `sync` with its commands, each imported when it is called."""

import click

from thence.cli.frame import LazyCommands, help_with, verbosity_options

# name: (the module of the command, its line in the help)
TABLE = {
    "login": ("login", "Log in to a team's server, and keep the login for this user."),
    "logout": ("login", "End a login at its server, and remove it here."),
    "enable": ("enable", "Name the server and team that a log is synced with."),
    "disable": ("enable", "Turn sync of a log off; all that it knows is kept."),
    "now": ("now", "Push what the server lacks, and pull what others have pushed."),
    "status": ("sync_status", "Show the queue, the connection and the last sync."),
    "parked": ("parked", "Show the events that stay behind, with the reasons."),
}


@click.group(
    "sync",
    cls=LazyCommands,
    table=TABLE,
    package="thence.cli.sync",
    invoke_without_command=True,
    **help_with("thence sync login https://thence.example", "thence sync enable"),
)
@verbosity_options
@click.pass_context
def sync_command(context: click.Context) -> None:
    """Share a log's events with your team through a server."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
