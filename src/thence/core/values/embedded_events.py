"""The search for intact events in a line whose bytes were changed only around them.

Editors, version control and crashes put bytes between events: a carriage return, a byte
order mark, zeros; or they remove the newline between two lines. An event is found only if its
own bytes are intact: from its first to its last they match its checksum. Nothing is guessed,
and no event is searched inside of another.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from thence.core.event import Event
from thence.core.values.codec import CRC_BYTES, LINE_START, BadLine, parse
from thence.core.values.vocabulary import Vocabulary

# the most starts of an event that are tried as the end of another tool's line before it
_FOREIGN_ENDS_MAX = 8

# the bytes before an object that is part of another one
_BEFORE_INNER = (b":", b",", b"[")
_BLANKS = b"\0\t\r "
_BEFORE = re.compile(rb"(?:\xef\xbb\xbf|[\0\t\r ])*")
_CRC = re.compile(rb',"crc":"[0-9a-f]{8}"\}')

_MARK = b"\xef\xbb\xbf"
_JOINED = BadLine("lines_joined", "the newline between two events is gone; both are whole")
_STRAY = {
    b"\r": BadLine("line_ending", "a carriage return stands before the line's newline"),
    _MARK: BadLine("byte_order_mark", "a byte order mark stands before the event"),
}
_PADDED = BadLine("stray_bytes", "bytes of no event stand beside one that is whole")


class Piece(NamedTuple):
    """A part of a line, with its offset in the line and its content."""

    offset: int
    data: bytes
    content: Event | BadLine


def pieces(line: bytes, vocabulary: Vocabulary) -> list[Piece]:
    """Splits a line into the intact events in it and the bytes between.

    A line that is one event, or holds none, is one piece. The pieces are in order; where
    only a newline is missing between two events, an empty piece represents it.
    """
    content = parse(line, vocabulary)
    if isinstance(content, Event):
        return [Piece(0, line, content)]
    parts = list(_taken_apart(line, vocabulary))
    if any(isinstance(piece.content, Event) for piece in parts):
        return parts
    return [Piece(0, line, content)]


def _taken_apart(line: bytes, vocabulary: Vocabulary) -> Iterator[Piece]:
    start = 0
    while (event := _event_near(line, start, vocabulary)) is not None:
        between = line[start : event.offset]
        if start:
            yield Piece(start, between, _JOINED)
        elif between:
            yield Piece(start, between, _STRAY.get(between, _PADDED))
        yield event
        start = event.offset + len(event.data)
    rest = line[start:]
    if rest.strip(_BLANKS):
        yield Piece(start, rest, parse(rest, vocabulary))
    elif rest:
        yield Piece(start, rest, _STRAY.get(rest, _PADDED))


def _event_near(line: bytes, start: int, vocabulary: Vocabulary) -> Piece | None:
    """Finds the event that begins at an offset, or behind one byte that replaced a newline."""
    event = _event_at(line, start, vocabulary)
    is_inner = line[start : start + 1] in _BEFORE_INNER
    if event is None and not is_inner and line.startswith(LINE_START, start + 1):
        event = _event_at(line, start + 1, vocabulary)
    return event


def _event_at(line: bytes, start: int, vocabulary: Vocabulary) -> Piece | None:
    """Finds the event that begins at an offset, or behind blanks there; None if none does."""
    blanks = _BEFORE.match(line, start)
    start = blanks.end() if blanks else start
    if start == len(line):
        return None
    verified = _verified_at(line, start, vocabulary)
    if verified is not None:
        return verified
    data = line[start:].rstrip(_BLANKS)
    whole = parse(data, vocabulary)
    if isinstance(whole, Event):
        return Piece(start, data, whole)
    return _foreign_at(line, start, vocabulary)


def _verified_at(line: bytes, start: int, vocabulary: Vocabulary) -> Piece | None:
    """Finds the shortest event from an offset on with a valid checksum."""
    if not line.startswith(LINE_START, start):
        return None
    checksum = 0
    summed = start
    for match in _CRC.finditer(line, start):
        checksum = crc32(line[summed : match.start()], checksum)
        summed = match.start()
        if match[0] == b',"crc":"%08x"}' % checksum:
            data = line[start : match.start() + CRC_BYTES]
            content = parse(data, vocabulary)
            if isinstance(content, Event):
                return Piece(start, data, content)
    return None


def _foreign_at(line: bytes, start: int, vocabulary: Vocabulary) -> Piece | None:
    """Finds another tool's event that lacks its newline before an event of thence."""
    end = start
    for _ in range(_FOREIGN_ENDS_MAX):
        end = line.find(b"}" + LINE_START, end + 1) + 1
        if end <= start:
            return None
        content = parse(line[start:end], vocabulary)
        if isinstance(content, Event):
            return Piece(start, line[start:end], content)
    return None
