"""The group `sync` with its commands, each imported when it is called."""

from thence.cli.frame import command_group

# name: (the module of the command, its line in the help)
TABLE = {
    "login": ("enable", "Log in to a team's server, and keep the login for this user."),
    "logout": ("enable", "End a login at its server, and remove it here."),
    "enable": ("enable", "Name the server and team that a log is synced with."),
    "disable": ("enable", "Turn off a log's sync, and make a board private again."),
    "mirror": ("mirroring", "Pull all of a team's logs into a folder, to look at them."),
    "now": ("syncing", "Push the events that others lack, and pull theirs."),
    "status": ("syncing", "Show what is not shared yet, the connection and the last sync."),
    "parked": ("syncing", "Show parked events, which can't be pushed or pulled."),
}


@command_group(
    "sync",
    "thence sync now",
    "thence sync login https://thence.example",
    extra="sync for a server",
    sections={"Commands": TABLE},
    package="thence.cli.commands.sync",
)
def sync_command() -> None:
    """Share a board through its git remote, or any log through a server."""
