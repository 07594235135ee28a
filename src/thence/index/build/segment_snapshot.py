"""The segments of a log as an index has read them, held against those that are there."""

import sqlite3
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from thence.log.storage.disk import READ_BYTES, Disk, FileId, FileState
from thence.log.storage.segment import CURRENT, older_names

BEGINNING_BYTES = 256
LAST_BYTES = 64
_LOOKS_MAX = 100


class Stale(Exception):
    """The index does not fit its log, or not any more: it never leaves this room."""


class Present(NamedTuple):
    """A segment that is there now."""

    name: str
    state: FileState


class SegmentSnapshot(NamedTuple):
    """How far a segment has been read: a row of `segments`."""

    id: int
    name: str
    state: FileState
    beginning: bytes
    read_bytes: int
    last_bytes: bytes
    checksum: int

    @property
    def was_ended(self) -> bool:
        """Whether what was read ends in a newline, so that more may follow it."""
        return not self.read_bytes or self.last_bytes.endswith(b"\n")


def present(disk: Disk, folder: Path) -> tuple[Present, ...]:
    """Looks which segments there are, in arrival order.

    The current one is looked at before the older ones are listed, and again behind: so a
    rotation in between leaves none out and tells none twice.
    """
    current_path = str(folder / CURRENT)
    current = disk.path_state(current_path)
    for _ in range(_LOOKS_MAX):
        found = []
        for name in older_names(disk, folder):
            state = disk.path_state(str(folder / name))
            if state is not None:
                found.append(Present(name, state))
        before, current = current, disk.path_state(current_path)
        if (before and before.file) == (current and current.file):
            break
    if current is not None and all(other.state.file != current.file for other in found):
        found.append(Present(CURRENT, current))
    return tuple(found)


def known_segments(connection: sqlite3.Connection) -> list[SegmentSnapshot]:
    """Reads how far each segment was read, by its number."""
    rows = connection.execute(
        "SELECT id, name, device, inode, size, changed_ns, beginning, read_bytes, last_bytes,"
        " checksum FROM segments ORDER BY id"
    )
    return [
        SegmentSnapshot(row[0], row[1], FileState((row[2], row[3]), *row[4:6]), *row[6:])
        for row in rows
    ]


def matched(
    disk: Disk, folder: Path, known: list[SegmentSnapshot], there: tuple[Present, ...]
) -> dict[FileId, SegmentSnapshot] | None:
    """Finds for each known segment the one that is there, by what it is now.

    None if one is gone, or is not what was read: then nothing of the index may be relied on.
    A segment that was not written to since is not read for that. Of one that only grew,
    beginning and end of what was read are compared; of any other, its checksum.
    """
    by_file = {segment.state.file: segment for segment in there}
    by_name = {segment.name: segment for segment in there}
    found: dict[FileId, SegmentSnapshot] = {}
    for one in known:
        segment = by_file.get(one.state.file) or by_name.get(one.name)
        if segment is None or segment.state.file in found:
            return None
        if not _stands(disk, folder / segment.name, one, segment.state):
            return None
        found[segment.state.file] = one
    return found if _is_in_order(found, there) else None


def _is_in_order(found: dict[FileId, SegmentSnapshot], there: tuple[Present, ...]) -> bool:
    """Tells whether all that is unread comes behind all that was read, as it was read."""
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


def _stands(disk: Disk, path: Path, known: SegmentSnapshot, now: FileState) -> bool:
    if now == known.state:
        return True
    if now.size < known.read_bytes or (now.size > known.read_bytes and not known.was_ended):
        return False
    descriptor = disk.open_read(path)
    try:
        file, size = disk.file_id(descriptor)
        if file != now.file:  # it was replaced just now: look again
            return False
        last_at = known.read_bytes - len(known.last_bytes)
        if disk.read_at(descriptor, last_at, len(known.last_bytes)) != known.last_bytes:
            return False
        if disk.read_at(descriptor, 0, len(known.beginning)) != known.beginning:
            return False
        # a write changes the time before the size: it may be seen half done, but not for long
        has_grown = file == known.state.file and size > known.state.size
        return has_grown or checksum_of(disk, descriptor, known.read_bytes) == known.checksum
    finally:
        disk.let_go(descriptor)


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
