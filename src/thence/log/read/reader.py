"""The reader of a log: each line is an event or a range of bad bytes, in arrival order.

Reading changes nothing and takes no lock. What is read are the segments that are there at the
beginning, each to its present end, whatever its name is by then. Each event_id is served once, at
the position of its first line. If its lines differ, the one that counts is served
(`redaction.claim_order`).
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from thence.core.codec import (
    GROUP_LINES,
    LINE_BYTES_MAX,
    BadLine,
    event_id_of,
    grouped,
    have_valid_crcs,
    parse,
    parsed,
    pieces,
)
from thence.core.event import Event
from thence.core.ids import is_ulid
from thence.core.redaction import claim_order
from thence.core.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.files.disk import (
    READ_BYTES,
    Disk,
    DiskError,
    opened,
    opened_existing,
    reading,
)
from thence.log.files.segment import CURRENT, current_path, opened_segments
from thence.log.files.tail import lines_of_the_log

# the bytes kept of a line that is too long to be an event
OVERLONG_BYTES = 64 * 1024
_TOO_LONG = BadLine("bad_line", f"more than {LINE_BYTES_MAX} bytes without a newline")


class Line(NamedTuple):
    """The bytes of one segment between two newlines, or a part of them, with their content.

    `offset` and `length` are in bytes, without the newline; `is_whole` is False for the bytes
    behind the last newline of the segment. If a line is too long to be an event, `data` is its
    beginning.
    """

    file: str
    offset: int
    data: bytes
    content: Event | BadLine
    is_whole: bool
    length: int


class Block(NamedTuple):
    """Consecutive lines of one segment, without the last line's newline.

    `length` is 0, except for a single line that is longer than any event may be, or that is
    not complete: then it is that line's length.
    """

    file: str
    offset: int
    data: bytes
    is_whole: bool = True
    length: int = 0


def blocks_in(disk: Disk, name: str, descriptor: int, offset: int = 0) -> Iterator[Block]:
    """Yields the lines that an open segment holds now.

    What is behind the last newline is not whole. It is read again from its start until its newline
    is written: it may have been cut and overwritten in between.
    """
    while True:
        data = disk.read_at(descriptor, offset, READ_BYTES)
        end = data.rfind(b"\n")
        if end >= 0:
            yield Block(name, offset, data[:end])
            offset += end + 1
            continue
        length, is_whole = len(data), False
        if length == READ_BYTES:  # an overlong line is measured, and not kept
            data = data[:OVERLONG_BYTES]
            while not is_whole and (part := disk.read_at(descriptor, offset + length, READ_BYTES)):
                end = part.find(b"\n")
                is_whole = end >= 0
                length += end if is_whole else len(part)
        if length:
            yield Block(name, offset, data, is_whole, length)
        if not is_whole:
            return
        offset += length + 1


def blocks(disk: Disk, folder: Path) -> Iterator[Block]:
    """Yields the lines of a log in arrival order, many at a time."""
    for name, descriptor in opened_segments(disk, folder):
        yield from blocks_in(disk, name, descriptor)


def blocks_of(disk: Disk, path: Path, offset: int = 0) -> Iterator[Block]:
    """Yields the lines of one segment, from the line that begins at an offset on."""
    with opened(disk, path) as descriptor:
        yield from blocks_in(disk, path.name, descriptor, offset)


def lines(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields every line with its content, repeated ids too, in arrival order.

    A line that holds intact events beside other bytes is split.
    """
    for block in blocks(disk, folder):
        yield from lines_of(block, vocabulary)


