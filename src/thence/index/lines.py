"""Lines of a log by where an index says that they lie, checked when they are read."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from thence.core.codec import event_id_of, has_valid_crc, parse
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.index.known import Stale
from thence.log.disk import Disk, FileId
from thence.log.segment import CURRENT, older_names

# segment, offset, length of an event as rows of the index hold them; the event_id behind them,
# if it is given, is compared
Extent = tuple[int, int, int] | tuple[int, int, int, str]

# so much that nobody asked for is read with what lies before and behind it
_GAP_BYTES = 4_096
_READ_BYTES_MAX = 1024 * 1024


class Lines:
    """The segments of a log, opened as lines of them are read. Close it.

    Whatever is not where the index says raises Stale.
    """

    def __init__(self, disk: Disk, folder: Path, connection: sqlite3.Connection) -> None:
        self._disk = disk
        self._folder = folder
        self._db = connection
        self._opened: dict[int, int] = {}

    def line(self, segment: int, offset: int, length: int) -> bytes:
        """Reads the bytes of one line, without looking at them."""
        data = self._disk.read_at(self._descriptor(segment), offset, length)
        if len(data) < length:
            raise Stale("a segment is shorter than it was")
        return data

    def lines(self, extents: Iterable[Extent]) -> Iterator[bytes]:
        """Yields lines; their checksums or ids are looked at."""
        for extent, line in self._read(extents):
            is_known = len(extent) == 4
            if not (has_valid_crc(line) or (is_known and line.startswith(b"{"))):
                raise Stale("a line is not where it was")
            if len(extent) == 4 and event_id_of(line) != extent[3].encode():
                raise Stale("another event stands in its place")
            yield line

    def events(self, extents: Iterable[Extent], vocabulary: Vocabulary) -> Iterator[Event]:
        """Yields the events whose lines lie there."""
        for extent, line in self._read(extents):
            event = parse(line, vocabulary)
            if not isinstance(event, Event):
                raise Stale("a line is no event any more")
            if len(extent) == 4 and event.event_id != extent[3]:
                raise Stale("another event stands in its place")
            yield event

    def _read(self, extents: Iterable[Extent]) -> Iterator[tuple[Extent, bytes]]:
        """Yields extents with their bytes, neighbours read at once."""
        for stretch in _stretches(extents):
            segment, first = stretch[0][:2]
            data = self.line(segment, first, stretch[-1][1] + stretch[-1][2] - first)
            for extent in stretch:
                yield extent, data[extent[1] - first : extent[1] - first + extent[2]]

    def close(self) -> None:
        """Closes the segments."""
        while self._opened:
            self._disk.let_go(self._opened.popitem()[1])

    def _descriptor(self, segment: int) -> int:
        known = self._opened.get(segment)
        if known is None:
            row = self._db.execute(
                "SELECT name, device, inode FROM segments WHERE id = :id", {"id": segment}
            ).fetchone()
            known = self._opened[segment] = self._open(row[0], (row[1], row[2]))
        return known

    def _open(self, name: str, file: FileId) -> int:
        """Opens a segment, by another name if it was rotated since."""
        found = self._opened_if(name, file)
        if found is None:
            for other in (*reversed(older_names(self._disk, self._folder)), CURRENT):
                found = self._opened_if(other, file)
                if found is not None:
                    break
        if found is None:
            raise Stale("a segment is gone")
        return found

    def _opened_if(self, name: str, file: FileId) -> int | None:
        there = self._disk.path_id(str(self._folder / name))
        if there is None or there[0] != file:
            return None
        try:
            descriptor = self._disk.open_read(self._folder / name)
        except FileNotFoundError:
            return None
        if self._disk.file_id(descriptor)[0] == file:
            return descriptor
        self._disk.let_go(descriptor)
        return None


def _stretches(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Puts together what lies close behind each other in one segment."""
    stretch: list[Extent] = []
    for extent in extents:
        if stretch:
            segment, first = stretch[0][:2]
            end = stretch[-1][1] + stretch[-1][2]
            is_near = segment == extent[0] and end <= extent[1] <= end + _GAP_BYTES
            if not is_near or extent[1] + extent[2] - first > _READ_BYTES_MAX:
                yield stretch
                stretch = []
        stretch.append(extent)
    if stretch:
        yield stretch
