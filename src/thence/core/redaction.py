"""Digests of an event's line, over its bytes as they are stored.

B covers the body: what a person may want to take back. C covers what the event says: the head
without its numbers, and B. D covers the line: its two numbers, and C. A redacted line has B in
place of its body, so that C and D stay. docs/formats/segment.md gives the exact bytes.
"""

import re
from hashlib import sha256
from itertools import islice
from typing import NamedTuple
from zlib import crc32

import msgspec

from thence.core.codec import CRC_BYTES, LINE_BYTES_MAX, event_id_of
from thence.core.event import Event, Members
from thence.errors import InvalidEvent

BODY_MEMBERS = frozenset(("description", "repairs", "payload", "details", "bodies", "nonce"))
BODY_DIGEST = "body_sha256"
_NUMBERS = frozenset(("seq", "lamport_clock"))

_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_NUMBER = rb"[1-9]\d*|0"
_REQUIRED = 4  # the members before the numbers


_VALUES: dict[object, bytes] = {
    bool: b"true",
    int | None: rb"\d+",
    str | None: _TEXT,
    tuple[str, ...]: rb"\[%b(?:,%b)*\]" % (_TEXT, _TEXT),
}


def _usual_pattern() -> re.Pattern[bytes]:
    """Returns a pattern of our own lines, up to the payload.

    One with repairs is taken apart member by member.
    """
    pattern = rb'\{("event_id":%b,"event_type":%b,"event_version":\d+,"timestamp":%b,"node_id":%b)'
    pattern = pattern % ((_TEXT,) * 4) + rb',"seq":(%b),"lamport_clock":(%b)(' % (_NUMBER, _NUMBER)
    for name, kind in islice(Members.__annotations__.items(), _REQUIRED, None):
        if name == "description":
            pattern += rb')(?:,("description":%b))?(' % _TEXT
        elif name not in BODY_MEMBERS:
            pattern += rb'(?:,"%b":%b)?' % (name.encode(), _VALUES[kind])
    return re.compile(pattern + rb')(?:,("(?:payload|details)":))?')


_USUAL = _usual_pattern()
# what may stand behind the payload: the bodies that it names, and the nonce
_BEHIND = re.compile(
    rb'(?:,"bodies":\[(?:\[%b,"[0-9a-f]{64}",\d+\],?)+\])?(?:,"nonce":"[0-9A-Za-z_-]{22}")?' % _TEXT
)
_TOKENS = re.compile(rb"%b|[\[\]{},]" % _TEXT)
_KEY = re.compile(rb" *(%b) *:" % _TEXT)
_CONTROLS = bytes(range(0x20))
_HEX_TEXT = re.compile(rb'"([0-9a-f]{64})"')


class Digests(NamedTuple):
    """The three SHA-256 digests of a line, 32 bytes each."""

    body: bytes
    content: bytes
    line: bytes


class _Content(msgspec.Struct, gc=False):
    payload: msgspec.Raw = msgspec.Raw()
    details: msgspec.Raw = msgspec.Raw()


_decode_content = msgspec.json.Decoder(_Content).decode


def digests(line: bytes) -> Digests:
    """Returns the digests of a line that `core.values.codec.parse` takes for an event with numbers.

    The line is given without its newline. Raises InvalidEvent for a line that has no digests: a
    member stands twice at its top, it holds a byte below 0x20, it lacks a number, or it has body
    members beside `body_sha256`.
    """
    if len(line.translate(None, _CONTROLS)) != len(line):
        raise _refused(line, "it holds a byte below 0x20")
    head, body, seq, clock = _usual(line) or _by_members(line)
    content = sha256(b"thence content 1\n%b\n%b" % (head, body.hex().encode())).digest()
    numbered = b"thence line 1\n%b %b %b" % (seq, clock, content.hex().encode())
    return Digests(body, content, sha256(numbered).digest())


