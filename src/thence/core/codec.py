"""An event's line: the only place where one is encoded, and where a line is judged.

Written first is a `Draft`, all of a line but its numbers, made outside the append lock. Its large
values are cut out as its bodies: the line keeps the beginning of each. `stamp` joins the numbers in
and closes the line with its CRC-32. `parse` reads a line back and gives the reason for bad bytes.
docs/reference/formats/segment.md describes the format.

A flipped bit, an editor or a crash puts bytes between events, or removes the newline between two
lines. An event of thence in such a line is found only if its own bytes are intact: from its first
to its last they match its checksum. Nothing is guessed, and no event is searched inside of another.
"""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from operator import itemgetter
from sys import byteorder
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from thence.core.bodies import (
    BODIES_FROM,
    Body,
    BodyEntry,
    DraftBodies,
    as_bytes,
    body_of,
    parts_of,
    pointer_part,
)
from thence.core.clock import CLOCK_MAX
from thence.core.event import (
    LINE_DEPTH_MAX,
    Event,
    EventFields,
    EventHeader,
    decode_header,
    decoded,
    is_deep,
    raw_members,
)
from thence.core.json_values import Plain, shorten
from thence.core.ready import ready
from thence.core.vocabulary import Vocabulary
from thence.errors import EventTooLarge, InvalidEvent

LINE_BYTES_MAX = 1024 * 1024
CAUSES_MAX = 32
# the largest clock of another tool's line that counts, since nothing verifies it
FOREIGN_CLOCK_MAX = 2**31
CRC_BYTES = 18
# a level of nesting needs at least two bytes
DEEP_BYTES_MIN = 2 * LINE_DEPTH_MAX
_DEEP = f"it is nested deeper than {LINE_DEPTH_MAX} levels"
# node_id, seq and lamport_clock at their longest, the CRC and the newline
_NUMBERS_BYTES_MAX = 100

DATA_BYTES_MAX = LINE_BYTES_MAX - _NUMBERS_BYTES_MAX + 1  # its brace closes the line

_NONCE_BYTES = len(',"nonce":""') + 22
# the beginning of a large value that stays in its line
_PREVIEW_CHARACTERS = 120
_PREVIEW_BYTES_MAX = 512

_NUMBERS = re.compile(
    rb'\{"event_id":"[^"\\]*","event_type":"[^"\\]*(?:\\.[^"\\]*)*","event_version":\d+,'
    rb'"timestamp":"[^"\\]*","node_id":"([0-9a-f]{12})","seq":(\d+),"lamport_clock":(\d+)'
)
_TIMESTAMP = b',"timestamp":"'
_TIMESTAMP_BYTES = len(_TIMESTAMP) + len('2026-11-20T07:13:00.123456Z"')
# the names of members in other tools that share the work host's form
_ALIASES = {"entity_id": "aggregate_id", "entity_type": "aggregate_type"}
LINE_START = b'{"event_id":"'
# what an event_id may be that thence writes
ID = re.compile(r"[0-9A-Za-z_.:-]{1,128}", re.ASCII)
_data_of, _end_of = itemgetter(slice(None, -CRC_BYTES)), itemgetter(slice(-CRC_BYTES, None))


