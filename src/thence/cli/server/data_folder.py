"""The folder of a team's server, as its commands name it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.frame import checked_name
from thence.errors import ExtraMissing

if TYPE_CHECKING:
    from thence.server.team.accounts import Accounts
    from thence.server.team.invitations import Invitations
    from thence.server.team.keys import KeyRegistry
    from thence.server.team.logins import Logins

DEFAULT = "thence-server"
TEAM = "team"

data_option = click.option(
    "--data",
    metavar="FOLDER",
    default=DEFAULT,
    callback=checked_name,
    help=f"The server's folder; else ./{DEFAULT}.",
)


team_option = click.option(
    "--team",
    metavar="TEAM",
    default=TEAM,
    callback=checked_name,
    help=f"The name of the team; else {TEAM}.",
)


def database_file(folder: str) -> Path:
    """Returns the path of a server's database; raises ExtraMissing."""
    _check_extra()
    from thence.server.running import TEAM_DATABASE

    return Path(folder) / TEAM_DATABASE


@contextmanager
def accounts_in(folder: str) -> "Iterator[Accounts]":
    """Opens the accounts of a server, beside a server that runs too; raises NotAServer."""
    file = database_file(folder)
    from thence.server.team.accounts import Accounts
    from thence.server.team.logins import hashed
    from thence.server.team.sqlite import SqliteDatabase

    database = SqliteDatabase(file)
    try:
        yield Accounts(database, hashed)
    finally:
        database.close()


@contextmanager
def logins_in(folder: str) -> "Iterator[Logins]":
    """Opens the logins of a server, beside a server that runs too; raises NotAServer."""
    file = database_file(folder)
    from thence.server.team.logins import Logins, Tool, is_right
    from thence.server.team.sqlite import SqliteDatabase

    database = SqliteDatabase(file)
    try:
        yield Logins(database, Tool(time.time, os.urandom, is_right))
    finally:
        database.close()


@contextmanager
def invitations_in(folder: str) -> "Iterator[Invitations]":
    """Opens the invitations of a server, beside a server that runs too; raises NotAServer."""
    file = database_file(folder)
    from thence.server.team.invitations import Invitations
    from thence.server.team.logins import hashed
    from thence.server.team.sqlite import SqliteDatabase

    database = SqliteDatabase(file)
    try:
        yield Invitations(database, hashed, time.time)
    finally:
        database.close()


@contextmanager
def keys_in(folder: str) -> "Iterator[KeyRegistry]":
    """Opens the keys of a server's teams, beside a server that runs too; raises NotAServer."""
    file = database_file(folder)
    from thence.server.team.keys import KeyRegistry
    from thence.server.team.sqlite import SqliteDatabase

    database = SqliteDatabase(file)
    try:
        yield KeyRegistry(database)
    finally:
        database.close()


def audit(data: str, event_type: str, **payload: object) -> None:
    """Records in a server's audit log what the user of this machine has done."""
    from thence.server.team.audit import FOLDER, AuditLog

    try:
        user = getuser()
    except (KeyError, OSError):  # no name belongs to the number
        user = str(os.geteuid())
    log = AuditLog(database_file(data).with_name(FOLDER))
    log.record(event_type, f"local:{user}", **payload)
    log.close()


def _check_extra() -> None:
    """Raises ExtraMissing, before any output, if a package of the server is not installed."""
    for package in ("apsw", "argon2", "fastapi", "httptools", "nacl", "uvicorn"):
        if find_spec(package) is None:
            raise ExtraMissing(
                "could not use the server",
                cause=f"{package} is not installed",
                hint="pip install 'thence[server]'",
            )
