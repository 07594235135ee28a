"""The group `sync` with its commands, each imported when it is called."""

from thence.cli.frame import command_group

# name: (the module of the command, its line in the help)
TABLE = {
    "login": ("login", "Log in to a team's server, and keep the login for this user."),
    "logout": ("login", "End a login at its server, and remove it here."),
    "enable": ("enable", "Name the server and team that a log is synced with."),
    "disable": ("enable", "Turn sync of a log off; its state is kept."),
    "mirror": ("mirroring", "Pull every log of a team into a folder, to look at them."),
    "now": ("syncing", "Push events that the server does not have, and pull those of others."),
    "status": ("syncing", "Show the queue, the connection and the last sync."),
    "parked": ("syncing", "Show parked events, which can't be pushed or pulled."),
}


@command_group(
    "sync",
    "thence sync login https://thence.example",
    "thence sync enable",
    extra="sync",
    table=TABLE,
    package="thence.cli.commands.sync",
)
def sync_command() -> None:
    """Share a log's events with your team through a server."""
