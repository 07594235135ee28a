"""The intake of a segment's unread part into a database, block by block."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from zlib import crc32

from thence.index.tables.rows import BadBytesRow
from thence.index.tables.segment_snapshot import (
    BEGINNING_BYTES,
    LAST_BYTES,
    PresentSegment,
    SegmentSnapshot,
    Stale,
)
from thence.log.read.reader import Block, Cursor
from thence.log.storage.disk import READ_BYTES, Disk, FileState
from thence.log.storage.segment import CURRENT

DAMAGE_KEPT_MAX = 1_000


class Intake:
    """One open segment with its reading position. Close it.

    `read_bytes` is the offset up to which the segment has been read. Raises Stale where the segment
    has another name by now.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        segment: PresentSegment,
        known: SegmentSnapshot | None,
        connection: sqlite3.Connection,
    ) -> None:
        self._disk = disk
        self._path = folder / segment.name
        self._segment = segment
        descriptor = disk.open_existing(self._path)
        if descriptor is None:
            raise Stale("a segment has another name by now")
        self._descriptor = descriptor
        self.read_bytes = known.read_bytes if known else 0
        self._last = known.last_bytes if known else b""
        self._checksum = known.checksum if known else 0
        try:
            self._cursor = Cursor(disk, segment.name, self._descriptor, self.read_bytes)
            if self._cursor.file != segment.state.file:
                raise Stale("a segment has another name by now")
            self.id = known.id if known else self._begin(connection)
        except BaseException:
            disk.close_quietly(self._descriptor)
            raise

    def blocks(self) -> Iterator[Block]:
        """Yields the unread lines by block; call `save` after a block is in the tables."""
        for block in self._cursor.blocks():
            self._note(block)
            yield block
        for block in self._cursor.rest():
            if self._segment.name != CURRENT:  # an older segment never grows: it is a line
                self._note(block)
                yield block

    def sync(self) -> None:
        """Returns when the bytes that were written before are on the device."""
        self._disk.sync_data(self._descriptor)

    @property
    def is_at_end(self) -> bool:
        """True if the segment was read to its end."""
        return self._segment.state.size == self.read_bytes

    def save(self, connection: sqlite3.Connection) -> None:
        """Saves how far the segment has been read."""
        state = self._state()
        connection.execute(
            "UPDATE segments SET name = :name, device = :device, inode = :inode, size = :size,"
            " changed_ns = :changed_ns, beginning = :beginning, read_bytes = :end,"
            " last_bytes = :last, checksum = :checksum WHERE id = :id",
            {
                "name": self._segment.name,
                "device": state.file[0],
                "inode": state.file[1],
                "size": state.size,
                "changed_ns": state.changed_ns,
                "beginning": self._disk.read_at(
                    self._descriptor, 0, min(BEGINNING_BYTES, self.read_bytes)
                ),
                "end": self.read_bytes,
                "last": self._last,
                "checksum": self._checksum,
                "id": self.id,
            },
        )

    def save_damage(self, connection: sqlite3.Connection, bad: Sequence[BadBytesRow]) -> None:
        """Saves the number of bad lines, and the first ones of the log with their reasons."""
        if not bad:
            return
        count = {"count": len(bad), "id": self.id}
        connection.execute(
            "UPDATE segments SET bad_lines = bad_lines + :count WHERE id = :id", count
        )
        kept = connection.execute("SELECT count(*) FROM damage").fetchone()[0]
        connection.executemany(
            "INSERT OR IGNORE INTO damage VALUES (?, ?, ?, ?, ?)",
            [
                (self.id, found.offset, found.length, *found.content)
                for found in bad[: max(0, DAMAGE_KEPT_MAX - kept)]
            ],
        )

    def close(self) -> None:
        """Closes the segment."""
        self._cursor.close()

    def _note(self, block: Block) -> None:
        data = block.data
        end = block.offset + (block.length or len(data))
        if end > block.offset + len(data):  # the block holds only the start of an overlong line
            self._extend_checksum(end)
        else:
            self._checksum = crc32(data, self._checksum)
            self._last = data[-LAST_BYTES:]
        self.read_bytes = end
        if block.is_whole:
            self._checksum = crc32(b"\n", self._checksum)
            self._last = (self._last + b"\n")[-LAST_BYTES:]
            self.read_bytes += 1

    def _extend_checksum(self, end: int) -> None:
        """Reads up to an offset for the checksum alone."""
        offset = self.read_bytes
        while offset < end:
            data = self._disk.read_at(self._descriptor, offset, min(READ_BYTES, end - offset))
            if not data:
                break
            self._checksum = crc32(data, self._checksum)
            self._last = (self._last + data)[-LAST_BYTES:]
            offset += len(data)

    def _state(self) -> FileState:
        """Returns the state of the segment when it was read to its end."""
        now = self._disk.path_state(str(self._path))
        is_read = now is not None and now.file == self._cursor.file and now.size == self.read_bytes
        return now if now is not None and is_read else self._segment.state

    def _begin(self, connection: sqlite3.Connection) -> int:
        made = connection.execute(
            "INSERT INTO segments (name, device, inode, size, changed_ns, beginning, read_bytes,"
            " last_bytes, checksum, bad_lines)"
            " VALUES (:name, :device, :inode, 0, 0, x'', 0, x'', 0, 0)",
            {
                "name": self._segment.name,
                "device": self._segment.state.file[0],
                "inode": self._segment.state.file[1],
            },
        )
        assert made.lastrowid is not None
        return made.lastrowid