def redacted(line: bytes) -> bytes:
    """Returns a line with `body_sha256` in place of its body: its digests C and D stay.

    The line is given without its newline; one that is redacted already stays as it is. Raises
    InvalidEvent for a line that has no digests, or that would grow to 1 MiB by it.
    """
    body = digests(line).body
    members = _members(line)
    if BODY_DIGEST in members:
        return line
    skipped = BODY_MEMBERS | {"crc"}
    head = b",".join(text for key, text in members.items() if key not in skipped)
    data = b'{%b,"%b":"%b"' % (head, BODY_DIGEST.encode(), body.hex().encode())
    stripped = b'%b,"crc":"%08x"}' % (data, crc32(data))
    if len(stripped) >= LINE_BYTES_MAX:
        raise _refused(line, "it leaves no room for the digest of its body")
    return stripped


def same_event_key(event: Event) -> bytes:
    """Returns a key that is equal for two lines of one id if they are the same event.

    It is C; of a line without numbers it is a digest of its decoded members, in any order, and of
    one that has no digests, of its bytes.
    """
    if event.is_foreign:
        return sha256(msgspec.json.encode(event.members, order="deterministic")).digest()
    try:
        return digests(event.line).content
    except InvalidEvent:
        return sha256(event.line).digest()


def same_line_key(event: Event) -> bytes:
    """Returns a key that is equal for two lines of one id if they are the same line.

    It is D; of a line that has no D it is what `same_event_key` returns.
    """
    if not event.is_foreign:
        try:
            return digests(event.line).line
        except InvalidEvent:
            pass
    return same_event_key(event)


def _usual(line: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Returns head, B, seq and clock of a line in our own order, None for any other."""
    usual = _USUAL.match(line)
    if usual is None:
        return None
    before, seq, clock, middle, description, last, key = usual.groups()
    begin, end = usual.end(), len(line) - CRC_BYTES
    stop = begin
    if key is not None:
        content = _decode_content(line)
        value = bytes(content.payload if key == b'"payload":' else content.details)
        begin, stop = begin - len(key), begin + len(value)
        if not line.startswith(value, begin + len(key)):
            return None
    if stop != end and _BEHIND.fullmatch(line, stop, end) is None:
        return None  # another member stands behind
    rest = line[begin:end].removeprefix(b",")
    body = b",".join(part for part in (description, rest) if part)
    return before + middle + last, sha256(b"thence body 1\n" + body).digest(), seq, clock


def _by_members(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Returns head, B, seq and clock of any line, by a scan of its top level."""
    members = _members(line)
    missing = _NUMBERS - members.keys()
    if missing:
        raise _refused(line, f"it has no {' and no '.join(sorted(missing))}")
    body = [text for key, text in members.items() if key in BODY_MEMBERS]
    digest_text = members.get(BODY_DIGEST)
    if digest_text is None:
        digest = sha256(b"thence body 1\n" + b",".join(body)).digest()
    else:
        match = _HEX_TEXT.fullmatch(digest_text.partition(b":")[2])
        if match is None:
            raise _refused(line, f"its {BODY_DIGEST} is no SHA-256 in 64 hex digits")
        if body:
            raise _refused(line, f"it has a body beside {BODY_DIGEST}")
        digest = bytes.fromhex(match[1].decode())
    skipped = BODY_MEMBERS | _NUMBERS | {BODY_DIGEST, "crc"}
    head = b",".join(text for key, text in members.items() if key not in skipped)
    seq, clock = (members[name].partition(b":")[2] for name in ("seq", "lamport_clock"))
    return head, digest, seq, clock


def _members(line: bytes) -> dict[str, bytes]:
    """Returns the bytes of each member at the top of a line, key included, without commas."""
    members: dict[str, bytes] = {}
    depth, start = 0, 1
    for token in _TOKENS.finditer(line):
        byte = token[0]
        if byte in b"[{":
            depth += 1
        elif byte in b"]}":
            depth -= 1
        if depth == 0 or (depth == 1 and byte == b","):
            text = line[start : token.start()]
            key = _KEY.match(text)
            if key is None:
                raise _refused(line, "it is no object with members")
            name = msgspec.json.decode(key[1], type=str)
            if name in members:
                raise _refused(line, f"the member {name:.80} appears twice")
            members[name] = text
            start = token.end()
    return members


def _refused(line: bytes, cause: str) -> InvalidEvent:
    return InvalidEvent(
        "could not compute the digests of a line",
        place=event_id_of(line)[:80].decode(errors="backslashreplace"),
        cause=cause,
        hint="thence writes no such line; see who wrote it by its node_id",
    )
