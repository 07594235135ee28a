"""An event's line: the only place where events are encoded and decoded.

Written first is a `Draft`, all of a line but its numbers, made outside the append lock.
`stamp` joins the numbers in and closes the line with its CRC-32. `parse` reads a line back
and says of bad bytes why they are bad. The format is told in docs/formats/segment.md.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from thence.core.clock import CLOCK_MAX
from thence.core.event import Event, Header
from thence.core.vocabulary import Vocabulary
from thence.errors import EventTooLarge, InvalidEvent

LINE_BYTES_MAX = 1024 * 1024
CAUSES_MAX = 32
CRC_BYTES = 18
# node_id, seq and lamport_clock at their longest, the CRC and the newline
_NUMBERS_BYTES_MAX = 100

_NUMBERS = re.compile(
    rb'\{"event_id":"[^"\\]*","event_type":"(?:[^"\\]|\\.)*","event_version":\d+,'
    rb'"timestamp":"[^"\\]*","node_id":"([0-9a-f]{12})","seq":(\d+),"lamport_clock":(\d+)'
)
_LINE_START = b'{"event_id":"'
_NAMED = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25} [\d-]{10}T[\d:]{8}\.\d{6}Z", re.ASCII)
_decode_header = msgspec.json.Decoder(Header).decode
_decode = msgspec.json.Decoder().decode


def _plain(value: Any) -> Any:
    """Turns what the encoder doesn't know into the JSON value that it is a kind of."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class Draft(NamedTuple):
    """An event encoded except for its numbers; cheap to queue, impossible to change."""

    event_id: str
    head: bytes
    tail: bytes


class _Name(msgspec.Struct):
    event_id: str


_decode_name = msgspec.json.Decoder(_Name).decode


class BadLine(NamedTuple):
    """Bytes between two newlines that are no event, with the stable code of the reason."""

    code: str
    reason: str


def draft(
    event_id: str,
    event_type: str,
    timestamp: str,
    members: Mapping[str, Any],
    causes: Sequence[str] = (),
) -> Draft:
    """Encodes all of a line but its numbers.

    `members` are the optional and host keys in file order, the payload last; those that are
    None, empty text or an empty list are left out. The values must have passed
    `core.payload`. Raises InvalidEvent for what the encoder refuses, EventTooLarge over
    1 MiB.
    """
    given = {k: v for k, v in members.items() if v is not None and v != "" and v != []}
    return assemble(
        event_id, _encoded(event_id, event_type), timestamp, _encoded(event_id, given), causes
    )


def _encoded(event_id: str, value: Any) -> bytes:
    try:
        return _encode(value)
    except (UnicodeEncodeError, TypeError, RecursionError, ValueError) as error:
        raise InvalidEvent(
            "could not encode the event", place=event_id, cause=error, hint="pass JSON values"
        ) from error


def assemble(
    event_id: str, quoted_type: bytes, timestamp: str, body: bytes, causes: Sequence[str]
) -> Draft:
    """Joins the encoded type and the encoded object of the members to a Draft.

    Raises InvalidEvent if the id is no ULID, the timestamp in another form, a cause no text.
    """
    if not _NAMED.fullmatch(f"{event_id} {timestamp}"):
        raise InvalidEvent(
            "could not encode the event",
            place=repr(event_id),
            cause=f"its id is no ULID, or {timestamp!r} not in the form of timestamps",
            hint="leave both out: they are filled in",
        )
    head = b'{"event_id":"%b","event_type":%b,"event_version":1,"timestamp":"%b"' % (
        event_id.encode(),
        quoted_type,
        timestamp.encode(),
    )
    tail = b"," + body[1:-1] if len(body) > 2 else b""
    if causes:
        tail = b',"caused_by":%b' % _encoded(event_id, causes) + tail
    size_bytes = len(head) + len(tail) + _NUMBERS_BYTES_MAX
    if size_bytes > LINE_BYTES_MAX:
        raise EventTooLarge(
            "could not store the event",
            place=event_id,
            cause=f"its line would take {size_bytes} bytes, the limit is {LINE_BYTES_MAX}",
            hint="store the bulk in a file and its path in the event",
        )
    return Draft(event_id, head, tail)


