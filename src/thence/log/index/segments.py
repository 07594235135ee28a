"""The segments of a log as an index reads them: how far, the rest, and lines by their extents.

What was read of a segment is known again by its file and its end, also under another name. A line
is checked when it is read: one that differs from the index raises Stale.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from thence.core.codec import LINE_START, have_valid_crcs, parse, parsed
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk, FileId, FileState
from thence.log.files.segment import CURRENT, PresentSegment, Stale, open_segment
from thence.log.read.reader import Block, blocks_in

# segment, offset, length of an event as in the rows of the index; an event_id after them is
# compared
Extent = tuple[int, int, int] | tuple[int, int, int, str]

DAMAGE_KEPT_MAX = 1_000
_LAST_BYTES = 64
# gaps up to this size are read along with the lines around them: copying costs less than a
# second read
_GAP_BYTES = 32_768
_READ_BYTES_MAX = 256 * 1024
_ID_CHARACTERS = 26
_START_BYTES = len(LINE_START) + _ID_CHARACTERS + 1


class SegmentSnapshot(NamedTuple):
    """The state of a segment as far as the index has read it: a row of `segments`."""

    id: int
    name: str
    state: FileState
    read_bytes: int
    last_bytes: bytes
    bad_lines: int


def snapshots(connection: sqlite3.Connection) -> list[SegmentSnapshot]:
    """Returns the snapshots of all segments, by their number."""
    rows = connection.execute("SELECT * FROM segments ORDER BY id")
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
    anything else has changed: then the index is invalid. Of a segment that was written to since,
    the end of the part that was read is compared.
    """
    if len(snapshots) > len(segments):
        return None
    matched: dict[FileId, SegmentSnapshot] = {}
    for at, (snapshot, segment) in enumerate(zip(snapshots, segments, strict=False), 1):
        state, last = segment.state, snapshot.last_bytes
        if snapshot.name not in (segment.name, CURRENT) or state.file != snapshot.state.file:
            return None
        # more may follow only the last one, where it ends in a newline
        may_grow = at == len(snapshots) and (not last or last.endswith(b"\n"))
        if state.size < snapshot.read_bytes or (state.size > snapshot.read_bytes and not may_grow):
            return None
        if state != snapshot.state:
            _, descriptor = open_segment(disk, folder, segment.name, state.file)
            try:
                if disk.read_at(descriptor, snapshot.read_bytes - len(last), len(last)) != last:
                    return None
            finally:
                disk.close_quietly(descriptor)
        matched[state.file] = snapshot
    return matched


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
        self._segment = segment._replace(name=name)
        self.read_bytes = snapshot.read_bytes if snapshot else 0
        self._last = snapshot.last_bytes if snapshot else b""
        self._bad_lines = snapshot.bad_lines if snapshot else 0
        self._is_over = False
        try:
            (last_id,) = connection.execute("SELECT ifnull(max(id), 0) FROM segments").fetchone()
            self.id: int = snapshot.id if snapshot else last_id + 1
            if snapshot is None:
                self.save(connection)
        except BaseException:
            disk.close_quietly(self._descriptor)
            raise

    def blocks(self) -> Iterator[Block]:
        """Yields the unread lines by block; call `save` after a block is in the tables."""
        name = self._segment.name
        for block in blocks_in(self._disk, name, self._descriptor, self.read_bytes):
            if block.is_whole or name != CURRENT:  # an older segment never grows
                end = block.offset + (block.length or len(block.data))
                if end > block.offset + len(block.data):  # it holds only the start of a long line
                    self._last = self._disk.read_at(
                        self._descriptor, end - _LAST_BYTES, _LAST_BYTES
                    )
                else:
                    self._last = block.data[-_LAST_BYTES:]
                self.read_bytes = end
                if block.is_whole:
                    self._last = (self._last + b"\n")[-_LAST_BYTES:]
                    self.read_bytes += 1
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
        """Saves how far the segment has been read.

        Before its end that is another state than any it has, so that it is read on.
        """
        state = self._segment.state
        if not self._is_over:
            state = state._replace(size=self.read_bytes)
        connection.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.id,
                self._segment.name,
                *state.file,
                state.size,
                state.changed_ns,
                self.read_bytes,
                self._last,
                self._bad_lines,
            ),
        )

    def save_damage(
        self, connection: sqlite3.Connection, bad: Sequence[tuple[int, int, str, str]]
    ) -> None:
        """Counts bad lines, and saves the first ones of the log with their reasons."""
        if not bad:
            return
        self._bad_lines += len(bad)
        kept = connection.execute("SELECT count(*) FROM damage").fetchone()[0]
        connection.executemany(
            "INSERT OR IGNORE INTO damage VALUES (?, ?, ?, ?, ?)",
            [(self.id, *row) for row in bad[: max(0, DAMAGE_KEPT_MAX - kept)]],
        )

    def close(self) -> None:
        """Closes the segment."""
        self._disk.close_quietly(self._descriptor)


