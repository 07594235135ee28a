"""The segments of a log in its index: how far each was read, and the intake of the rest.

What was read of a segment is known again by its file, its end and its checksum, also under
another name.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from thence.log.files.disk import READ_BYTES, Disk, FileId, FileState
from thence.log.files.segment import CURRENT, older_names
from thence.log.index.rows import BadBytesRow
from thence.log.read.reader import Block, Cursor

DAMAGE_KEPT_MAX = 1_000
LAST_BYTES = 64
_ATTEMPTS_MAX = 100


class Stale(Exception):
    """The index does not fit its log, or not any more; never raised outside of this room."""


class PresentSegment(NamedTuple):
    """A segment that exists now."""

    name: str
    state: FileState


class SegmentSnapshot(NamedTuple):
    """The state of a segment as far as the index has read it: a row of `segments`."""

    id: int
    name: str
    state: FileState
    read_bytes: int
    last_bytes: bytes
    checksum: int
    bad_lines: int

    @property
    def was_ended(self) -> bool:
        """True if the part that was read ends in a newline, so that more may follow."""
        return not self.read_bytes or self.last_bytes.endswith(b"\n")


def present(disk: Disk, folder: Path) -> tuple[PresentSegment, ...]:
    """Returns the present segments, in arrival order.

    The current one is checked before and after the older ones are listed, so that a rotation
    in between leaves none out and returns none twice.
    """
    current_path = str(folder / CURRENT)
    current = disk.path_state(current_path)
    for _ in range(_ATTEMPTS_MAX):
        segments = []
        for name in older_names(disk, folder):
            state = disk.path_state(str(folder / name))
            if state is not None:
                segments.append(PresentSegment(name, state))
        before, current = current, disk.path_state(current_path)
        if (before and before.file) == (current and current.file):
            break
    if current is not None and all(other.state.file != current.file for other in segments):
        segments.append(PresentSegment(CURRENT, current))
    return tuple(segments)


def open_segment(disk: Disk, folder: Path, name: str, file: FileId) -> tuple[str, int]:
    """Opens a segment, under another name if it was rotated; returns its name and descriptor.

    Raises Stale if the file is gone.
    """
    for candidate in (name, *reversed(older_names(disk, folder)), CURRENT):
        path_id = disk.path_id(str(folder / candidate))
        descriptor = None
        if path_id is not None and path_id[0] == file:
            descriptor = disk.open_existing(folder / candidate)
        if descriptor is None:
            continue
        is_it = False
        try:
            is_it = disk.file_id(descriptor)[0] == file
        finally:
            if not is_it:
                disk.close_quietly(descriptor)
        if is_it:
            return candidate, descriptor
    raise Stale("a segment is gone")


def snapshots(connection: sqlite3.Connection) -> list[SegmentSnapshot]:
    """Returns the snapshots of all segments, by their number."""
    rows = connection.execute(
        "SELECT id, name, device, inode, size, changed_ns, read_bytes, last_bytes, checksum,"
        " bad_lines FROM segments ORDER BY id"
    )
    return [
        SegmentSnapshot(id, name, FileState((device, inode), size, changed_ns), *end)
        for id, name, device, inode, size, changed_ns, *end in rows
    ]


def passed_over(connection: sqlite3.Connection) -> tuple[int, int]:
    """Returns the number of damaged lines, and of unfinished ones: 0 or 1."""
    row = connection.execute(
        "SELECT total(bad_lines), total(name = 'events.jsonl' AND size > read_bytes) FROM segments"
    ).fetchone()
    return int(row[0]), int(row[1])


def match_segments(
    disk: Disk,
    folder: Path,
    snapshots: Sequence[SegmentSnapshot],
    segments: Sequence[PresentSegment],
) -> dict[FileId, SegmentSnapshot] | None:
    """Returns the snapshot of each present segment that was read before, by its file.

    These are the first segments, and only the last of them may have grown or been rotated. None if
    anything else has changed: then the index is invalid. A segment that was not written to since is
    not read for the comparison. If it only grew, the end of the part read is compared; else its
    checksum.
    """
    if len(snapshots) > len(segments):
        return None
    matched: dict[FileId, SegmentSnapshot] = {}
    for at, (snapshot, segment) in enumerate(zip(snapshots, segments, strict=False), 1):
        if snapshot.name not in (segment.name, CURRENT):
            return None
        if at < len(snapshots) and segment.state.size > snapshot.read_bytes:
            return None
        if not _is_unchanged(disk, folder / segment.name, snapshot, segment.state):
            return None
        matched[segment.state.file] = snapshot
    return matched


def _is_unchanged(disk: Disk, path: Path, snapshot: SegmentSnapshot, now: FileState) -> bool:
    if now == snapshot.state:
        return True
    if now.size < snapshot.read_bytes or (
        now.size > snapshot.read_bytes and not snapshot.was_ended
    ):
        return False
    _, descriptor = open_segment(disk, path.parent, path.name, now.file)
    try:
        file, size = disk.file_id(descriptor)
        last_at = snapshot.read_bytes - len(snapshot.last_bytes)
        if disk.read_at(descriptor, last_at, len(snapshot.last_bytes)) != snapshot.last_bytes:
            return False
        # a write changes the time before the size: for a moment only one of them has changed
        has_grown = file == snapshot.state.file and size > snapshot.state.size
        return has_grown or checksum_of(disk, descriptor, snapshot.read_bytes) == snapshot.checksum
    finally:
        disk.close_quietly(descriptor)


def checksum_of(disk: Disk, descriptor: int, size: int, offset: int = 0, checksum: int = 0) -> int:
    """Returns the CRC-32 of the first bytes of a file, from that of those before an offset."""
    while offset < size:
        data = disk.read_at(descriptor, offset, min(READ_BYTES, size - offset))
        if not data:
            break
        checksum = crc32(data, checksum)
        offset += len(data)
    return checksum


class Intake:
    """One open segment with its reading position. Close it.

    `read_bytes` is the offset up to which the segment has been read. Raises Stale where the segment
    is gone.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        segment: PresentSegment,
        snapshot: SegmentSnapshot | None,
        connection: sqlite3.Connection,
    ) -> None:
        self._disk = disk
        name, self._descriptor = open_segment(disk, folder, segment.name, segment.state.file)
        self._path = folder / name
        self._segment = segment._replace(name=name)
        self.read_bytes = snapshot.read_bytes if snapshot else 0
        self._last = snapshot.last_bytes if snapshot else b""
        self._checksum = snapshot.checksum if snapshot else 0
        self._bad_lines = snapshot.bad_lines if snapshot else 0
        self._is_over = False
        try:
            self._cursor = Cursor(disk, name, self._descriptor, self.read_bytes)
            (last_id,) = connection.execute("SELECT ifnull(max(id), 0) FROM segments").fetchone()
            self.id: int = snapshot.id if snapshot else last_id + 1
            if snapshot is None:
                self.save(connection)
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
        self._is_over = True

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
            "INSERT OR REPLACE INTO segments (id, name, device, inode, size, changed_ns,"
            " read_bytes, last_bytes, checksum, bad_lines) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                self._segment.name,
                *state.file,
                state.size,
                state.changed_ns,
                self.read_bytes,
                self._last,
                self._checksum,
                self._bad_lines,
            ),
        )

    def save_damage(self, connection: sqlite3.Connection, bad: Sequence[BadBytesRow]) -> None:
        """Counts bad lines, and saves the first ones of the log with their reasons."""
        if not bad:
            return
        self._bad_lines += len(bad)
        kept = connection.execute("SELECT count(*) FROM damage").fetchone()[0]
        connection.executemany(
            "INSERT OR IGNORE INTO damage VALUES (?, ?, ?, ?, ?)",
            [
                (self.id, row.offset, row.length, *row.content)
                for row in bad[: max(0, DAMAGE_KEPT_MAX - kept)]
            ],
        )

    def close(self) -> None:
        """Closes the segment."""
        self._cursor.close()

    def _note(self, block: Block) -> None:
        data = block.data
        end = block.offset + (block.length or len(data))
        if end > block.offset + len(data):  # the block holds only the start of an overlong line
            self._checksum = checksum_of(
                self._disk, self._descriptor, end, self.read_bytes, self._checksum
            )
            self._last = self._disk.read_at(self._descriptor, end - LAST_BYTES, LAST_BYTES)
        else:
            self._checksum = crc32(data, self._checksum)
            self._last = data[-LAST_BYTES:]
        self.read_bytes = end
        if block.is_whole:
            self._checksum = crc32(b"\n", self._checksum)
            self._last = (self._last + b"\n")[-LAST_BYTES:]
            self.read_bytes += 1

    def _state(self) -> FileState:
        """Returns the state when the segment was read to its end; before that none that it has."""
        now = self._disk.path_state(str(self._path))
        is_read = now is not None and now.file == self._cursor.file and now.size == self.read_bytes
        if now is not None and is_read:
            return now
        state = self._segment.state
        return state if self._is_over else state._replace(size=self.read_bytes)
