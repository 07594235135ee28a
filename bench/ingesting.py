"""What a team's server takes in, beside its engine alone with the same rows and keys.

`python -m bench.ingesting` prints it for SQLite, `python -m bench.ingesting postgresql://...` for
PostgreSQL: the address of a database that nobody else uses, of which all tables are dropped.
"""

import gc
import statistics
import sys
import tempfile
from functools import cache
from pathlib import Path

import psycopg

from bench.rounds import Contender, measure, per_second, ratio
from thence.core.codec import draft, stamper
from thence.core.event import EventFields
from thence.core.ids import IdSource
from thence.server.team.accounts import Accounts
from thence.server.team.database import Database, chained
from thence.server.team.engines import make_database, open_database
from thence.server.team.store import EVENT_COLUMNS, Store
from thence.server.team.sync_service import SyncService, checked

LINES = 100_000
BATCH = 1_000
BARE, OURS = "rows alone", "batches"
_WHEN = "2026-11-20T07:13:00.123456Z"
_NODE = "0123456789ab"
_DROP = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"


@cache
def batches() -> list[list[bytes]]:
    """Returns lines of some 420 bytes, in batches."""
    new_id, stamp = IdSource(1_700_000_000_000_000_000, lambda: 0, 1).new_id, stamper(_NODE)
    lines = []
    for number in range(1, LINES + 1):
        payload = {"amount": number, "items": ["a", "b"], "note": "x" * 80}
        members = EventFields(
            new_id(),
            "order.placed",
            1,
            _WHEN,
            caused_by=("01J00000000000000000000000",),
            subject=f"order-{number}",
            actor="shop",
            payload=payload,
        )
        lines.append(stamp([draft(members)], number, number)[0][:-1])
    return [lines[at : at + BATCH] for at in range(0, LINES, BATCH)]


@cache
def rows() -> list[list[tuple[object, ...]]]:
    """Returns the rows of the same lines, in the same batches."""
    found, chain = [], b""
    for at, batch in enumerate(batches()):
        made = []
        for number, row in enumerate(checked(batch).rows, at * BATCH + 1):
            chain = chained(chain, row.digest)
            made.append((1, 1, number, *row, chain, "ada"))
        found.append(made)
    return found


def bare(folder: Path) -> float:
    """Returns how many rows a second go into the store's own table, a commit for each batch."""
    database = _database(folder)

    def insert() -> None:
        for batch in rows():
            with database.writing() as transaction:
                transaction.insert("events", EVENT_COLUMNS, batch)

    found = per_second(LINES, insert)
    database.close()
    return found


def taken(folder: Path) -> float:
    """Returns how many lines a second a server takes, checks and commits."""
    database = _database(folder)
    Accounts(database, str).add_user("ada", "team", "writer", lambda: "password")
    service = SyncService(Store(database))
    batches()

    def take() -> None:
        for batch in batches():
            named = {"login": "ada", "nodes": [_NODE]}
            results = service.batch("team", "log", "plain", batch, **named).results
            assert {verdict.status for verdict in results} == {"success"}

    found = per_second(LINES, take)
    database.close()
    return found


def _database(folder: Path) -> Database:
    place: str | Path = folder / "server.db"
    if sys.argv[1:]:
        place = sys.argv[1]
        psycopg.connect(place, autocommit=True).execute(_DROP).connection.close()
    make_database(place, "epoch")
    database = open_database(place)
    Accounts(database, str).add_team("team")
    return database


CONTENDERS: dict[str, Contender] = {BARE: bare, OURS: taken}


def main() -> None:
    """Prints the ratio and both rates, measured below the present folder."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        rows()
        gc.freeze()  # the lines themselves are no work of the server
        figures = measure(CONTENDERS, Path(place))
    print(f"batches of {BATCH:,} / the same rows alone: {ratio(figures, OURS, BARE):.2f}")
    for name, values in figures.items():
        print(f"    {name:<30} {statistics.median(values):>12,.0f} lines/s")


if __name__ == "__main__":
    main()
