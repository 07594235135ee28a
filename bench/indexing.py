"""How fast an index is made and followed, how large it is, beside SQLite with the same rows."""

import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from bench.rounds import per_second
from thence.core.codec import draft, have_valid_crcs, stamper
from thence.core.event import EventFields
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.blobs.blob_files import Bodies
from thence.log.files.disk import OS_DISK
from thence.log.files.process_state import new_id, now
from thence.log.files.segment import current_path, own_folder
from thence.log.index.builder import Builder
from thence.log.index.connection import Index
from thence.log.index.rows import (
    LINES_TOGETHER,
    BlockRows,
    columns_of,
    entries,
    statements,
)
from thence.log.read.reader import blocks

EVENTS = 100_000
EVENTS_BIG = 1_000_000
BATCHES = 200
BATCH_EVENTS = 100
_DRAFTS = 10_000
_PAYLOAD = {"good": "grain", "amount": 3}
_PRAGMAS = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384")
# of the statements of a build
_KINDS = {
    "rows of events": "events",
    "rows of causes": "causes",
    "indexes": "indexes",
    "commit": "commit",
}
_MEMORY = """
import sys
from pathlib import Path
from thence.core.vocabulary import PLAIN
from thence.log.index.connection import Index
from thence.log.blobs.blob_files import Bodies
from thence.log.files.disk import OS_DISK
folder = Path(sys.argv[1])
with Index(OS_DISK, folder, PLAIN.of_log(Bodies(OS_DISK, folder))) as index:
    index.refresh()
# what getrusage says would be the larger of this and of the process that started it
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def _opened(folder: Path) -> Vocabulary:
    """Returns the vocabulary that an opened log has: it names the log's large values."""
    return PLAIN.of_log(Bodies(OS_DISK, folder))


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
                    event = EventFields(
                        new_id(), event_type, 1, now(), self._causes, **members, payload=_PAYLOAD
                    )
                    drafts.append(draft(event))
                    self._causes = (*self._causes[-1:], event.event_id)
                file.write(b"".join(self._stamp(drafts, self._count + 1, self._count + 1)))
                self._count += len(drafts)


