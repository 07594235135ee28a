"""The command `sync logout`: ends a login at its server, and removes it."""

import click

from thence.cli.frame import checked_name, help_with, output_options
from thence.cli.output import current
from thence.cli.sync.login import note_mended
from thence.cli.sync.synced_log import check_packages
from thence.errors import SyncError


@click.command("logout", **help_with("thence sync logout https://thence.example"))
@click.argument("url", metavar="[URL]", required=False)
@click.option("--as", "username", metavar="NAME", callback=checked_name, help="The login's name.")
@output_options
def logout_command(url: str | None, username: str | None) -> None:
    """End a login at its server, and remove it here.

    Without a server it is removed all the same: its tokens are good there until they expire.
    """
    check_packages()
    from thence.sync.credentials import CredentialStore
    from thence.sync.http_transport import revoke

    out = current()
    store = CredentialStore()
    login = store.chosen(url, username)
    is_revoked = True
    try:
        revoke(login)
    except SyncError as error:
        is_revoked = False
        out.warn(f"note: the server did not end the login: {error.cause}")
    store.remove(login)
    note_mended(out, store.notes)
    if out.is_json:
        out.json({"server": login.server, "username": login.username, "is_revoked": is_revoked})
    else:
        out.write(f"logged out at {login.server} as {login.username}")
