"""A log read back: every line an event or a stretch of bad bytes, in arrival order.

Reading changes nothing and takes no lock. Segments are listed again until no new one
appears, so that a rotation in between loses nothing. One event_id is served once: of lines
that differ in more than seq, lamport_clock and crc the one that sorts first as bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from thence.core.codec import BadLine, essence, event_id_of, parse
from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.log.disk import READ_BYTES, Disk, FileId
from thence.log.segment import segments


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
        self._offset = 0
        self._carry = b""

    def lines(self) -> Iterator[tuple[str, int, bytes, bool]]:
        """Yields the lines up to the last newline that is there now; empty ones are passed over."""
        while block := self._disk.read_at(
            self._descriptor, self._offset + len(self._carry), READ_BYTES
        ):
            *lines, self._carry = (self._carry + block).split(b"\n")
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
    for path in segments(disk, folder):
        try:
            descriptor = disk.open_read(path)
        except FileNotFoundError:  # renamed by a rotation: the next listing has it
            return _open_next(disk, folder, seen)
        file, _ = disk.file_id(descriptor)
        if file not in seen:
            seen.add(file)
            return _Cursor(disk, path.name, descriptor)
        disk.close(descriptor)
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


def _contested(disk: Disk, folder: Path, vocabulary: Vocabulary) -> dict[str, Event]:
    """Finds the ids with more than one content, and for each the event to serve."""
    seen: set[bytes] = set()
    repeated: set[bytes] = set()
    for _, _, line, _ in raw_lines(disk, folder):
        event_id = event_id_of(line)
        if event_id in seen:
            repeated.add(event_id)
        seen.add(event_id)
    if not repeated:
        return {}
    contents: dict[str, list[Event]] = {}
    for line_ in lines(disk, folder, vocabulary):
        event = line_.content
        if isinstance(event, Event) and event_id_of(line_.data) in repeated:
            contents.setdefault(event.event_id, []).append(event)
    return {
        event_id: min(found, key=lambda event: event.line)
        for event_id, found in contents.items()
        if len({essence(event.line) for event in found}) > 1
    }