class Timed(sqlite3.Connection):
    """A connection that adds up what its statements take, by their kind."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        start = time.process_time()
        found = super().execute(sql, parameters)
        self.seconds[_kind(sql)] += time.process_time() - start
        return found

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        start = time.process_time()
        found = super().executemany(sql, parameters)
        self.seconds[_kind(sql)] += time.process_time() - start
        return found


def _kind(sql: str) -> str:
    if " INDEX " in sql:
        return "indexes"
    if sql == "COMMIT":
        return "commit"
    return next((name for name in ("events", "causes") if f" INTO {name} VALUES" in sql), "other")


def _database(
    path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, factory=factory)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def rebuilt(folder: Path) -> float:
    """Makes an index from the segments; events a second."""
    Growing(folder).grow(EVENTS)
    connection = _database(folder / "rebuilt.db")

    def work() -> None:
        Builder(OS_DISK, folder, _opened(folder), connection).build({})

    found = per_second(EVENTS, work)
    connection.close()
    return found


def executed(folder: Path) -> float:
    """Puts the same rows, prepared, into the same tables, indexes behind; events a second."""
    Growing(folder).grow(EVENTS)
    connection = _database(folder / "rebuilt.db")
    Builder(OS_DISK, folder, _opened(folder), connection).build({})
    rows = _rows(connection)
    connection.close()
    connection = _database(folder / "executed.db")
    found = per_second(EVENTS, lambda: _execute(connection, rows))
    connection.close()
    return found


def _rows(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("events", "causes", "counts")
    return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def _execute(connection: sqlite3.Connection, rows: Mapping[str, list[tuple[Any, ...]]]) -> None:
    connection.execute("BEGIN")
    for statement in statements("schema.sql"):
        connection.execute(statement)
    for name, those in rows.items():
        marks = ", ".join("?" * len(those[0]))
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", those)
    for statement in statements("indexes.sql"):
        connection.execute(statement)
    connection.execute("COMMIT")


CONTENDERS = {"rebuild": rebuilt, "executemany": executed}


def rebuild_us(folder: Path) -> dict[str, float]:
    """Returns where the time of a rebuild goes, and of executemany: processor time, µs an event."""
    Growing(folder).grow(EVENTS)
    seconds = _taking_in(folder)
    connection = _database(folder / "rebuilt.db", Timed)
    assert isinstance(connection, Timed)
    start = time.process_time()
    Builder(OS_DISK, folder, _opened(folder), connection).build({})
    whole = time.process_time() - start
    for name, kind in _KINDS.items():
        seconds[name] = connection.seconds[kind]
    seconds["links, order, counts, the rest"] = whole - sum(seconds.values())
    rows = _rows(connection)
    connection.close()
    connection = _database(folder / "executed.db", Timed)
    assert isinstance(connection, Timed)
    _execute(connection, rows)
    for name, kind in _KINDS.items():
        seconds[f"executemany: {name}"] = connection.seconds[kind]
    connection.close()
    return {name: found / EVENTS * 1e6 for name, found in seconds.items()}


def _taking_in(folder: Path) -> dict[str, float]:
    """Returns what it takes to make columns of lines, in s, step by step as a rebuild does it."""
    seconds: defaultdict[str, float] = defaultdict(float)
    vocabulary = _opened(folder)
    before = time.process_time()

    def note(name: str) -> None:
        nonlocal before
        seconds[name] += time.process_time() - before
        before = time.process_time()

    for block in blocks(OS_DISK, folder):
        lines = block.data.split(b"\n")
        crc32(block.data)
        note("reading, splitting")
        for at in range(0, len(lines), LINES_TOGETHER):
            part = lines[at : at + LINES_TOGETHER]
            assert have_valid_crcs(part)
            note("checksums")
            found = entries(part, vocabulary)
            assert found is not None
            note("decoding")
            rows = BlockRows(found, range(len(part)), range(len(part)))
            columns_of(rows, vocabulary, 1)
            note("columns: lanes, times")
            found = None
            note("decoding")
    return dict(seconds)


def followed(folder: Path) -> float:
    """Follows a log that grows by 100 events at a time; events a second, appending left out."""
    log = Growing(folder)
    log.grow(EVENTS // 10)
    seconds = 0.0
    with Index(OS_DISK, folder, _opened(folder)) as index:
        index.refresh()
        for _ in range(BATCHES):
            log.grow(BATCH_EVENTS)
            start = time.perf_counter()
            index.refresh()
            seconds += time.perf_counter() - start
    return BATCHES * BATCH_EVENTS / seconds


def idle_us(folder: Path) -> float:
    """Returns what a freshening takes when nothing is new, in µs."""
    Growing(folder).grow(1_000)
    with Index(OS_DISK, folder, _opened(folder)) as index:
        index.refresh()
        return 1e6 / per_second(2_000, lambda: [index.refresh() for _ in range(2_000)])


def warm_ms(folder: Path) -> float:
    """Returns what opening an index that is up to date takes, its first answer included, in ms."""
    Growing(folder).grow(EVENTS)
    with Index(OS_DISK, folder, _opened(folder)) as index:
        index.refresh()
    start = time.perf_counter()
    with Index(OS_DISK, folder, _opened(folder)) as index:
        index.answer(lambda db: db.execute("SELECT max(arrival) FROM events").fetchone())
        return (time.perf_counter() - start) * 1e3


def bytes_each(folder: Path) -> tuple[float, float]:
    """Returns the bytes of an event in the log, and in its index."""
    Growing(folder).grow(EVENTS)
    with Index(OS_DISK, folder, _opened(folder)) as index:
        index.refresh()
    log = current_path(folder).stat().st_size
    database = (own_folder(folder) / "index.db").stat().st_size
    return log / EVENTS, database / EVENTS


def memory_mb(folder: Path) -> float:
    """Returns the memory of a process that indexes 1,000,000 events, Python included."""
    Growing(folder).grow(EVENTS_BIG)
    command = [sys.executable, "-c", _MEMORY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024
