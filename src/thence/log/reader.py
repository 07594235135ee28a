"""A log read back: every line an event or a stretch of bad bytes, in arrival order.

Reading changes nothing and takes no lock. Segments are listed again until no new one
appears, so that a rotation in between loses nothing. One event_id is served once: of lines
that differ the one that sorts first as bytes, in the place of the first.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from thence.core.codec import BadLine, event_id_of, has_valid_crc, numbers, parse
from thence.core.event import Event
from thence.core.lookup import not_found
from thence.core.position import Position
from thence.core.vocabulary import Vocabulary
from thence.log.disk import READ_BYTES, Disk, FileId
from thence.log.segment import current_path, older_names


class Line(NamedTuple):
    """Bytes of one segment between two newlines, and what they are.

    `offset` and `length` are in bytes, without the newline; `is_whole` is False for what
    follows the last newline of the segment.
    """

    file: str
    offset: int
    data: bytes
    content: Event | BadLine
    is_whole: bool


class _Cursor:
    """How far one open segment has been read."""

    def __init__(self, disk: Disk, name: str, descriptor: int) -> None:
        self.name = name
        self._disk = disk
        self._descriptor = descriptor
        self.file, _ = disk.file_id(descriptor)
        self._offset = 0
        self._carry = b""

    def lines(self) -> Iterator[tuple[str, int, bytes, bool]]:
        """Yields the lines up to the last newline that is there now; empty ones are passed over.

        A line is read again from its start until its newline is there: what stood behind
        the last newline may have been cut and written over in between.
        """
        size = READ_BYTES
        while True:
            block = self._disk.read_at(self._descriptor, self._offset, size)
            *lines, self._carry = block.split(b"\n")
            if not lines and len(block) < size:
                return
            size = READ_BYTES if lines else size * 2
            for line in lines:
                offset = self._offset
                self._offset += len(line) + 1
                if line:
                    yield self.name, offset, line, True

    def rest(self) -> Iterator[tuple[str, int, bytes, bool]]:
        """Yields what follows the last newline, if anything does."""
        if self._carry:
            yield self.name, self._offset, self._carry, False

    def close(self) -> None:
        self._disk.close(self._descriptor)


def raw_lines(disk: Disk, folder: Path) -> Iterator[tuple[str, int, bytes, bool]]:
    """Yields file name, offset, bytes and wholeness of each line in arrival order.

    A segment is left only when the next one is open: what was appended to it before the
    rotation is read first.
    """
    seen: set[FileId] = set()
    current: _Cursor | None = None
    try:
        while True:
            following = _open_next(disk, folder, seen)
            if current is not None:
                yield from current.lines()
                yield from current.rest()
                current.close()
            current = following
            if current is None:
                return
            yield from current.lines()
    finally:
        if current is not None:
            current.close()


def _open_next(disk: Disk, folder: Path, seen: set[FileId]) -> _Cursor | None:
    """Opens the first segment not seen yet.

    The current one is opened before the older ones are listed: so the list holds every
    segment that was rotated before it.
    """
    current = _open_unseen(disk, current_path(folder), seen)
    for name in older_names(disk, folder):
        older = _open_unseen(disk, folder / name, seen)
        if older is not None:
            if current is not None:
                current.close()
            current = older
            break
    if current is not None:
        seen.add(current.file)
    return current


def _open_unseen(disk: Disk, path: Path, seen: set[FileId]) -> _Cursor | None:
    there = disk.path_id(str(path))
    if there is None or there[0] in seen:
        return None
    try:
        descriptor = disk.open_read(path)
    except FileNotFoundError:  # renamed by a rotation in between: it is listed as older now
        return None
    cursor = _Cursor(disk, path.name, descriptor)
    if cursor.file not in seen:
        return cursor
    cursor.close()
    return None


def lines(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields every line with what it is, repeated ids too, in arrival order."""
    for name, offset, line, is_whole in raw_lines(disk, folder):
        yield Line(name, offset, line, parse(line, vocabulary), is_whole)


def events(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Iterator[Event]:
    """Yields each event once, in arrival order; bad bytes are passed over.

    An unfinished last line is passed over too, until its newline is there.
    """
    contested = _contested(disk, folder, vocabulary)
    served: set[str] = set()
    for line in lines(disk, folder, vocabulary):
        event = line.content
        if isinstance(event, BadLine) or not line.is_whole or event.event_id in served:
            continue
        served.add(event.event_id)
        yield contested.get(event.event_id, event)


def events_after(
    disk: Disk, folder: Path, vocabulary: Vocabulary, after: Position | str | None
) -> Iterator[Event]:
    """Yields the events behind a position, or behind the event of an id.

    Raises EventNotFound when the log ends without that event.
    """
    found = events(disk, folder, vocabulary)
    if isinstance(after, Position):
        yield from (event for event in found if not after.holds(event))
        return
    if after is not None and not any(event.event_id == after for event in found):
        raise not_found(folder, after)
    yield from found


def position(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Position:
    """Returns the position behind all events that are there; few of them are decoded."""
    own: list[tuple[str, int]] = []
    foreign: list[str] = []
    for _, _, line, is_whole in raw_lines(disk, folder):
        found = numbers(line)
        if not is_whole:
            continue
        if found is not None and has_valid_crc(line):
            own.append(found[:2])
            continue
        event = parse(line, vocabulary)
        if isinstance(event, BadLine):
            continue
        if event.is_foreign:
            foreign.append(event.event_id)
        else:
            own.append((event.node_id, event.seq))
    return Position().with_numbers(own, foreign)


def _contested(disk: Disk, folder: Path, vocabulary: Vocabulary) -> dict[str, Event]:
    """Finds the ids with more than one line, and for each the event to serve."""
    seen: set[bytes] = set()
    repeated: set[bytes] = set()
    for _, _, line, is_whole in raw_lines(disk, folder):
        event_id = event_id_of(line)
        if not is_whole:
            continue
        if event_id in seen:
            repeated.add(event_id)
        seen.add(event_id)
    if not repeated:
        return {}
    contents: dict[str, list[Event]] = {}
    for line_ in lines(disk, folder, vocabulary):
        event = line_.content
        if isinstance(event, Event) and line_.is_whole and event_id_of(line_.data) in repeated:
            contents.setdefault(event.event_id, []).append(event)
    return {
        event_id: min(found, key=lambda event: event.line) for event_id, found in contents.items()
    }
