"""The engine that the present test keeps a server's data in: SQLite in memory, else PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.server.postgres import Cluster

from thence.server.team.database import Database
from thence.server.team.postgres import PostgresDatabase
from thence.server.team.sqlite import SqliteDatabase

_makers: list[Callable[[str], Database]] = [SqliteDatabase.in_memory]


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
