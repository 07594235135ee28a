"""What a team's server takes in, beside SQLite alone with the same rows and keys.

`python -m bench.ingesting` prints it.
"""

import gc
import statistics
import tempfile
from functools import cache
from pathlib import Path

from bench.rounds import Contender, measure, per_second, ratio
from thence.core.event import Members
from thence.core.ids import id_source
from thence.core.values.codec import draft, stamper
from thence.server.team.accounts import Accounts
from thence.server.team.exchange import Exchange
from thence.server.team.incoming import checked
from thence.server.team.sqlite import SqliteDatabase, make_database
from thence.server.team.store import Store

LINES = 100_000
BATCH = 1_000
BARE, OURS = "executemany", "batches"
_WHEN = "2026-11-20T07:13:00.123456Z"
_NODE = "0123456789ab"
_INSERT = """
    INSERT INTO events (team, log, number, event_id, node, seq, block, content, digest, line)
    VALUES (1, 1, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@cache
def batches() -> list[list[bytes]]:
    """Returns lines of some 420 bytes, in batches."""
    new_id, stamp = id_source(1_700_000_000_000_000_000, lambda: 0, 1), stamper(_NODE)
    lines = []
    for number in range(1, LINES + 1):
        payload = {"amount": number, "items": ["a", "b"], "note": "x" * 80}
        members = Members(
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
    made = []
    for at, batch in enumerate(batches()):
        made.append([(at * BATCH + n, *row) for n, row in enumerate(checked(batch).rows, 1)])
    return made


def executemany(folder: Path) -> float:
    """Returns how many rows a second go into the store's own table, a commit for each batch."""
    given, database = rows(), _database(folder)

    def insert() -> None:
        for batch in given:
            with database.writing() as connection:
                connection.executemany(_INSERT, batch)

    found = per_second(LINES, insert)
    database.close()
    return found


def taken(folder: Path) -> float:
    """Returns how many lines a second a server takes, checks and commits."""
    given, database = batches(), _database(folder)
    exchange = Exchange(Store(database))

    def take() -> None:
        for batch in given:
            for verdict in exchange.batch("team", "log", "plain", batch):
                assert verdict.status == "success"

    found = per_second(LINES, take)
    database.close()
    return found


def _database(folder: Path) -> SqliteDatabase:
    file = folder / "server.db"
    make_database(file, "epoch")
    database = SqliteDatabase(file)
    Accounts(database, str).add_team("team")
    return database


CONTENDERS: dict[str, Contender] = {BARE: executemany, OURS: taken}


def main() -> None:
    """Prints the ratio and both rates, measured below the present folder."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        rows()
        gc.freeze()  # the lines themselves are no work of the server
        figures = measure(CONTENDERS, Path(place))
    print(f"batches of {BATCH:,} / executemany of the same rows: {ratio(figures, OURS, BARE):.2f}")
    for name, values in figures.items():
        print(f"    {name:<30} {statistics.median(values):>12,.0f} lines/s")


if __name__ == "__main__":
    main()
