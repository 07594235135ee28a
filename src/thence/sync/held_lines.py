"""The lines that a log holds, by block and digest, and what the server is known to hold of them.

The database `.thence/sync/held.db` can be deleted at any time; a damaged one is made anew. Only
lines that are on the device are counted: no line is sent that a power cut can take back.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.codec import BadLine, event_id_of
from thence.core.values.digests import digests, same_event_key
from thence.core.values.vocabulary import Vocabulary
from thence.core.wire.blocks import DIGEST_BYTES, BlockDigest, Place, place_of
from thence.errors import InvalidEvent, ReadFailed
from thence.index.tables.intake import Intake
from thence.index.tables.lines import Extent, LineReader
from thence.index.tables.places import statements
from thence.index.tables.segment_snapshot import (
    PresentSegment,
    SegmentSnapshot,
    Stale,
    match_segments,
    present,
    snapshots,
)
from thence.log.read.reader import lines_of
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import reading
from thence.log.storage.segment import own_folder
from thence.sync.held_notices import HeldNotices

SYNC_FOLDER = "sync"
_NAME = "held.db"
_VERSION = 3
_BUSY_S = 10.0
_TRIES_MAX = 5
_READ_LINES = 1_000
_REASON_CHARACTERS_MAX = 500

# the number of a line, and where it stands: offset and length
_Extent = tuple[int, int, int]


class HeldLine(NamedTuple):
    """A line of the log, as it is sent."""

    place: Place
    digest: bytes
    event_id: str
    line: bytes


class ParkedLine(NamedTuple):
    """A line that stays behind: `direction` is "push" or "pull"; a secret is a push never sent."""

    direction: str
    event_id: str
    reason: str
    is_secret: bool = False


def digest_of(event: Event) -> bytes:
    """Returns the digest by which an event's line is compared, 32 bytes.

    It is D; of a line without numbers that of its decoded members. Raises InvalidEvent for a line
    that has no digests.
    """
    return same_event_key(event) if event.is_foreign else digests(event.line).line


def place_in(event: Event, digest: bytes) -> Place:
    """Returns the block of an event's line."""
    return place_of(event.node_id, 0 if event.is_foreign else event.seq, digest)


