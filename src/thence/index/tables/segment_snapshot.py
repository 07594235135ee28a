"""The snapshots of a log's segments in its index, compared with the present segments."""

import sqlite3
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from thence.log.storage.disk import READ_BYTES, Disk, FileId, FileState
from thence.log.storage.segment import CURRENT, older_names

BEGINNING_BYTES = 256
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
    beginning: bytes
    read_bytes: int
    last_bytes: bytes
    checksum: int

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
        found = []
        for name in older_names(disk, folder):
            state = disk.path_state(str(folder / name))
            if state is not None:
                found.append(PresentSegment(name, state))
        before, current = current, disk.path_state(current_path)
        if (before and before.file) == (current and current.file):
            break
    if current is not None and all(other.state.file != current.file for other in found):
        found.append(PresentSegment(CURRENT, current))
    return tuple(found)


def snapshots(connection: sqlite3.Connection) -> list[SegmentSnapshot]:
    """Returns the snapshots of all segments, by their number."""
    rows = connection.execute(
        "SELECT id, name, device, inode, size, changed_ns, beginning, read_bytes, last_bytes,"
        " checksum FROM segments ORDER BY id"
    )
    return [
        SegmentSnapshot(row[0], row[1], FileState((row[2], row[3]), *row[4:6]), *row[6:])
        for row in rows
    ]


def match_segments(
    disk: Disk, folder: Path, known: list[SegmentSnapshot], there: tuple[PresentSegment, ...]
) -> dict[FileId, SegmentSnapshot] | None:
    """Returns the snapshot of each present segment that was read before, by its file.

    None if a segment is gone, or differs from its snapshot: then the index is invalid. A
    segment that was not written to since is not read for the comparison. If it only grew, the
    beginning and the end of the part read are compared; else its checksum.
    """
    by_file = {segment.state.file: segment for segment in there}
    by_name = {segment.name: segment for segment in there}
    found: dict[FileId, SegmentSnapshot] = {}
    for one in known:
        segment = by_file.get(one.state.file) or by_name.get(one.name)
        if segment is None or segment.state.file in found:
            return None
        if not _is_unchanged(disk, folder / segment.name, one, segment.state):
            return None
        found[segment.state.file] = one
    return found if _is_in_order(found, there) else None


def _is_in_order(found: dict[FileId, SegmentSnapshot], there: tuple[PresentSegment, ...]) -> bool:
    """Reports whether all unread bytes come behind all bytes that were read, in that order."""
    last_id = 0
    has_unread = False
    for segment in there:
        known = found.get(segment.state.file)
        if known is None:
            has_unread = True
        elif has_unread or known.id < last_id:
            return False
        else:
            last_id = known.id
            has_unread = segment.state.size > known.read_bytes
    return True


def _is_unchanged(disk: Disk, path: Path, known: SegmentSnapshot, now: FileState) -> bool:
    if now == known.state:
        return True
    if now.size < known.read_bytes or (now.size > known.read_bytes and not known.was_ended):
        return False
    descriptor = disk.open_read(path)
    try:
        file, size = disk.file_id(descriptor)
        if file != now.file:  # the file was replaced just now
            return False
        last_at = known.read_bytes - len(known.last_bytes)
        if disk.read_at(descriptor, last_at, len(known.last_bytes)) != known.last_bytes:
            return False
        if disk.read_at(descriptor, 0, len(known.beginning)) != known.beginning:
            return False
        # a write changes the time before the size: for a moment only one of them has changed
        has_grown = file == known.state.file and size > known.state.size
        return has_grown or checksum_of(disk, descriptor, known.read_bytes) == known.checksum
    finally:
        disk.close_quietly(descriptor)


def checksum_of(disk: Disk, descriptor: int, size: int) -> int:
    """Returns the CRC-32 of the first bytes of a file."""
    checksum = offset = 0
    while offset < size:
        data = disk.read_at(descriptor, offset, min(READ_BYTES, size - offset))
        if not data:
            break
        checksum = crc32(data, checksum)
        offset += len(data)
    return checksum
