"""The commands `sync login` and `sync logout`: a login begins, and ends."""

import sys
from pathlib import Path

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
@click.option(
    "--new-password",
    "is_changing",
    is_flag=True,
    help="Also change your password: it is asked for, or the second line of stdin.",
)
@click.option(
    "--ca",
    "ca_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Trust the certificates in this file (PEM) instead of the system's.",
)
@output_options
def login_command(
    url: str,
    username: str | None,
    is_piped: bool,
    is_changing: bool,
    ca_file: str | None,
) -> None:
    """Log in to a team's server, and keep the login for this user.

    It asks for the password on a terminal, and stores it nowhere. The tokens are stored in
    ~/.config/thence/credentials.json, which only you can read.
    """
    check_packages()
    from thence.sync.client import log_in, server_address
    from thence.sync.credentials import CredentialStore

    server = server_address(url)
    ca_path = str(Path(ca_file).absolute()) if ca_file else None
    store = CredentialStore()
    # a file that can't be used is reported before a password is typed
    logins = [login for login in store.logins() if login.server == server]
    name = username or (logins[0].username if is_changing and len(logins) == 1 else None)
    name = name or _asked("--username", "Username")

    def secret(text: str) -> str:
        if not is_piped:
            return _asked("--password-stdin", text, is_hidden=True)
        line = sys.stdin.readline(_PASSWORD_CHARACTERS_MAX).removesuffix("\n").removesuffix("\r")
        if not line:
            raise click.UsageError("stdin holds no password")
        return line

    password = secret("Password")
    new_password = secret("New password") if is_changing else ""
    if is_changing and not is_piped and secret("New password, again") != new_password:
        raise click.UsageError("the two passwords differ; nothing has changed")
    if is_changing and ca_path is None:
        ca_path = next((login.ca_file for login in logins if login.username == name), None)
    login = log_in(server, name, password, new_password=new_password, ca_file=ca_path)
    out = current()
    store.save(login)
    team = login.team_slug
    out.result(
        {"server": login.server, "username": login.username, "team": team},
        [f"logged in at {login.server} as {login.username}{f', team {team}' if team else ''}"],
        () if team else ["you are not in a team yet: events are kept, not sent"],
    )
    if is_changing:
        out.notice("the password is changed, and all other logins of this user have ended")


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
