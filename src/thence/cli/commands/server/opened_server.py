"""The server that a command names by its folder, and what is kept of it in a database."""

import os
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from getpass import getuser
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from thence.cli.frame import PATH, Command, help_settings, output_options, require_packages
from thence.cli.output import current
from thence.errors import ThenceError

if TYPE_CHECKING:
    from thence.server.team.database import Database

_PACKAGES = ("apsw", "argon2", "fastapi", "httpcore2", "httptools", "uvicorn")
_USING = "could not use the server"
DEFAULT = "thence-server"
_ADDRESS = "thence.server.database"
_TEAMS_SHOWN_MAX = 5

team_option = click.option("--team", metavar="TEAM", help="The team; default: the only one.")

unix_option = click.option(
    "--unix",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Listen on a Unix socket instead of an address, for a proxy.",
)


def data_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds --data, and --database beside it, which `database_place` knows of."""
    database = click.option(
        "--database",
        metavar="ADDRESS",
        callback=lambda context, option, address: context.meta.update({_ADDRESS: address}),
        expose_value=False,
        help="Use PostgreSQL, at postgresql://...; default: THENCE_DATABASE.",
    )
    folder = click.option(
        "--data",
        type=PATH,
        metavar="FOLDER",
        default=DEFAULT,
        help=f"The server's folder; default: ./{DEFAULT}.",
    )
    return folder(database(command))


def database_place(folder: str) -> str | Path:
    """Returns where a server's database is: an address of PostgreSQL, else a file.

    Raises ExtraMissing, and UsageError for what is no address.
    """
    option = click.get_current_context().meta.get(_ADDRESS)
    address = current().settings.database if option is None else option
    require_packages(_USING, "server", *_PACKAGES)
    from thence.server.running import TEAM_DATABASE
    from thence.server.team.engines import is_address

    if address is None:
        return Path(folder) / TEAM_DATABASE
    if not is_address(address):
        source = "THENCE_DATABASE" if option is None else "--database"
        raise click.UsageError(f"{source} does not begin with postgresql://")
    require_packages(_USING, "postgres", "psycopg", "psycopg_pool")
    return address


def options_here(data: str) -> str:
    """Returns the options by which the next command finds the same server, with a space before."""
    address = click.get_current_context().meta.get(_ADDRESS)
    words = "" if data == DEFAULT else f" --data {quote(data)}"
    return words if address is None else f"{words} --database ADDRESS"


def audit(data: str, deed: str, **about: object) -> None:
    """Records in a server's audit log what the user of this machine has done."""
    from thence.server.team.audit import AuditLog

    try:
        user = getuser()
    except (KeyError, OSError):  # no name belongs to the number
        user = str(os.geteuid())
    AuditLog(Path(data)).record(deed, f"local:{user}", **about)


class OpenedServer:
    """The accounts of a server whose database a command has opened, and its audit log."""

    def __init__(self, database: "Database", data: str) -> None:
        from thence.server.team.accounts import Accounts
        from thence.server.team.logins import Logins, hashed

        self._data = data
        self.options = options_here(data)
        self.accounts = Accounts(database, hashed)
        self.logins = Logins(database)

    def audit(self, deed: str, **about: object) -> None:
        """Records what the user of this machine has done."""
        audit(self._data, deed, **about)

    def team(self, name: str | None) -> str:
        """Returns a name, without one that of the only team; raises UsageError."""
        if name:
            return name
        teams = self.accounts.teams()
        if len(teams) != 1:
            names = ", ".join(teams[:_TEAMS_SHOWN_MAX])
            choice = f"there are {names}" if teams else "there is none"
            raise click.UsageError(f"name the team with --team; {choice}")
        return teams[0]


@click.command
@data_option
@output_options
def _common(data: str) -> None:
    """Has the options of all commands that open a server."""


def server_command(
    group: click.Group, name: str, *examples: str
) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a function of an OpenedServer a command of a group; its docstring is the help.

    The function gets the server first, beside one that runs too, then the command's parameters by
    their names. Raises `not_a_server`.
    """

    def decorated(function: Callable[..., None]) -> click.Command:
        @wraps(function)
        def call(data: str, **arguments: Any) -> None:
            place = database_place(data)
            from thence.server.running import OWNER_UMASK
            from thence.server.team.engines import open_database

            os.umask(OWNER_UMASK)
            with closing(open_database(place)) as database:
                try:
                    function(OpenedServer(database, data), **arguments)
                except ThenceError as error:
                    error.hint += options_here(data) if "thence server" in error.hint else ""
                    raise

        command = click.command(name, cls=Command, **help_settings(*examples))(call)
        command.params += _common.params
        group.add_command(command)
        return command

    return decorated
