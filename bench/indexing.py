"""How fast an index is made and followed, how large it is, beside SQLite with the same rows."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.rounds import per_second
from thence.core.codec import Members, draft, stamper
from thence.core.vocabulary import PLAIN
from thence.index.database import Index
from thence.index.loading import load
from thence.index.places import statements
from thence.log.disk import OS_DISK
from thence.log.process import new_id, now
from thence.log.segment import current_path, own_folder

EVENTS = 100_000
EVENTS_BIG = 1_000_000
BATCHES = 200
BATCH_EVENTS = 100
_DRAFTS = 10_000
_PAYLOAD = {"good": "grain", "amount": 3}
_PRAGMAS = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384")
_MEMORY = """
import sys
from pathlib import Path
from thence.core.vocabulary import PLAIN
from thence.index.database import Index
from thence.log.disk import OS_DISK
with Index(OS_DISK, Path(sys.argv[1]), PLAIN) as index:
    index.freshen()
# what getrusage says would be the larger of this and of the process that started it
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def _said(at: int) -> dict[str, str | int]:
    """Returns what an event says that is not the same in all."""
    return {"event_type": "trade", "subject": f"order/{at % 1_000}", "actor": f"ada{at % 7}"}


class Growing:
    """A log of events of about 335 bytes with two causes, a subject and an actor each.

    `said` tells what the event of a number, counted from 0, says.
    """

    def __init__(
        self, folder: Path, said: Callable[[int], Mapping[str, str | int]] = _said
    ) -> None:
        self._path = current_path(folder)
        self._said = said
        self._stamp = stamper("3f9ac1d2e4b5")
        self._causes: tuple[str, ...] = ()
        self._count = 0

    def grow(self, count: int) -> None:
        """Appends so many events, unsynced."""
        with self._path.open("ab") as file:
            end = self._count + count
            while self._count < end:
                drafts = []
                for number in range(min(_DRAFTS, end - self._count)):
                    members = dict(self._said(self._count + number))
                    event_type = members.pop("event_type")
                    event = Members(
                        new_id(), event_type, 1, now(), self._causes, **members, payload=_PAYLOAD
                    )
                    drafts.append(draft(event))
                    self._causes = (*self._causes[-1:], event.event_id)
                file.write(b"".join(self._stamp(drafts, self._count + 1, self._count + 1)))
                self._count += len(drafts)


def _database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    return connection


def rebuilt(folder: Path) -> float:
    """Makes an index from the segments; events a second."""
    Growing(folder).grow(EVENTS)
    connection = _database(folder / "rebuilt.db")

    def work() -> None:
        load(OS_DISK, folder, PLAIN, connection, lambda read_bytes: None)
        connection.execute("COMMIT")

    found = per_second(EVENTS, work)
    connection.close()
    return found


def executed(folder: Path) -> float:
    """Puts the same rows, prepared, into the same tables, indexes behind; events a second."""
    Growing(folder).grow(EVENTS)
    connection = _database(folder / "rebuilt.db")
    load(OS_DISK, folder, PLAIN, connection, lambda read_bytes: None)
    tables = ("names", "events", "causes", "tallies")
    rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    connection.close()
    connection = _database(folder / "executed.db")

    def work() -> None:
        for statement in statements("schema.sql"):
            connection.execute(statement)
        for name, those in rows.items():
            marks = ", ".join("?" * len(those[0]))
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", those)
        for statement in statements("indexes.sql"):
            connection.execute(statement)
        connection.execute("COMMIT")

    found = per_second(EVENTS, work)
    connection.close()
    return found


CONTENDERS = {"rebuild": rebuilt, "executemany": executed}


def followed(folder: Path) -> float:
    """Follows a log that grows by 100 events at a time; events a second, appending left out."""
    log = Growing(folder)
    log.grow(EVENTS // 10)
    seconds = 0.0
    with Index(OS_DISK, folder, PLAIN) as index:
        index.freshen()
        for _ in range(BATCHES):
            log.grow(BATCH_EVENTS)
            start = time.perf_counter()
            index.freshen()
            seconds += time.perf_counter() - start
    return BATCHES * BATCH_EVENTS / seconds


def idle_us(folder: Path) -> float:
    """Returns what a freshening takes when nothing is new, in µs."""
    Growing(folder).grow(1_000)
    with Index(OS_DISK, folder, PLAIN) as index:
        index.freshen()
        return 1e6 / per_second(2_000, lambda: [index.freshen() for _ in range(2_000)])


def warm_ms(folder: Path) -> float:
    """Returns what opening an index that is up to date takes, its first answer included, in ms."""
    Growing(folder).grow(EVENTS)
    with Index(OS_DISK, folder, PLAIN) as index:
        index.freshen()
    start = time.perf_counter()
    with Index(OS_DISK, folder, PLAIN) as index:
        index.answer(lambda db: db.execute("SELECT max(place) FROM events").fetchone())
        return (time.perf_counter() - start) * 1e3


def bytes_each(folder: Path) -> tuple[float, float]:
    """Returns the bytes of an event in the log, and in its index."""
    Growing(folder).grow(EVENTS)
    with Index(OS_DISK, folder, PLAIN) as index:
        index.freshen()
    log = current_path(folder).stat().st_size
    database = (own_folder(folder) / "index.db").stat().st_size
    return log / EVENTS, database / EVENTS


def memory_mb(folder: Path) -> float:
    """Returns the memory of a process that indexes 1,000,000 events, Python included."""
    Growing(folder).grow(EVENTS_BIG)
    command = [sys.executable, "-c", _MEMORY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024