def stamp(item: Draft, node_id: bytes, seq: int, lamport_clock: int) -> bytes:
    """Returns the whole line, newline included."""
    line = b'%b,"node_id":"%b","seq":%d,"lamport_clock":%d%b' % (
        item.head,
        node_id,
        seq,
        lamport_clock,
        item.tail,
    )
    return b'%b,"crc":"%08x"}\n' % (line, crc32(line))


def has_valid_crc(line: bytes) -> bool:
    """Tells whether a line without its newline ends in the CRC-32 of what stands before."""
    return line[-CRC_BYTES:] == b',"crc":"%08x"}' % crc32(line[:-CRC_BYTES])


def numbers(line: bytes) -> tuple[str, int, int] | None:
    """Reads node_id, seq and lamport_clock off a line of ours without decoding it.

    The search is anchored at the line's start: a payload may hold such members too. The
    checksum is not looked at.
    """
    found = _NUMBERS.match(line)
    return (found[1].decode(), int(found[2]), int(found[3])) if found else None


def is_ours(line: bytes) -> bool:
    """Tells whether a log wrote a line, by what is left of it if it is damaged."""
    has_crc = line[-CRC_BYTES:].startswith(b',"crc":"') and line.endswith(b'"}')
    return has_crc or b"\0" in line or _NUMBERS.match(line) is not None


def event_id_of(line: bytes) -> bytes:
    """Reads the event_id off a line of ours by its place, off others by decoding them.

    Of a line without one it returns the line itself.
    """
    if line.startswith(_LINE_START) and line[39:40] == b'"':
        return line[13:39]
    try:
        return _decode_name(line).event_id.encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line


def essence(line: bytes) -> bytes:
    """Returns a line of ours without seq, lamport_clock and crc: what makes it that event."""
    found = _NUMBERS.match(line)
    if found is None:
        return line
    return line[: found.start(2)] + line[found.end(3) : -CRC_BYTES]


def parse(line: bytes, vocabulary: Vocabulary) -> Event | BadLine:
    """Reads one line without its newline.

    A line with a valid CRC is an event. A JSON object with an event_id and neither seq nor
    crc is a foreign event. Anything else is a BadLine.
    """
    if has_valid_crc(line):
        try:
            header = _decode_header(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return BadLine("not_an_event", f"the checksum fits, the members don't: {error}")
        if header.seq < 1 or not 1 <= header.lamport_clock <= CLOCK_MAX:
            return BadLine("not_an_event", "the checksum fits, seq or lamport_clock doesn't")
        return Event(line, header, vocabulary)
    return _foreign(line, vocabulary)


def _foreign(line: bytes, vocabulary: Vocabulary) -> Event | BadLine:
    try:
        members = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        code = "bad_checksum" if b'"seq":' in line[:400] else "not_json"
        return BadLine(code, "the line is no JSON: it was cut, changed, or written by no log")
    if not isinstance(members, dict) or not isinstance(members.get("event_id"), str):
        return BadLine("not_an_event", "the line is JSON without an event_id")
    if "seq" in members or "crc" in members:
        return BadLine("bad_checksum", "the bytes don't match the line's checksum")
    return Event(line, _lenient_header(members), vocabulary)


def _lenient_header(members: dict[str, Any]) -> Header:
    """Keeps of another writer's members those whose types fit, so that none is refused."""
    known: dict[str, Any] = {}
    for field in msgspec.structs.fields(Header):
        if field.name in members and field.name not in ("node_id", "lamport_clock"):
            try:
                known[field.name] = msgspec.convert(members[field.name], field.type)
            except msgspec.ValidationError:
                continue
    return Header(**({"event_type": "unknown"} | known))
