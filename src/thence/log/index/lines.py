"""The reader of a log's lines by their extents in an index, checked when they are read."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from thence.core.codec import LINE_START, have_valid_crcs, parse, parsed
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk
from thence.log.index.segments import Stale, open_segment

# segment, offset, length of an event as in the rows of the index; an event_id behind them is
# compared
Extent = tuple[int, int, int] | tuple[int, int, int, str]

# gaps up to this size are read along with the lines around them: copying costs less than a
# second read
_GAP_BYTES = 32_768
_READ_BYTES_MAX = 256 * 1024
_ID_CHARACTERS = 26
_START_BYTES = len(LINE_START) + _ID_CHARACTERS + 1


class LineReader:
    """The segments of a log, each opened when its first line is read. Close it.

    A line that differs from the index raises Stale.
    """

    def __init__(self, disk: Disk, folder: Path, connection: sqlite3.Connection) -> None:
        self._disk = disk
        self._folder = folder
        self._db = connection
        self._descriptors: dict[int, int] = {}

    def line(self, segment: int, offset: int, length: int) -> bytes:
        """Reads the bytes of one line, unchecked."""
        if offset < 0 or length < 0:
            raise Stale("the index is damaged")
        data = self._disk.read_at(self._descriptor(segment), offset, length)
        if len(data) < length:
            raise Stale("a segment is shorter than it was")
        return data

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

    def _read(self, extents: Iterable[Extent]) -> Iterator[tuple[list[Extent], bytes, list[bytes]]]:
        """Yields groups of near extents, each with all its bytes and its lines."""
        for part in _groups(extents):
            segment, first = part[0][:2]
            data = self.line(segment, first, part[-1][1] + part[-1][2] - first)
            lines = [data[extent[1] - first : extent[1] - first + extent[2]] for extent in part]
            yield part, data, lines

    def close(self) -> None:
        """Closes the segments."""
        while self._descriptors:
            self._disk.close_quietly(self._descriptors.popitem()[1])

    def _descriptor(self, segment: int) -> int:
        descriptor = self._descriptors.get(segment)
        if descriptor is None:
            sql = "SELECT name, device, inode FROM segments WHERE id = :id"
            name, *file = self._db.execute(sql, {"id": segment}).fetchone()
            descriptor = open_segment(self._disk, self._folder, name, (file[0], file[1]))[1]
            self._descriptors[segment] = descriptor
        return descriptor


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
        raise Stale("a line is not an event any more")
    if len(extent) == 4 and event.event_id != extent[3]:
        raise Stale("another event is in its place")
    return event


def _groups(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Groups extents that are near each other in one segment."""
    group: list[Extent] = []
    segment = first = end = 0
    for extent in extents:
        offset, behind = extent[1], extent[1] + extent[2]
        is_near = end <= offset <= end + _GAP_BYTES and extent[0] == segment
        if not is_near or behind - first > _READ_BYTES_MAX:
            if group:
                yield group
            group, segment, first = [], extent[0], offset
        group.append(extent)
        end = behind
    if group:
        yield group
