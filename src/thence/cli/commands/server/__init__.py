"""The group `server` with its commands, each imported when it is called."""

from thence.cli.frame import command_group

# name: (the module of the command, its line in the help)
TABLE = {
    "init": ("run_server", "Make the database of a server, with its first team."),
    "backup": ("run_server", "Copy a server's data into one file, also while it runs."),
    "restore": ("run_server", "Check a backup and restore it."),
    "run": ("run_server", "Serve the logs of a team over HTTP until a signal ends it."),
    "team": ("accounts", "Add teams, and list them."),
    "token": ("accounts", "Add, list or revoke the tokens of machines such as CI."),
    "user": ("accounts", "Add users, list or remove them, change their roles and passwords."),
}


@command_group(
    "server",
    "thence server init",
    "thence server user add ada",
    "thence server run",
    extra="server",
    sections={"Commands": TABLE},
    package="thence.cli.commands.server",
)
def server_command() -> None:
    """Run the server that syncs the logs of a team."""