class HeldLines:
    """The open database of one log and one target. Close it.

    `target` names server, team and log: what was known of another target is forgotten. Raises
    ReadFailed where the folder can't be written or the log can't be read.
    """

    def __init__(self, disk: Disk, folder: Path, vocabulary: Vocabulary, target: str = "") -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        with reading(folder):
            disk.make_folder(own_folder(folder) / SYNC_FOLDER)
        self._path = own_folder(folder) / SYNC_FOLDER / _NAME
        self._db = self._opened()
        self.notices = HeldNotices(self._db, vocabulary)
        if self._state("target") != target:
            with self._writing():
                self._forget_target(target)

    def update(self) -> None:
        """Reads what was appended since; syncs it first. Raises ReadFailed."""
        with reading(self._folder):
            for _ in range(_TRIES_MAX):
                try:
                    self._update()
                except Stale:
                    continue
                return
        raise ReadFailed("could not read the log", place=self._folder, cause="its segments change")

    def blocks(self) -> dict[Place, BlockDigest]:
        """Returns the blocks of all lines that the log holds."""
        rows = self._db.execute("SELECT node, block, count, sum FROM blocks WHERE count > 0")
        return {Place(*row[:2]): BlockDigest(row[2], int.from_bytes(row[3])) for row in rows}

    def pending(self) -> int:
        """Returns how many lines the server is not known to hold, without those parked.

        Where the server holds lines that the log lacks, it may be more.
        """
        counted = "SELECT coalesce(sum(max(count - delivered_count, 0)), 0) FROM blocks"
        parked = "SELECT count(*) FROM parked WHERE direction = 'push'"
        (pending,) = self._db.execute(counted).fetchone()
        return max(0, int(pending) - int(self._db.execute(parked).fetchone()[0]))

    def compare(self, theirs: Mapping[Place, frozenset[bytes]]) -> int:
        """Takes over what the server holds in the blocks that differ; all others are equal.

        Returns how many lines are to be brought.
        """
        with self._writing():
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS differing (node, block)")
            self._db.execute(
                "CREATE TEMP TABLE IF NOT EXISTS theirs (digest PRIMARY KEY) WITHOUT ROWID"
            )
            self._db.execute("DELETE FROM differing")
            self._db.execute("DELETE FROM theirs")
            self._db.execute("UPDATE blocks SET delivered_count = count")
            self._db.executemany("INSERT INTO differing VALUES (?, ?)", theirs)
            for place, known in theirs.items():
                self._db.executemany(
                    "INSERT OR IGNORE INTO theirs VALUES (?)", [(digest,) for digest in known]
                )
                self._db.execute(
                    "UPDATE blocks SET delivered_count = ? WHERE node = ? AND block = ?",
                    (len(self._digests(place) & known), *place),
                )
            self._db.execute(
                "DELETE FROM parked WHERE direction = 'push'"
                " AND digest IN (SELECT digest FROM theirs)"
            )
            counted = f"SELECT count(*) FROM ({_LACKING})"
            return int(self._db.execute(counted).fetchone()[0])

    def lacking(self) -> Iterator[HeldLine]:
        """Yields the lines that the last comparison found missing on the server, as they arrived.

        Parked lines are left out.
        """
        yield from self._lines(self._db.cursor().execute(f"{_LACKING} ORDER BY segment, offset"))

    def named(self, digests: Iterable[bytes]) -> Iterator[HeldLine]:
        """Yields those lines that the log holds of these digests; it looks at all digests."""
        for digest in digests:
            yield from self._lines(self._db.cursor().execute(_NAMED, (digest,)))

    def _lines(self, found: sqlite3.Cursor) -> Iterator[HeldLine]:
        with closing(LineReader(self._disk, self._folder, self._db)) as reader:
            while rows := found.fetchmany(_READ_LINES):
                extents: list[Extent] = [row[3:] for row in rows]
                with reading(self._folder):
                    lines = list(reader.lines(extents, self._vocabulary))
                for (node, block, digest, *_), line in zip(rows, lines, strict=True):
                    event_id = event_id_of(line).decode()
                    yield HeldLine(Place(node, block), digest, event_id, line)

    def count_missing(self, place: Place, theirs: frozenset[bytes]) -> int:
        """Returns how many of the server's digests in a block the log lacks."""
        return len(theirs - self._digests(place))

    def missing_here(self) -> list[bytes]:
        """Returns the digests that the last comparison found on the server alone.

        Parked lines are left out.
        """
        sql = (
            "SELECT digest FROM theirs WHERE digest NOT IN (SELECT digest FROM parked)"
            " AND NOT EXISTS (SELECT 1 FROM differing CROSS JOIN lines USING (node, block)"
            " WHERE lines.digest = theirs.digest)"
        )
        return [digest for (digest,) in self._db.execute(sql)]

    def deliver(self, places: Iterable[Place]) -> None:
        """Records that the server holds one line more in each of these blocks."""
        with self._writing():
            self._db.executemany(
                "UPDATE blocks SET delivered_count = delivered_count + 1"
                " WHERE node = ? AND block = ?",
                places,
            )

    def park(self, parked: ParkedLine, digest: bytes, line: bytes = b"") -> None:
        """Keeps a line back; one that came from the server is kept whole."""
        direction, event_id, reason, is_secret = parked
        with self._writing():
            self._db.execute(
                "INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?, ?)",
                (direction, digest, event_id, reason[:_REASON_CHARACTERS_MAX], line, is_secret),
            )

    def confirm(self, event_id: str) -> int:
        """Lets the lines of an id be sent that were parked as secrets; returns how many."""
        chosen = "FROM parked WHERE is_secret AND event_id = ?"
        with self._writing():
            self._db.execute(f"INSERT OR IGNORE INTO confirmed SELECT digest {chosen}", (event_id,))
            return self._db.execute(f"DELETE {chosen}", (event_id,)).rowcount

    def is_confirmed(self, digest: bytes) -> bool:
        """Reports whether the user let a line be sent that matches a rule for secrets."""
        sql = "SELECT 1 FROM confirmed WHERE digest = ?"
        return self._db.execute(sql, (digest,)).fetchone() is not None

    def parked(self) -> list[ParkedLine]:
        """Returns the parked lines, in the order of their ids."""
        sql = "SELECT direction, event_id, reason, is_secret FROM parked ORDER BY event_id"
        rows = self._db.execute(sql)
        return [ParkedLine(way, name, reason, bool(flag)) for way, name, reason, flag in rows]

    def parked_lines(self) -> list[bytes]:
        """Returns the lines that were parked when they came from the server."""
        sql = "SELECT line FROM parked WHERE direction = 'pull' ORDER BY event_id"
        return [line for (line,) in self._db.execute(sql)]

    def unpark(self, direction: str, digests: Iterable[bytes] | None = None) -> int:
        """Takes lines out of the parked ones, all but secrets by default; returns how many."""
        with self._writing():
            if digests is None:
                sql = "DELETE FROM parked WHERE direction = ? AND NOT is_secret"
                return self._db.execute(sql, (direction,)).rowcount
            sql = "DELETE FROM parked WHERE direction = ? AND digest = ?"
            return self._db.executemany(sql, [(direction, one) for one in digests]).rowcount

    @property
    def cursor(self) -> str:
        """The cursor behind the last line that was taken from the server; "" at first."""
        return self._state("cursor")

    def has_claimed(self, claim: str) -> bool:
        """Reports whether a claim of nodes by a key is the last that was made at this target."""
        return self._state("claimed") == claim

    def set_claimed(self, claim: str) -> None:
        """Keeps a claim of nodes by a key, which the server knows."""
        with self._writing():
            self._set_state("claimed", claim)

    def move_cursor(self, cursor: str) -> None:
        """Keeps a cursor; call it when the lines before it are durable."""
        with self._writing():
            self._set_state("cursor", cursor)

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.DatabaseError:  # not one, or damaged: all of it can be made again
            self._path.unlink(missing_ok=True)
            return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            os.fspath(self._path), isolation_level=None, timeout=_BUSY_S, check_same_thread=False
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

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _forget_target(self, target: str) -> None:
        self._db.execute("UPDATE blocks SET delivered_count = 0")
        for table in ("parked", "confirmed"):
            self._db.execute(f"DELETE FROM {table}")
        for key, value in (("cursor", ""), ("claimed", ""), ("target", target)):
            self._set_state(key, value)

    def _update(self) -> None:
        there = present(self._disk, self._folder)
        known = match_segments(self._disk, self._folder, snapshots(self._db), there)
        if known is None:  # repaired, cut or restored
            with self._writing():
                for table in ("segments", "lines", "notices"):
                    self._db.execute(f"DELETE FROM {table}")
                self._db.execute("UPDATE blocks SET count = 0, sum = x''")
            known = {}
        for segment in there:
            before = known.get(segment.state.file)
            if before is None or (before.name, before.state) != segment:
                self._take(segment, before)

    def _take(self, segment: PresentSegment, before: SegmentSnapshot | None) -> None:
        with (
            self._writing(),
            closing(Intake(self._disk, self._folder, segment, before, self._db)) as intake,
        ):
            intake.sync()
            for block in intake.blocks():
                rows: dict[Place, dict[bytes, _Extent]] = {}
                for found in lines_of(block, self._vocabulary):
                    if not isinstance(found.content, BadLine):
                        self._sort_in(rows, found.content, found.offset)
                for place, lines in rows.items():
                    self._add(place, lines, intake.id)
            intake.save(self._db)

    def _sort_in(self, rows: dict[Place, dict[bytes, _Extent]], event: Event, offset: int) -> None:
        try:
            digest = digest_of(event)
        except InvalidEvent:
            return  # it has no digests: no server takes it
        seq = 0 if event.is_foreign else event.seq
        rows.setdefault(place_in(event, digest), {})[digest] = (seq, offset, len(event.line))
        if seq:
            self.notices.note(event, digest)

    def _add(self, place: Place, lines: Mapping[bytes, _Extent], segment: int) -> None:
        known = self._digests(place)
        new = [(*place, d, at[0], segment, *at[1:]) for d, at in lines.items() if d not in known]
        self._db.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", new)
        sql = "SELECT count, sum FROM blocks WHERE node = ? AND block = ?"
        row = self._db.execute(sql, place).fetchone()
        block = BlockDigest(row[0], int.from_bytes(row[1])) if row else BlockDigest()
        for one in new:
            block = block.plus(one[2])
        self._db.execute(
            "INSERT INTO blocks (node, block, count, sum) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = excluded.count, sum = excluded.sum",
            (*place, block.count, block.sum.to_bytes(DIGEST_BYTES)),
        )

    def _digests(self, place: Place) -> frozenset[bytes]:
        sql = "SELECT digest FROM lines WHERE node = ? AND block = ?"
        return frozenset(digest for (digest,) in self._db.execute(sql, place))

    def _state(self, key: str) -> str:
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return row[0] if row else ""

    def _set_state(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))


_NAMED = "SELECT node, block, digest, segment, offset, length FROM lines WHERE digest = ?"
_LACKING = (
    "SELECT node, block, digest, segment, offset, length FROM differing CROSS JOIN lines"
    " USING (node, block) WHERE digest NOT IN (SELECT digest FROM theirs)"
    " AND digest NOT IN (SELECT digest FROM parked WHERE direction = 'push')"
)
