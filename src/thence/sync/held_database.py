"""The database `.thence/sync/held.db`: how it is opened, and how it is written to."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.index.rows import statements

_VERSION = 5
_BUSY_S = 10.0


def opened(path: Path) -> sqlite3.Connection:
    """Opens the database, made where it is missing, anew where it is damaged or of another version.

    All in it can be made again. Raises sqlite3.Error, OSError.
    """
    try:
        return _open(path)
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
        return _open(path)


@contextmanager
def writing(database: sqlite3.Connection) -> Iterator[None]:
    """Gives a transaction, which is undone if the block raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        os.fspath(path), isolation_level=None, timeout=_BUSY_S, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA secure_delete = ON")  # what was taken back leaves the file
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError("it is of another version")
            if version == 0:
                for statement in statements("held.sql", "thence.sync"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