# values of a text's or a number's own kind, and maps of any kind, are converted
encode = msgspec.json.Encoder(enc_hook=Plain(is_strict=True)).encode


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event encoded except for its numbers; cheap to queue, impossible to change.

    `bodies` are the large values that its line names, to be kept before the line is.
    """

    event_id: str
    head: bytes
    tail: bytes
    bodies: tuple[Body, ...] = ()


class RequiredFields(msgspec.Struct, gc=False):
    """The members, with their types, that make a line with a valid checksum an event."""

    event_id: str
    event_type: str
    seq: int
    lamport_clock: int
    node_id: str = ""
    caused_by: tuple[str, ...] = ()


decode_required = msgspec.json.Decoder(ready(RequiredFields)).decode


class BadLine(NamedTuple):
    """Bytes that are no event: `bad_line`, or `stray_bytes` beside an event of the same line."""

    code: str
    reason: str


def draft(members: EventFields, bytes_max: int = DATA_BYTES_MAX) -> Draft:
    """Encodes a line without its numbers.

    Raises InvalidEvent for a value that the encoder refuses, and for an id or a timestamp that
    would damage the line; EventTooLarge over `bytes_max`, about 1 MiB.
    """
    event_id = members.event_id
    is_usual = type(event_id) is str and len(event_id) == 26 and event_id.isalnum()
    is_id = is_usual and event_id.isascii()
    if not is_id and not (isinstance(event_id, str) and ID.fullmatch(event_id)):
        raise _spoils("event_id", event_id)
    try:
        data = encode(members)
    except (UnicodeEncodeError, TypeError, RecursionError, ValueError) as error:
        raise InvalidEvent(
            "could not encode the event",
            place=members.event_id,
            cause=getattr(error, "cause", error),
            hint="pass text, finite numbers, booleans, None, lists and maps",
        ) from error
    refuse_too_large(event_id, len(data), bytes_max)
    # a quote inside a text is escaped, so the first match is the member itself
    end = data.index(_TIMESTAMP) + _TIMESTAMP_BYTES
    if data[end - 1 : end] != b'"':
        raise _spoils("timestamp", members.timestamp)
    return Draft(members.event_id, data[:end], data[end:-1])


def refuse_too_large(event_id: str, size: int, bytes_max: int = DATA_BYTES_MAX) -> None:
    """Raises EventTooLarge for an event of more bytes than it may have."""
    if size > bytes_max:
        limit = f"{LINE_BYTES_MAX} for a line" if bytes_max < 2 * LINE_BYTES_MAX else bytes_max
        raise EventTooLarge(
            "could not store the event",
            place=event_id,
            cause=f"its {size} bytes pass the limit of {limit}",
            hint="store the bulk in a file and its path in the event",
        )


def with_nonce(item: Draft, nonce: bytes) -> Draft:
    """Adds the member `nonce`, 22 characters, to the end of a draft's body.

    A draft that has no room for it is returned as it is: so long a body can't be guessed.
    """
    if len(item.head) + len(item.tail) + _NONCE_BYTES > DATA_BYTES_MAX - 1:
        return item
    tail = b'%b,"nonce":"%b"' % (item.tail, nonce)
    return Draft(item.event_id, item.head, tail, item.bodies)


def without_bodies(
    item: Draft, vocabulary: Vocabulary, at_least: int, payload: Mapping[str, Any] | None = None
) -> Draft:
    """Returns a draft whose texts and lists of `at_least` bytes are its bodies, texts in parts.

    Those of a host whose lines stay whole are none. The payload is a draft's last member; `payload`
    is its value, where the caller has it. Raises EventTooLarge for a line over 1 MiB that is left.
    """
    sign, key = vocabulary.cuts_lines_with, vocabulary.payload_key
    if len(item.tail) < at_least or sign is None or sign not in item.tail:
        refuse_too_large(item.event_id, len(item.head) + len(item.tail))
        return item
    if payload is None:
        payload = decoded(_raw(item, key))
    entries: list[BodyEntry] = []
    bodies: list[Body] = []
    cut = _cut(payload, "", at_least, entries, bodies)
    if bodies:
        size = memoryview(_raw(item, key)).nbytes
        tail = b'%b%b,"bodies":%b' % (item.tail[:-size], encode(cut), encode(entries))
        item = Draft(item.event_id, item.head, tail, tuple(bodies))
    refuse_too_large(item.event_id, len(item.head) + len(item.tail))
    return item


def line_bytes(payload: Mapping[str, Any], at_least: int = BODIES_FROM) -> int:
    """Returns the bytes of a payload that stay in its line when its large values are cut out."""
    entries: list[BodyEntry] = []
    return len(encode(_cut(payload, "", at_least, entries, []))) + len(encode(entries))


def _raw(item: Draft, key: str) -> msgspec.Raw:
    """Returns the bytes of a draft's payload, its last member."""
    return raw_members(b"{%b}" % item.tail[1:]).get(key, msgspec.Raw(b"{}"))


