"""The engine that a server's database is opened by: PostgreSQL at an address, else SQLite."""

from pathlib import Path

from thence.server.team.database import Database

_SCHEMES = ("postgresql://", "postgres://")


def is_address(place: str | Path) -> bool:
    """Reports whether a database is named by an address of PostgreSQL, and not by a file."""
    return str(place).startswith(_SCHEMES)


def open_database(place: str | Path) -> Database:
    """Opens the database of a server.

    Raises `not_a_server`, and `database_unavailable` for one in PostgreSQL that can't be reached.
    """
    if is_address(place):
        from thence.server.team.postgres import PostgresDatabase

        return PostgresDatabase(str(place))
    from thence.server.team.sqlite import SqliteDatabase

    return SqliteDatabase(place)


def make_database(place: str | Path, epoch: str, team: str | None = None) -> None:
    """Makes the database of a server, with its first team: all of it, or nothing.

    Raises `server_exists` and what `open_database` raises.
    """
    if is_address(place):
        from thence.server.team import postgres

        postgres.make_database(str(place), epoch, team)
    else:
        from thence.server.team import sqlite

        sqlite.make_database(Path(place), epoch, team)


def shown(place: str | Path) -> str:
    """Returns where a database is, in words for people: no password is among them."""
    if not is_address(place):
        return str(Path(place).parent)
    from thence.server.team import postgres

    return postgres.shown(str(place))
