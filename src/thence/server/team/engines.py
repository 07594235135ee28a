"""The engine that a server's database is opened by: PostgreSQL at an address, else SQLite."""

from pathlib import Path

from thence.server.team.database import Database
from thence.server.team.migrations import Migration, missing

_SCHEMES = ("postgresql://", "postgres://")


def is_address(place: str | Path) -> bool:
    """Reports whether a database is named by an address of PostgreSQL, and not by a file."""
    return str(place).startswith(_SCHEMES)


def open_database(place: str | Path) -> Database:
    """Opens the database of a server and brings it up to date.

    Raises NotAServer, and DatabaseUnavailable for one in PostgreSQL that can't be reached.
    """
    if is_address(place):
        from thence.server.team.postgres import PostgresDatabase

        return PostgresDatabase(str(place))
    from thence.server.team.sqlite import SqliteDatabase

    return SqliteDatabase(place)


def make_database(place: str | Path, epoch: str, reader: str | None = None) -> None:
    """Makes the database of a server; raises ServerExists and what `open_database` raises.

    `reader` is the role that reads for a team in PostgreSQL, else `postgres.READER`.
    """
    if is_address(place):
        from thence.server.team import postgres

        postgres.make_database(str(place), epoch, reader or postgres.READER)
    else:
        from thence.server.team import sqlite

        sqlite.make_database(Path(place), epoch)


def pending(place: str | Path) -> list[Migration]:
    """Returns the steps that opening a database would do; raises what `open_database` raises."""
    if is_address(place):
        from thence.server.team.postgres import version_at

        return missing(version_at(str(place)))
    from thence.server.team.sqlite import version_in

    return missing(version_in(Path(place)))