def _cut(
    mapping: Mapping[str, Any],
    pointer: str,
    at_least: int,
    entries: list[BodyEntry],
    bodies: list[Body],
) -> Mapping[str, Any]:
    """Returns a map with its large values cut, itself if there are none; extends the lists."""
    changed: dict[str, Any] = {}
    for key, value in mapping.items():
        preview: Any = None
        if isinstance(value, str):
            if len(value) * 4 < at_least:  # UTF-8 takes 4 bytes a character at most
                continue
            data = as_bytes(value)
            preview = value[:_PREVIEW_CHARACTERS]
        elif isinstance(value, (list, tuple)):
            data = as_bytes(value, encode)
            if len(data) >= at_least:
                # the last item with its texts cut, or the beginning of its JSON
                last, _ = shorten(value[-1], _PREVIEW_CHARACTERS)
                text = b"" if isinstance(last, (str, int, float)) else encode(last)
                is_short = len(text) <= _PREVIEW_BYTES_MAX
                preview = [last if is_short else text.decode()[:_PREVIEW_CHARACTERS]]
        elif isinstance(value, Mapping):
            inner = _cut(value, pointer + pointer_part(key), at_least, entries, bodies)
            if inner is not value:
                changed[key] = inner
            continue
        if preview is not None and len(data) >= at_least:
            for part in parts_of(value, data):
                body = body_of(part)
                bodies.append(body)
                entries.append(BodyEntry(pointer + pointer_part(key), body.digest, len(part)))
            changed[key] = preview
    return {**mapping, **changed} if changed else mapping


def _spoils(field: str, value: object) -> InvalidEvent:
    return InvalidEvent(
        "could not encode the event",
        place=f"field {field}",
        cause=f"{value!r:.80} is not in the form of the line",
        hint="leave it out: it is filled in",
    )


def stamper(node_id: str) -> Callable[[Sequence[Draft], int, int], list[bytes]]:
    """Returns the function that makes complete lines of a node from drafts, newlines included.

    The function takes the drafts with the seq and the lamport_clock of the first; both grow by
    one for each draft.
    """
    template = b'%%b,"node_id":"%b","seq":%%d,"lamport_clock":%%d%%b' % node_id.encode()

    def stamp(drafts: Sequence[Draft], seq: int, lamport_clock: int) -> list[bytes]:
        difference = lamport_clock - seq
        return [
            b'%b,"crc":"%08x"}\n'
            % (line := template % (item.head, number, number + difference, item.tail), crc32(line))
            for number, item in enumerate(drafts, seq)
        ]

    return stamp


def close_line(data: bytes) -> bytes:
    """Returns a line from its members, with the checksum and the newline."""
    return b'%b,"crc":"%08x"}\n' % (data, crc32(data))


def unnumbered(item: Draft, vocabulary: Vocabulary) -> Event:
    """Returns the event of a draft, without numbers, with the large values that it brings."""
    if item.bodies:
        vocabulary = vocabulary.of_log(DraftBodies(item.bodies))
    return Event(item.head + item.tail + b"}", None, vocabulary)


def has_valid_crc(line: bytes) -> bool:
    """Reports whether a line without its newline ends in the CRC-32 of the bytes before."""
    return line[-CRC_BYTES:] == b',"crc":"%08x"}' % crc32(line[:-CRC_BYTES])


def have_valid_crcs(lines: Sequence[bytes]) -> bool:
    """Reports whether all lines end in a valid checksum, faster than one by one."""
    ends = b"".join(map(_end_of, lines))
    checksums = array("I", map(crc32, map(_data_of, lines)))
    if byteorder == "little":
        checksums.byteswap()
    digits = checksums.tobytes().hex().encode()
    expected = bytearray(b',"crc":"00000000"}' * len(lines))
    for place in range(8):  # all first digits, all second ones, ...
        expected[8 + place :: CRC_BYTES] = digits[place::8]
    return ends == expected


