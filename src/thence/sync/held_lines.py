"""The lines that a log holds, by block and digest, and what the server is known to hold of them.

The database `.thence/sync/held.db` can be deleted at any time; a damaged one is made anew. Only
lines that are on the device are counted: no line is sent that a power cut can take back.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

from thence.core.event import Event
from thence.core.values.codec import BadLine, event_id_of
from thence.core.values.digests import digests, same_event_key
from thence.core.values.vocabulary import Vocabulary
from thence.core.wire.blocks import DIGEST_BYTES, BlockDigest, Place, place_of
from thence.errors import InvalidEvent, ReadFailed
from thence.index.lines import Extent, LineReader
from thence.index.segments import (
    Intake,
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
from thence.sync.held_database import opened, writing
from thence.sync.held_differences import LACKING, HeldDifferences
from thence.sync.held_notices import HeldNotices
from thence.sync.parked_lines import ParkedLines

SYNC_FOLDER = "sync"
_NAME = "held.db"
_TRIES_MAX = 5
_READ_LINES = 1_000

# the id and the number of a line, and where it stands: offset and length
_Found = tuple[bytes, int, int, int]


class HeldLine(NamedTuple):
    """A line of the log, as it is sent."""

    place: Place
    digest: bytes
    event_id: str
    line: bytes


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
        self._db = opened(self._path)
        finalize(self, self._db.close).atexit = False  # of who forgets `close`
        self.differences = HeldDifferences(self._db)
        self.parked = ParkedLines(self._db)
        self.notices = HeldNotices(self._db, vocabulary)
        if self._state("target") != target:
            with writing(self._db):
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

    def pending(self) -> int:
        """Returns how many lines the server is not known to hold, without those parked.

        Where the server holds lines that the log lacks, it may be more.
        """
        counted = "SELECT coalesce(sum(max(count - delivered_count, 0)), 0) FROM blocks"
        parked = "SELECT count(*) FROM parked WHERE direction = 'push'"
        (pending,) = self._db.execute(counted).fetchone()
        return max(0, int(pending) - int(self._db.execute(parked).fetchone()[0]))

    def lacking(self, is_chosen: Callable[[str, bytes], bool]) -> Iterator[HeldLine]:
        """Yields the lines that the last comparison found missing on the server, as they arrived.

        `is_chosen` tells by node and D which of them. Parked lines are left out.
        """
        rows = self._db.cursor().execute(f"{LACKING} ORDER BY segment, offset")
        yield from self._lines(rows, is_chosen)

    def of_node(self, node: str, is_chosen: Callable[[str, bytes], bool]) -> Iterator[HeldLine]:
        """Yields those lines of a node that are chosen; it looks at all of them."""
        yield from self._lines(self._db.cursor().execute(_OF_NODE, (node,)), is_chosen)

    def _lines(
        self, cursor: sqlite3.Cursor, is_chosen: Callable[[str, bytes], bool]
    ) -> Iterator[HeldLine]:
        with closing(LineReader(self._disk, self._folder, self._db)) as reader:
            while rows := cursor.fetchmany(_READ_LINES):
                chosen = [row for row in rows if is_chosen(row[0], row[2])]
                extents: list[Extent] = [row[3:] for row in chosen]
                with reading(self._folder):
                    lines = list(reader.lines(extents, self._vocabulary))
                for (node, block, digest, *_), line in zip(chosen, lines, strict=True):
                    event_id = event_id_of(line).decode()
                    yield HeldLine(Place(node, block), digest, event_id, line)

    @property
    def cursor(self) -> str:
        """The cursor behind the last line that was taken from the server; "" at first."""
        return self._state("cursor")

    def has_claimed(self, claim: str) -> bool:
        """Reports whether a claim of nodes by a key is the last that was made at this target."""
        return self._state("claimed") == claim

    def set_claimed(self, claim: str) -> None:
        """Keeps a claim of nodes by a key, which the server knows."""
        with writing(self._db):
            self._set_state("claimed", claim)

    def move_cursor(self, cursor: str) -> None:
        """Keeps a cursor; call it when the lines before it are durable."""
        with writing(self._db):
            self._set_state("cursor", cursor)

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def _forget_target(self, target: str) -> None:
        self._db.execute("UPDATE blocks SET delivered_count = 0")
        for table in ("parked", "confirmed", "settled"):
            self._db.execute(f"DELETE FROM {table}")
        for key, value in (("cursor", ""), ("claimed", ""), ("target", target)):
            self._set_state(key, value)

    def _update(self) -> None:
        segments = present(self._disk, self._folder)
        read = match_segments(self._disk, self._folder, snapshots(self._db), segments)
        if read is None:  # repaired, cut or restored
            with writing(self._db):
                for table in ("segments", "lines", "ids", "notices"):
                    self._db.execute(f"DELETE FROM {table}")
                self._db.execute("UPDATE blocks SET count = 0, sum = x''")
            read = {}
        for segment in segments:
            before = read.get(segment.state.file)
            if before is None or (before.name, before.state) != segment:
                self._take(segment, before)

    def _take(self, segment: PresentSegment, before: SegmentSnapshot | None) -> None:
        with (
            writing(self._db),
            closing(Intake(self._disk, self._folder, segment, before, self._db)) as intake,
        ):
            intake.sync()
            for block in intake.blocks():
                rows: dict[Place, dict[bytes, _Found]] = {}
                for line in lines_of(block, self._vocabulary):
                    if not isinstance(line.content, BadLine):
                        self._sort_in(rows, line.content, line.offset)
                for place, lines in rows.items():
                    self._add(place, lines, intake.id)
            intake.save(self._db)

    def _sort_in(self, rows: dict[Place, dict[bytes, _Found]], event: Event, offset: int) -> None:
        try:
            digest = digest_of(event)
        except InvalidEvent:
            return  # it has no digests: no server takes it
        seq = 0 if event.is_foreign else event.seq
        event_id = event.event_id.encode(errors="surrogatepass")
        row = (event_id, seq, offset, len(event.line))
        rows.setdefault(place_in(event, digest), {})[digest] = row
        if seq:
            self.notices.note(event, digest)

    def _add(self, place: Place, lines: Mapping[bytes, _Found], segment: int) -> None:
        held = self._digests(place)
        fresh = {digest: row for digest, row in lines.items() if digest not in held}
        new = [(*place, d, at[1], segment, *at[2:]) for d, at in fresh.items()]
        self._db.executemany(_ID, [row[:1] for row in fresh.values()])
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


_ID = "INSERT INTO ids (event_id) VALUES (?) ON CONFLICT DO UPDATE SET is_contested = TRUE"
_OF_NODE = "SELECT node, block, digest, segment, offset, length FROM lines WHERE node = ?"
