"""The builder: brings an index up to what the segments of its log hold.

It runs under the index lock, in one transaction: a kill at any instant leaves the index as
it was. Whether the index still fits its segments is asked first; where it doesn't, it is
made again from nothing.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.index.rows import Bad, Found, found_in, microseconds
from thence.log.disk import Disk, FileId
from thence.log.reader import Cursor
from thence.log.segment import CURRENT, older_names

SCHEMA_VERSION = 1
STRIDE = 1024
BATCH_EVENTS = 5_000
DAMAGE_KEPT_MAX = 1_000
_BEGINNING_BYTES = 256
_LAST_BYTES = 64


class Known(NamedTuple):
    """How far a segment has been read."""

    id: int
    name: str
    file: FileId
    beginning: bytes
    read_bytes: int
    last_bytes: bytes


class Builder:
    """One run of the builder over one connection; the caller holds the index lock."""

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, connection: sqlite3.Connection
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._db = connection
        self._names: dict[str, int] = {}

    def catch_up(self) -> None:
        """Takes in what the segments hold beyond the index, or makes the index again."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if not self._fits():
                self._clear()
            self._names = {text: id for id, text in self._db.execute("SELECT id, text FROM names")}
            for cursor, known in self._unread():
                with closing(cursor):
                    self._take(cursor, known)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _fits(self) -> bool:
        """Tells whether all that the index has read still stands where it was."""
        if self._db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return False
        return all(self._stands(known) for known in self._known())

    def _stands(self, known: Known) -> bool:
        for name in (known.name, *older_names(self._disk, self._folder)):
            there = self._disk.path_id(str(self._folder / name))
            if there is None or there[0] != known.file or there[1] < known.read_bytes:
                continue
            descriptor = self._disk.open_read(self._folder / name)
            try:
                start = known.read_bytes - len(known.last_bytes)
                found = self._disk.read_at(descriptor, start, len(known.last_bytes))
                beginning = self._disk.read_at(descriptor, 0, len(known.beginning))
            finally:
                self._disk.let_go(descriptor)
            if found != known.last_bytes or beginning != known.beginning:
                return False
            if name != known.name:
                renamed = "UPDATE segments SET name = :name WHERE id = :id"
                self._db.execute(renamed, {"name": name, "id": known.id})
            return True
        return False

    def _known(self) -> list[Known]:
        found = self._db.execute(
            "SELECT id, name, device, inode, beginning, read_bytes, last_bytes FROM segments"
        )
        return [Known(row[0], row[1], (row[2], row[3]), *row[4:]) for row in found]

    def _clear(self) -> None:
        """Drops what is there and makes the tables."""
        kinds = self._db.execute("SELECT type, name FROM sqlite_master WHERE type = 'table'")
        for kind, name in kinds.fetchall():
            self._db.execute(f'DROP {kind} "{name}"')
        for script in ("schema.sql", "indexes.sql"):
            for statement in _statements(script):
                self._db.execute(statement)
        self._db.execute("INSERT INTO names VALUES (0, '')")
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _unread(self) -> Iterator[tuple[Cursor, Known | None]]:
        """Yields the segments that hold more than was read, in arrival order."""
        known = {found.file: found for found in self._known()}
        names = [*older_names(self._disk, self._folder), CURRENT]
        for name in names:
            there = self._disk.path_id(str(self._folder / name))
            if there is None:
                continue
            before = known.get(there[0])
            if before is not None and before.read_bytes == there[1]:
                continue
            descriptor = self._disk.open_read(self._folder / name)
            yield Cursor(self._disk, name, descriptor, before.read_bytes if before else 0), before

    def _take(self, cursor: Cursor, known: Known | None) -> None:
        """Takes in what a segment holds behind what was read of it."""
        segment = known.id if known else self._begin(cursor)
        end = known.read_bytes if known else 0
        bad_lines = 0
        last = known.last_bytes if known else b""
        batch: list[Found] = []
        for block in cursor.blocks():
            for found in found_in(block, self._vocabulary):
                if isinstance(found, Bad):
                    bad_lines += 1
                    self._damaged(segment, found)
                else:
                    batch.append(found)
            if len(batch) >= BATCH_EVENTS:
                self._insert(segment, batch)
                batch = []
            end = block.offset + (block.length or len(block.data)) + 1
            last = (block.data + b"\n")[-_LAST_BYTES:] if not block.length else b""
        self._insert(segment, batch)
        self._db.execute(
            "UPDATE segments SET read_bytes = :end, last_bytes = :last,"
            " bad_lines = bad_lines + :bad WHERE id = :id",
            {"end": end, "last": last, "bad": bad_lines, "id": segment},
        )

    def _begin(self, cursor: Cursor) -> int:
        beginning = self._disk.read_at(cursor._descriptor, 0, _BEGINNING_BYTES)
        made = self._db.execute(
            "INSERT INTO segments (name, device, inode, beginning, read_bytes, last_bytes,"
            " bad_lines) VALUES (:name, :device, :inode, :beginning, 0, x'', 0)",
            {
                "name": cursor.name,
                "device": cursor.file[0],
                "inode": cursor.file[1],
                "beginning": beginning,
            },
        )
        assert made.lastrowid is not None
        return made.lastrowid

    def _damaged(self, segment: int, bad: Bad) -> None:
        kept = self._db.execute("SELECT count(*) FROM damage").fetchone()[0]
        if kept < DAMAGE_KEPT_MAX:
            self._db.execute(
                "INSERT OR IGNORE INTO damage VALUES (:segment, :offset, :length, :code, :reason)",
                {
                    "segment": segment,
                    "offset": bad.offset,
                    "length": bad.length,
                    "code": bad.content.code,
                    "reason": bad.content.reason,
                },
            )

    def _insert(self, segment: int, batch: list[Found]) -> None:
        fresh = self._fresh(batch)
        if not fresh:
            return
        place, arrival = self._db.execute("SELECT max(place), max(arrival) FROM events").fetchone()
        place, arrival = place or 0, arrival or 0
        rows = []
        causes: list[tuple[int, str]] = []
        tallies: Counter[tuple[object, object]] = Counter()
        for found in fresh:
            place += STRIDE
            arrival += 1
            row = self._row(found.event)
            tallies[row[5], row[8] or 0] += 1
            rows.append((place, arrival, *row, segment, found.offset, found.length))
            causes += [(place, cause) for cause in found.event.caused_by]
        self._db.executemany(f"INSERT INTO events VALUES ({', '.join('?' * 16)})", rows)
        self._db.executemany(
            "INSERT INTO tallies VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [(*key, count) for key, count in tallies.items()],
        )
        self._link(causes, fresh)
        self._order()

    def _fresh(self, batch: list[Found]) -> list[Found]:
        """Returns those events whose ids are not there yet, each once."""
        fresh: dict[str, Found] = {}
        known = "SELECT 1 FROM events WHERE event_id = ?"
        for found in batch:
            event_id = found.event.event_id
            if event_id not in fresh and not self._db.execute(known, (event_id,)).fetchone():
                fresh[event_id] = found
        return list(fresh.values())

    def _row(self, event: Event) -> tuple[str | int | None, ...]:
        header = event.header
        return (
            header.event_id,
            self._name(header.node_id) or 0,
            header.seq,
            header.lamport_clock if header.seq else 0,
            None if header.seq else header.timestamp,
            self._name(header.event_type) or 0,
            self._name(event.stream),
            self._name(event.subject),
            self._name(event.actor),
            header.turn_number,
            microseconds(header.timestamp),
        )

    def _name(self, text: str | None) -> int | None:
        if text is None:
            return None
        found = self._names.get(text)
        if found is None:
            found = self._db.execute("INSERT INTO names (text) VALUES (?)", (text,)).lastrowid
            assert found is not None
            self._names[text] = found
        return found

    def _link(self, causes: list[tuple[int, str]], fresh: list[Found]) -> None:
        """Notes who names whom; whoever isn't there is waited for."""
        place_of = "SELECT place FROM events WHERE event_id = ?"
        for child, cause in causes:
            there = self._db.execute(place_of, (cause,)).fetchone()
            if there is None:
                self._db.execute("INSERT OR IGNORE INTO waiting VALUES (?, ?)", (cause, child))
            else:
                self._db.execute("INSERT OR IGNORE INTO causes VALUES (?, ?)", (child, there[0]))
        for found in fresh:
            given = (found.event.event_id,)
            self._db.execute(
                "INSERT OR IGNORE INTO causes SELECT child, place FROM waiting"
                " JOIN events ON event_id = parent_id WHERE parent_id = ?",
                given,
            )
            self._db.execute("DELETE FROM waiting WHERE parent_id = ?", given)

    def _order(self) -> None:
        """Gives all events new places where some have come out of the total order."""
        late = self._db.execute(
            "SELECT 1 FROM (SELECT place, row_number() OVER (ORDER BY lamport,"
            " CASE seq WHEN 0 THEN '' ELSE (SELECT text FROM names WHERE id = node) END,"
            " CASE seq WHEN 0 THEN stamp ELSE event_id END, event_id) * :stride AS due"
            " FROM events) WHERE place != due LIMIT 1",
            {"stride": STRIDE},
        ).fetchone()
        if late is None:
            return
        self._db.execute(
            "CREATE TEMP TABLE moved AS SELECT place, row_number() OVER (ORDER BY lamport,"
            " CASE seq WHEN 0 THEN '' ELSE (SELECT text FROM names WHERE id = node) END,"
            " CASE seq WHEN 0 THEN stamp ELSE event_id END, event_id) * :stride AS due FROM events",
            {"stride": STRIDE},
        )
        self._db.execute("CREATE UNIQUE INDEX temp.moved_from ON moved (place)")
        for table, column in (
            ("events", "place"),
            ("causes", "child"),
            ("causes", "parent"),
            ("waiting", "child"),
        ):
            due = f"(SELECT due FROM moved WHERE moved.place = {table}.{column})"
            self._db.execute(f"UPDATE {table} SET {column} = -{due}")
        for table, column in (
            ("events", "place"),
            ("causes", "child"),
            ("causes", "parent"),
            ("waiting", "child"),
        ):
            self._db.execute(f"UPDATE {table} SET {column} = -{column}")
        self._db.execute("DROP TABLE moved")


def _statements(script: str) -> list[str]:
    text = files("thence.index").joinpath(script).read_text("utf-8")
    bare = "\n".join(line.partition("--")[0] for line in text.splitlines())
    return [statement for statement in bare.split(";") if statement.strip()]