def segment_lines(disk: Disk, path: Path, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields every line of one segment as it is now."""
    for block in blocks_of(disk, path):
        yield from lines_of(block, vocabulary)


def segment_events(disk: Disk, path: Path, vocabulary: Vocabulary) -> Iterator[list[Event]]:
    """Yields the events of one older segment, many at a time."""
    return (_events_of(block, vocabulary) for block in blocks_of(disk, path))


def lines_of(block: Block, vocabulary: Vocabulary) -> Iterator[Line]:
    """Yields the lines of a block with their content.

    Older segments are never appended to: their last line is complete without a newline.
    """
    if not block.is_whole and block.file == CURRENT:
        content = _TOO_LONG if block.length > len(block.data) else parse(block.data, vocabulary)
        yield Line(block.file, block.offset, block.data, content, False, block.length)
        return
    offset = block.offset
    for line in block.data.split(b"\n"):
        size = block.length or len(line)
        content = parse(line, vocabulary) if size == len(line) else _TOO_LONG
        if isinstance(content, Event) or size > len(line):
            yield Line(block.file, offset, line, content, True, size)
        elif line:
            for start, data, part in pieces(line, vocabulary):
                yield Line(block.file, offset + start, data, part, True, len(data))
        offset += size + 1


def events(disk: Disk, folder: Path, vocabulary: Vocabulary) -> list[Event]:
    """Returns each event once, in arrival order; bad bytes are left out.

    An unfinished last line is left out too, until its newline is written.
    """
    events_of_lines = [
        event for block in blocks(disk, folder) for event in _events_of(block, vocabulary)
    ]
    if len({event.header.event_id for event in events_of_lines}) == len(events_of_lines):
        return events_of_lines
    counting: dict[str, Event] = {}
    for event in events_of_lines:
        other = counting.setdefault(event.header.event_id, event)
        if other.line != event.line and claim_order(event) < claim_order(other):
            counting[event.event_id] = event
    return list(counting.values())


def lines_with(
    disk: Disk, folder: Path, vocabulary: Vocabulary, ids: Collection[str]
) -> Iterator[Event]:
    """Yields the events of all lines that have one of some ids, by one look through the log."""
    names = [event_id.encode() for event_id in ids if is_ulid(event_id)]
    may_be_escaped = len(names) < len(ids)  # an id of another form is another tool's
    for block in blocks(disk, folder):
        if may_be_escaped or any(name in block.data for name in names):
            yield from (one for one in _events_of(block, vocabulary) if one.event_id in ids)


def _events_of(block: Block, vocabulary: Vocabulary) -> list[Event]:
    """Returns the events of a block; lines that are all thence's own are decoded at once."""
    lines = block.data.split(b"\n")
    if block.is_whole and not block.length:
        if have_valid_crcs(lines) and (own := parsed(block.data, lines, vocabulary)) is not None:
            return own
        if len(lines) > GROUP_LINES:  # lines near others alone are decoded one by one
            parts = [block._replace(data=data) for data in grouped(lines)]
            return [event for part in parts for event in _events_of(part, vocabulary)]
    whole = (line.content for line in lines_of(block, vocabulary) if line.is_whole)
    return [content for content in whole if isinstance(content, Event)]


def durable_event(disk: Disk, folder: Path, vocabulary: Vocabulary, event_id: str) -> Event:
    """Returns the event of the newest line with an id once the line is on the device.

    The writer of the line may not have synced it yet. Older segments were synced before they
    got their names. Raises EventNotFound, `read_failed`, and OutcomeUnknown when the sync fails.
    """
    id_bytes = event_id.encode("utf-8", "replace")
    # opened before the line is looked for: the system tells a failed write to each open file
    with reading(folder), opened_existing(disk, current_path(folder)) as current:
        for line in lines_of_the_log(disk, folder):
            event = parse(line, vocabulary) if event_id_of(line) == id_bytes else None
            if isinstance(event, Event):
                try:
                    if current is not None:
                        disk.sync_data(current)
                except DiskError as error:
                    raise OutcomeUnknown(
                        "could not sync what was just read from",
                        place=current_path(folder),
                        cause=error.strerror or error,
                        hint="check the device; it may be lost with the next power cut",
                    ) from error
                return event
    from thence.core.query.why import not_found  # an append needs none of it

    raise not_found(folder, event_id)
