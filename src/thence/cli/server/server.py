"""The group `server` with its commands, each imported when it is called."""

import click

from thence.cli.frame import LazyCommands, help_with, verbosity_options

# name: (the module of the command, its line in the help)
TABLE = {
    "init": ("new_server", "Make the database of a server, with its first team."),
    "backup": ("copies", "Copy all that a server keeps into one file, also while it runs."),
    "invitation": (
        "invitations",
        "Invite people by links that work once, list these or revoke them.",
    ),
    "restore": ("copies", "Verify a copy and put it in the place of what a server keeps."),
    "run": ("run_server", "Answer the logs of a team over HTTP until a signal ends it."),
    "team": ("teams", "Add teams, or list them."),
    "token": ("tokens", "Let a machine such as CI in by a token, list or revoke tokens."),
    "user": ("users", "Add users, list or remove them, change their roles and passwords."),
    "verify": ("copies", "Read each line that a server keeps, and check its digest."),
}


@click.group(
    "server",
    cls=LazyCommands,
    table=TABLE,
    package="thence.cli.server",
    invoke_without_command=True,
    **help_with("thence server init", "thence server user add ada", "thence server run"),
)
@verbosity_options
@click.pass_context
def server_command(context: click.Context) -> None:
    """Run the server at which the logs of a team meet."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
