"""Digests of an event's line, over its bytes as they are stored.

The body digest covers what a person may want to take back. The content digest covers what the event
says: the head without its numbers, and the body digest. The line digest covers the two numbers and
the content digest. A redacted line has the body digest in place of its body, so that the other two
stay. docs/reference/formats/segment.md calls them B, C and D, and gives the exact bytes.
"""

import re
from typing import NamedTuple

import msgspec

from thence.core.codec import LINE_BYTES_MAX, close_line, event_id_of
from thence.core.event import Event, raw_members
from thence.core.ready import ready
from thence.errors import InvalidEvent

BODY_MEMBERS = frozenset(("description", "repairs", "payload", "details", "bodies", "nonce"))
BODY_DIGEST = "body_sha256"
REDACTED = "redacted"  # the kind of the notice that takes a line back
_DIGEST_BYTES = 32
_NUMBERS = frozenset(("seq", "lamport_clock"))
_NOT_IN_HEAD = BODY_MEMBERS | _NUMBERS | {BODY_DIGEST, "crc"}
_CONTROLS = bytes(range(0x20))
_HEX_TEXT = re.compile(rb'"([0-9a-f]{64})"')


class Digests(NamedTuple):
    """The three SHA-256 digests of a line, 32 bytes each."""

    body: bytes
    content: bytes
    line: bytes


class Redaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of a `log.redacted`: the event, its line digest in hex, and why in a few words."""

    event_id: str
    line_sha256: str
    reason: str = ""

    @property
    def digest(self) -> bytes:
        """The digest of the line that is taken back."""
        return bytes.fromhex(self.line_sha256)

    def facts(self) -> dict[str, str]:
        """Returns the facts of the notice, without empty ones."""
        return dict(msgspec.to_builtins(self))


def redaction_in(event: Event) -> Redaction | None:
    """Returns the redaction that a notice holds, None for a broken one."""
    try:
        redaction = msgspec.convert(event.payload, ready(Redaction))
        return redaction if len(redaction.digest) == _DIGEST_BYTES else None
    except (msgspec.ValidationError, ValueError):
        return None


def digests(line: bytes) -> Digests:
    """Returns the digests of a line that `core.codec.parse` takes for an event with numbers.

    The line is given without its newline. Raises InvalidEvent for a line that has no digests: it
    is not its members joined by commas, each once; it holds a byte below 0x20; it has no number;
    or it has body members beside `body_sha256`.
    """
    from hashlib import sha256

    members = _members(line)
    missing = _NUMBERS - members.keys()
    if missing:
        raise _refused(line, f"it has no {' and no '.join(sorted(missing))}")
    body = b",".join([text for key, text in members.items() if key in BODY_MEMBERS])
    digest = sha256(b"thence body 1\n" + body).digest()
    if BODY_DIGEST in members:
        match = _HEX_TEXT.fullmatch(_value(members, BODY_DIGEST))
        if match is None:
            raise _refused(line, f"its {BODY_DIGEST} is not a SHA-256 in 64 hex digits")
        if body:
            raise _refused(line, f"it has a body besides {BODY_DIGEST}")
        digest = bytes.fromhex(match[1].decode())
    head = b",".join([text for key, text in members.items() if key not in _NOT_IN_HEAD])
    content = sha256(b"thence content 1\n%b\n%b" % (head, digest.hex().encode())).digest()
    numbers = _value(members, "seq"), _value(members, "lamport_clock")
    numbered = b"thence line 1\n%b %b %b" % (*numbers, content.hex().encode())
    return Digests(digest, content, sha256(numbered).digest())


def redacted(line: bytes) -> bytes:
    """Returns a line with `body_sha256` in place of its body: content and line digest stay.

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
    stripped = close_line(data)[:-1]
    if len(stripped) >= LINE_BYTES_MAX:
        raise _refused(line, "it leaves no room for its body's digest")
    return stripped


def same_event_key(event: Event) -> bytes:
    """Returns a key that is equal for two lines of one id if they are the same event.

    It is the content digest; of a line without numbers it is a digest of its decoded members, in
    any order, and of one that has no digests, of its bytes.
    """
    from hashlib import sha256

    if event.is_foreign:
        return sha256(msgspec.json.encode(event.members, order="deterministic")).digest()
    try:
        return digests(event.line).content
    except InvalidEvent:
        return sha256(event.line).digest()


def same_line_key(event: Event) -> bytes:
    """Returns a key that is equal for two lines of one id if they are the same line.

    It is the line digest; of a line that has none it is what `same_event_key` returns.
    """
    if not event.is_foreign:
        try:
            return digests(event.line).line
        except InvalidEvent:
            pass
    return same_event_key(event)


def claim_order(event: Event) -> tuple[bool, bytes, bytes]:
    """Returns the sort key by which the line that counts comes first of all lines of one id.

    A verified line comes before any other, then the smaller digest: neither arrival nor author
    decides. The bytes decide between copies of one line, of which one may be redacted.
    """
    return event.is_foreign, same_line_key(event), event.line


def _members(line: bytes) -> dict[str, bytes]:
    """Returns the bytes of each member at the top of a line, key included, without commas."""
    if len(line.translate(None, _CONTROLS)) != len(line):
        raise _refused(line, "it holds a byte below 0x20")
    try:
        decoded = raw_members(line).items()
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused(line, f"it is not an object of JSON: {error}") from error
    members = {key: b'"%b":%b' % (key.encode(), value) for key, value in decoded}
    if b"{%b}" % b",".join(members.values()) != line:
        raise _refused(line, "it is not its members joined by commas, each once")
    return members


def _value(members: dict[str, bytes], key: str) -> bytes:
    return members[key][len(key) + 3 :]


def _refused(line: bytes, cause: str) -> InvalidEvent:
    return InvalidEvent(
        "could not compute the digests of a line",
        place=event_id_of(line)[:80].decode(errors="backslashreplace"),
        cause=cause,
        hint="thence writes no such line; see who wrote it by its node_id",
    )
