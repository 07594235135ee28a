"""The engine that the present test keeps a server's data in: SQLite, else PostgreSQL."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import finalize

from tests.server.postgres import Cluster

from thence.server.team.database import Database
from thence.server.team.postgres import PostgresDatabase
from thence.server.team.sqlite import SqliteDatabase, make_database

# of memory, where nothing waits for a disk
_MEMORY = Path("/dev/shm")


def in_sqlite(epoch: str) -> SqliteDatabase:
    """Returns an empty database in a folder of its own, which ends with it."""
    folder = tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None)
    path = Path(folder.name) / "data" / "server.db"
    make_database(path, epoch)
    database = SqliteDatabase(path)
    finalize(database, folder.cleanup)
    return database


_makers: list[Callable[[str], Database]] = [in_sqlite]


def new_database(epoch: str = "e1") -> Database:
    """Returns an empty database of a server in the engine of the test."""
    return _makers[-1](epoch)


@contextmanager
def in_postgres(cluster: Cluster) -> Iterator[None]:
    """Has new databases be those of a cluster, and removes them behind the enclosed block."""
    opened: list[tuple[Database, str]] = []

    def make(epoch: str) -> Database:
        name = cluster.server()
        cluster.execute(f"UPDATE meta SET value = '{epoch}' WHERE key = 'epoch'", name)
        opened.append((PostgresDatabase(cluster.address(name)), name))
        return opened[-1][0]

    _makers.append(make)
    try:
        yield
    finally:
        _makers.remove(make)
        for database, name in opened:
            database.close()
            cluster.drop(name)
