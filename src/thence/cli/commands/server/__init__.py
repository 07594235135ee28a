"""The group `server` with its commands, each imported when it is called."""

from thence.cli.frame import command_group

# name: (the module of the command, its line in the help)
TABLE = {
    "init": ("run_server", "Create a server's database, with its first team."),
    "backup": ("run_server", "Copy a server's data into one file, even while it runs."),
    "restore": ("run_server", "Check a backup and restore it."),
    "run": ("run_server", "Serve a team's logs over HTTP until a signal stops it."),
    "team": ("accounts", "Add teams, and list them."),
    "token": ("accounts", "Add, list or revoke tokens for machines such as CI."),
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
    """Run the server that syncs a team's logs."""
