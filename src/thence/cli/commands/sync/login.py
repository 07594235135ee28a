"""The commands `sync login` and `sync logout`: a login begins, and ends."""

import sys

import click

from thence.cli.commands.sync.syncing import check_packages
from thence.cli.frame import check_terminal, checked_name, help_with, output_options
from thence.cli.output import current
from thence.errors import SyncRefused

_PASSWORD_CHARACTERS_MAX = 4_096


@click.command("login", **help_with("thence sync login https://thence.example --username ada"))
@click.argument("url", metavar="URL")
@click.option("--username", metavar="NAME", callback=checked_name, help="The name to log in with.")
@click.option(
    "--password-stdin", "is_piped", is_flag=True, help="Read the password from stdin, one line."
)
@output_options
def login_command(url: str, username: str | None, is_piped: bool) -> None:
    """Log in to a team's server, and keep the login for this user.

    It asks for the password on a terminal, and stores it nowhere. The tokens are stored in
    ~/.config/thence/credentials.json, which only you can read.
    """
    check_packages()
    from thence.sync.client import log_in, server_address
    from thence.sync.credentials import CredentialStore

    server = server_address(url)
    store = CredentialStore()
    store.logins()  # a file that can't be used is reported before a password is typed
    name = username or _asked("--username", "Username")
    if is_piped:
        line = sys.stdin.readline(_PASSWORD_CHARACTERS_MAX)
        password = line.removesuffix("\n").removesuffix("\r")
        if not password:
            raise click.UsageError("stdin holds no password")
    else:
        password = _asked("--password-stdin", "Password", is_hidden=True)
    login = log_in(server, name, password)
    store.save(login)
    team = login.team_slug
    current().result(
        {"server": login.server, "username": login.username, "team": team},
        [f"logged in at {login.server} as {login.username}{f', team {team}' if team else ''}"],
        () if team else ["you are not in a team yet: events are kept, not sent"],
    )


@click.command("logout", **help_with("thence sync logout https://thence.example"))
@click.argument("url", metavar="[URL]", required=False)
@click.option("--as", "username", metavar="NAME", callback=checked_name, help="The login's name.")
@output_options
def logout_command(url: str | None, username: str | None) -> None:
    """End a login at its server, and remove it here.

    If the server can't be reached, the login is only removed here: its tokens are valid there
    until they expire.
    """
    check_packages()
    from thence.sync.client import revoke
    from thence.sync.credentials import CredentialStore

    out = current()
    store = CredentialStore()
    login = store.login(url, username)
    is_revoked = True
    try:
        revoke(login)
    except SyncRefused as error:
        is_revoked = False
        out.warn(f"note: the server did not end the login: {error.cause}")
    store.remove(login)
    out.result(
        {"server": login.server, "username": login.username, "is_revoked": is_revoked},
        [f"logged out at {login.server} as {login.username}"],
    )


def _asked(option: str, text: str, *, is_hidden: bool = False) -> str:
    """Asks for a text on a terminal; raises UsageError without one."""
    check_terminal(f"give {option}")
    answer: str = click.prompt(text, hide_input=is_hidden, err=True)
    return answer