def numbers(line: bytes) -> tuple[str, int, int] | None:
    """Returns node_id, seq and lamport_clock of a line of thence without decoding it.

    The search is anchored at the line's start: a payload may hold such members too. The
    checksum is not checked.
    """
    own = _NUMBERS.match(line)
    return (own[1].decode(), int(own[2]), int(own[3])) if own else None


def is_ours(line: bytes) -> bool:
    """Reports whether a log wrote a line, also for a damaged line as far as it is readable."""
    has_crc = line[-CRC_BYTES:].startswith(b',"crc":"') and line.endswith(b'"}')
    return has_crc or b"\0" in line or _NUMBERS.match(line) is not None


def event_id_of(line: bytes) -> bytes:
    """Returns the event_id of a line: its first member without decoding, else decoded.

    For a line without an id the line itself is returned.
    """
    if line.startswith(LINE_START):
        stop = line.find(b'"', 13)
        event_id = line[13:stop]
        if stop >= 0 and b"\\" not in event_id:
            return event_id
    try:
        event_id = decoded(line)["event_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return line
    return event_id.encode() if isinstance(event_id, str) else line


def parse(line: bytes, vocabulary: Vocabulary) -> Event | BadLine:
    """Reads one line without its newline.

    A line with a valid CRC is an event, if its `RequiredFields` fits. A JSON object with an
    event_id and neither seq nor crc is a foreign event: its members as far as they have the types
    of ours. There `entity_id` and `entity_type` are other names of `aggregate_id` and
    `aggregate_type`; a clock counts up to FOREIGN_CLOCK_MAX; a feature may be named in the payload
    alone. Anything else is a BadLine.
    """
    if has_valid_crc(line):
        try:
            if not line.isascii():
                line.decode()  # the decoder does not check the texts that it skips
            try:
                header = decode_header(line)
            except msgspec.ValidationError:  # a host's member of a wrong type counts as absent
                required = msgspec.structs.asdict(decode_required(line))
                header = EventHeader(**(_fields(decoded(line)) | required))
        except (ValueError, RecursionError) as error:
            return BadLine("bad_line", f"the checksum fits, the members don't: {error}")
        if not (1 <= header.seq <= CLOCK_MAX and 1 <= header.lamport_clock <= CLOCK_MAX):
            return BadLine("bad_line", "the checksum fits, seq or lamport_clock doesn't")
        if is_too_deep(line):
            return BadLine("bad_line", _DEEP)
        return Event(line, header, vocabulary)
    if len(line) >= LINE_BYTES_MAX:
        return BadLine("bad_line", f"the line is longer than {LINE_BYTES_MAX} bytes")
    try:
        members = decoded(line)
        deep = is_deep(members)
    except (ValueError, RecursionError):
        reason = "the line is not JSON: it was cut, changed, or not written by a log"
        return BadLine("bad_line", reason)
    if not isinstance(members, dict) or not isinstance(members.get("event_id"), str):
        return BadLine("bad_line", "the line is JSON without an event_id")
    if "seq" in members or "crc" in members:
        return BadLine("bad_line", "the bytes don't match the line's checksum")
    if deep:
        return BadLine("bad_line", _DEEP)
    for alias, name in _ALIASES.items():
        if alias in members:
            members.setdefault(name, members[alias])
    payload = members.get("payload")
    if isinstance(payload, dict) and not isinstance(members.get("feature_slug"), str):
        members["feature_slug"] = payload.get("feature_slug") or None
    fields = {"event_type": "unknown"} | _fields(members)
    if not 1 <= fields.get("lamport_clock", 0) <= FOREIGN_CLOCK_MAX:
        fields["lamport_clock"] = 0
    return Event(line, EventHeader(**fields), vocabulary)


def is_too_deep(line: bytes) -> bool:
    """Reports whether a line that decodes to a header is nested deeper than any may be.

    The header's decoder skips other members, however deep.
    """
    if len(line) < DEEP_BYTES_MIN or line.count(b"[") + line.count(b"{") < LINE_DEPTH_MAX:
        return False
    try:
        return is_deep(decoded(line))
    except (ValueError, RecursionError):
        return True


def _fields(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those members of a header that have its types."""
    fields: dict[str, Any] = {}
    for field in _header_fields():
        if field.name in members:
            with suppress(msgspec.ValidationError):
                fields[field.name] = msgspec.convert(members[field.name], ready(field.type))
    return fields


_header_fields = cache(partial(msgspec.structs.fields, EventHeader))


T = TypeVar("T", bound=EventHeader | RequiredFields)
# so few lines are tried at once where others may stand among them
GROUP_LINES = 64


def taken(data: bytes, lines: Sequence[bytes], decode: Callable[[bytes], T]) -> list[T] | None:
    """Decodes lines whose checksums fit; `data` is all of them, with the bytes between.

    Returns None if any is no event, or has a member of a wrong type among those decoded.
    """
    try:
        if not data.isascii():
            data.decode()  # the decoder does not check the texts that it skips
        headers = list(map(decode, lines))
    except (ValueError, RecursionError):
        return None
    if any(map(is_too_deep, lines)):
        return None
    numbers = [header.seq for header in headers] + [header.lamport_clock for header in headers]
    if min(numbers) < 1 or max(numbers) > CLOCK_MAX:
        return None
    return headers


def parsed(data: bytes, lines: Sequence[bytes], vocabulary: Vocabulary) -> list[Event] | None:
    """Reads many lines with valid checksums, as `taken` does."""
    headers = taken(data, lines, decode_header)
    if headers is None:
        return None
    return [Event(line, head, vocabulary) for line, head in zip(lines, headers, strict=True)]


def grouped(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Yields lines in groups, joined as they stand in a file."""
    for start in range(0, len(lines), GROUP_LINES):
        yield b"\n".join(lines[start : start + GROUP_LINES])


# what may stand before an event in a line: byte order marks, zeros and blanks, or one byte that was
# a newline; but none that precedes an object inside another
_BLANKS = b"\0\t\r "
_BEFORE = re.compile(rb'(?:(?:\xef\xbb\xbf|[\0\t\r ])*+|[^:,\[])(?=\{"event_id":")', re.DOTALL)
_CRC = re.compile(rb',"crc":"[0-9a-f]{8}"\}')
STRAY = BadLine(
    "stray_bytes", "bytes that are not an event, or a lost newline, next to a whole event"
)


class Piece(NamedTuple):
    """A part of a line, with its offset in the line and its content."""

    offset: int
    data: bytes
    content: Event | BadLine


def pieces(line: bytes, vocabulary: Vocabulary) -> list[Piece]:
    """Splits a line into the intact events of thence in it, and another tool's before them.

    A line that is one event, or begins with none, is one piece. The pieces are in order; where
    only a newline is missing between two events, an empty piece represents it.
    """
    content = parse(line, vocabulary)
    parts: list[Piece] = []
    start = 0
    if isinstance(content, BadLine):  # another tool may have left out its newline
        end = line.find(b"}" + LINE_START) + 1
        foreign = parse(line[:end], vocabulary)
        if isinstance(foreign, Event):
            parts, start = [Piece(0, line[:end], foreign)], end
    while isinstance(content, BadLine) and (before := _BEFORE.match(line, start)):
        begin = summed = before.end()
        checksum = 0
        for match in _CRC.finditer(line, begin):
            checksum = crc32(line[summed : match.start()], checksum)
            summed = match.start()
            if match[0] == b',"crc":"%08x"}' % checksum:
                break
        else:
            break
        event = parse(line[begin : match.end()], vocabulary)
        if isinstance(event, BadLine):
            break
        if begin:
            parts.append(Piece(start, before[0], STRAY))
        start = match.end()
        parts.append(Piece(begin, line[begin:start], event))
    if not parts:
        return [Piece(0, line, content)]
    if rest := line[start:]:
        parts.append(Piece(start, rest, parse(rest, vocabulary) if rest.strip(_BLANKS) else STRAY))
    return parts