class LineReader:
    """The segments of a log, each opened when its first line is read. Close it."""

    def __init__(self, disk: Disk, folder: Path, connection: sqlite3.Connection) -> None:
        self._disk = disk
        self._folder = folder
        self._db = connection
        self._descriptors: dict[int, int] = {}

    def lines(self, extents: Iterable[Extent], vocabulary: Vocabulary) -> Iterator[bytes]:
        """Yields the lines of the events that `events` yields; thence's own are not decoded."""
        for part, _, lines in self._read(extents):
            if not _are_ours(part, lines):
                for extent, line in zip(part, lines, strict=True):
                    _event(extent, line, vocabulary)
            yield from lines

    def events(self, extents: Iterable[Extent], vocabulary: Vocabulary) -> Iterator[Event]:
        """Yields the events of the extents."""
        for part, data, lines in self._read(extents):
            events = parsed(data, lines, vocabulary) if _are_ours(part, lines) else None
            if events is None:
                events = [
                    _event(extent, line, vocabulary)
                    for extent, line in zip(part, lines, strict=True)
                ]
            yield from events

    def close(self) -> None:
        """Closes the segments."""
        while self._descriptors:
            self._disk.close_quietly(self._descriptors.popitem()[1])

    def _read(self, extents: Iterable[Extent]) -> Iterator[tuple[list[Extent], bytes, list[bytes]]]:
        """Yields groups of near extents, each with all its bytes and its lines."""
        for part in _groups(extents):
            segment, first = part[0][:2]
            length = part[-1][1] + part[-1][2] - first
            if first < 0 or length < 0:
                raise Stale("the index is damaged")
            descriptor = self._descriptors.get(segment)
            if descriptor is None:
                sql = "SELECT name, device, inode FROM segments WHERE id = :id"
                name, *file = self._db.execute(sql, {"id": segment}).fetchone()
                _, descriptor = open_segment(self._disk, self._folder, name, (file[0], file[1]))
                self._descriptors[segment] = descriptor
            data = self._disk.read_at(descriptor, first, length)
            if len(data) < length:
                raise Stale("a segment is shorter than it was")
            lines = [data[extent[1] - first : extent[1] - first + extent[2]] for extent in part]
            yield part, data, lines


def _are_ours(extents: Sequence[Extent], lines: Sequence[bytes]) -> bool:
    """Reports whether all lines are those of the extents, in the form that a log writes."""
    ids = [extent[3] for extent in extents if len(extent) == 4]
    if ids and (len(ids) < len(lines) or set(map(len, ids)) != {_ID_CHARACTERS}):
        return False
    if ids:
        starts = b"".join([line[:_START_BYTES] for line in lines])
        start = LINE_START.decode()
        if starts != "".join([f'{start}{event_id}"' for event_id in ids]).encode():
            return False
    return have_valid_crcs(lines)


def _event(extent: Extent, line: bytes, vocabulary: Vocabulary) -> Event:
    """Returns the event of an extent; raises Stale if the line is another."""
    event = parse(line, vocabulary)
    if not isinstance(event, Event):
        raise Stale("a line is no longer an event")
    if len(extent) == 4 and event.event_id != extent[3]:
        raise Stale("another event is in its place")
    return event


def _groups(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Groups extents that are near each other in one segment."""
    group: list[Extent] = []
    segment = first = end = 0
    for extent in extents:
        offset, after = extent[1], extent[1] + extent[2]
        is_near = end <= offset <= end + _GAP_BYTES and extent[0] == segment
        if not is_near or after - first > _READ_BYTES_MAX:
            if group:
                yield group
            group, segment, first = [], extent[0], offset
        group.append(extent)
        end = after
    if group:
        yield group
