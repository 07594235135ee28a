"""The folder of a team's server, as its commands name it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from getpass import getuser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.frame import checked_name
from thence.cli.output import current
from thence.errors import ExtraMissing

if TYPE_CHECKING:
    from thence.server.team.accounts import Accounts
    from thence.server.team.database import Database
    from thence.server.team.invitations import Invitations
    from thence.server.team.keys import KeyRegistry
    from thence.server.team.logins import Logins

_PACKAGES = ("apsw", "argon2", "fastapi", "httpcore2", "httptools", "joserfc", "nacl", "uvicorn")
DEFAULT = "thence-server"
TEAM = "team"

_ADDRESS = "thence.server.database"

folder_option = click.option(
    "--data",
    metavar="FOLDER",
    default=DEFAULT,
    callback=checked_name,
    help=f"The server's folder; else ./{DEFAULT}.",
)


def data_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds --data, and --database beside it, which `database_place` knows of."""
    database = click.option(
        "--database",
        metavar="ADDRESS",
        callback=_keep_address,
        expose_value=False,
        help="Keep all in PostgreSQL, at postgresql://...; else THENCE_DATABASE.",
    )
    return folder_option(database(command))


def _keep_address(context: click.Context, option: click.Parameter, address: str | None) -> None:
    if address is not None:
        from thence.server.team.engines import is_address

        if not is_address(address):
            raise click.BadParameter("it does not begin with postgresql://")
    context.meta[_ADDRESS] = address


team_option = click.option(
    "--team",
    metavar="TEAM",
    default=TEAM,
    callback=checked_name,
    help=f"The name of the team; else {TEAM}.",
)


def database_file(folder: str) -> Path:
    """Returns the path of a server's database in SQLite; raises ExtraMissing."""
    _check_extra(*_PACKAGES)
    from thence.server.running import TEAM_DATABASE

    return Path(folder) / TEAM_DATABASE


def database_place(folder: str) -> str | Path:
    """Returns where a server's database is: an address of PostgreSQL, else a file.

    Raises ExtraMissing, and UsageError for a THENCE_DATABASE that is no address.
    """
    address = click.get_current_context().meta.get(_ADDRESS) or current().settings.database
    if address is None:
        return database_file(folder)
    from thence.server.team.engines import is_address

    if not is_address(address):
        raise click.UsageError("THENCE_DATABASE does not begin with postgresql://")
    return target_place(str(address))


def target_place(target: str) -> str | Path:
    """Returns where the database of another server is; raises ExtraMissing."""
    from thence.server.team.engines import is_address

    if not is_address(target):
        return database_file(target)
    _check_extra(*_PACKAGES)
    _check_extra("psycopg", "psycopg_pool", extra="postgres")
    return target


def shown(place: str | Path) -> str:
    """Returns where a database is, in words for people: no password is among them."""
    if isinstance(place, Path):
        return str(place.parent)
    from thence.server.team import postgres

    return postgres.shown(place)


@contextmanager
def _database_of(folder: str) -> "Iterator[Database]":
    """Opens the database of a server, beside a server that runs too; raises NotAServer."""
    place = database_place(folder)
    from thence.server.team.engines import open_database

    with closing(open_database(place)) as database:
        yield database


@contextmanager
def accounts_in(folder: str) -> "Iterator[Accounts]":
    """Opens the accounts of a server, beside a server that runs too; raises NotAServer."""
    with _database_of(folder) as database:
        from thence.server.team.accounts import Accounts
        from thence.server.team.logins import hashed

        yield Accounts(database, hashed)


@contextmanager
def logins_in(folder: str) -> "Iterator[Logins]":
    """Opens the logins of a server, beside a server that runs too; raises NotAServer."""
    with _database_of(folder) as database:
        from thence.server.team.logins import Logins, Tool, is_right

        yield Logins(database, Tool(time.time, os.urandom, is_right))


@contextmanager
def invitations_in(folder: str) -> "Iterator[Invitations]":
    """Opens the invitations of a server, beside a server that runs too; raises NotAServer."""
    with _database_of(folder) as database:
        from thence.server.team.invitations import Invitations
        from thence.server.team.logins import hashed

        yield Invitations(database, hashed, time.time)


@contextmanager
def keys_in(folder: str) -> "Iterator[KeyRegistry]":
    """Opens the keys of a server's teams, beside a server that runs too; raises NotAServer."""
    with _database_of(folder) as database:
        from thence.server.team.keys import KeyRegistry

        yield KeyRegistry(database)


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


def _check_extra(*packages: str, extra: str = "server") -> None:
    """Raises ExtraMissing, before any output, if a package of an extra is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise ExtraMissing(
                "could not use the server",
                cause=f"{package} is not installed",
                hint=f"pip install 'thence[{extra}]'",
            )
