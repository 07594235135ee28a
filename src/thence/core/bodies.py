"""Large values of a payload: a line holds the beginning of each, and names it by its digest.

The value itself, a *body*, lies beside the events, once for all lines that name it. A text is kept
as its UTF-8, a list as its JSON without the closing bracket: so the bytes of a list that grows
begin with those of the list before. docs/formats/bodies.md gives the exact form.
"""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec

from thence.errors import ThenceError

BODIES_KEY = "bodies"
# the bytes without which a line names no body; a payload may hold them too
BODIES_SIGN = b'},"bodies":[["'


class BodyMissing(ThenceError):
    """Error: a large value that an event names is not in the log any more, or has changed."""


class Body(NamedTuple):
    """The bytes of one large value, with their SHA-256 in hex."""

    digest: str
    data: bytes


class BodyEntry(NamedTuple):
    """What a line says of one body: its place in the payload (RFC 6901), digest and bytes."""

    pointer: Annotated[str, msgspec.Meta(pattern="^/")]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    size: int


class BodySource(Protocol):
    """The bodies of one log."""

    def value(self, digest: str, size: int) -> bytes:
        """Returns the bytes of a body, which fit the digest; raises BodyMissing, `read_failed`."""


class DraftBodies(NamedTuple):
    """The bodies of an event that is not in its log yet."""

    bodies: tuple[Body, ...]

    def value(self, digest: str, size: int) -> bytes:
        """Returns the bytes of a body; raises BodyMissing."""
        for body in self.bodies:
            if body.digest == digest and len(body.data) == size:
                return body.data
        raise missing_body(digest, "the event does not hold it")


def entries_of(members: Mapping[str, Any]) -> list[BodyEntry]:
    """Returns the bodies that members name; of another form, as another tool has it, none."""
    try:
        return msgspec.convert(members.get(BODIES_KEY, []), list[BodyEntry])
    except msgspec.ValidationError:
        return []


def as_bytes(value: Any, encode: Callable[[Any], bytes] = msgspec.json.encode) -> bytes:
    """Returns the bytes by which a text or a list is kept."""
    return value.encode() if isinstance(value, str) else encode(value)[:-1]


def body_of(data: bytes) -> Body:
    """Returns bytes with their digest."""
    return Body(sha256(data).hexdigest(), data)


def put_back(
    payload: dict[str, Any],
    entries: Iterable[BodyEntry],
    source: BodySource | None,
    decode: Callable[[bytes], Any],
) -> None:
    """Puts the whole values into a payload; raises BodyMissing, `read_failed`."""
    for pointer, digest, size in entries:
        holder, key = _place(payload, pointer)
        if holder is None or source is None or not isinstance(holder[key], str | list):
            cause = "its line names a place that is not there"
            raise missing_body(digest, cause if source else "the line was read without its log")
        data = source.value(digest, size)
        try:
            holder[key] = data.decode() if isinstance(holder[key], str) else decode(data + b"]")
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise missing_body(digest, "its bytes are not what its line begins with") from error


def put_back_readable(
    payload: dict[str, Any],
    entries: Iterable[BodyEntry],
    source: BodySource | None,
    decode: Callable[[bytes], Any],
) -> list[str]:
    """Puts the whole values into a payload, but for those that can't be read.

    Returns the pointers of these, which stay as their beginning. Raises `read_failed`.
    """
    unreadable = []
    for entry in entries:
        try:
            put_back(payload, [entry], source, decode)
        except BodyMissing:
            unreadable.append(entry.pointer)
    return unreadable


def compare_by_digest(
    payload: dict[str, Any], entries: Iterable[BodyEntry], others: Iterable[BodyEntry]
) -> None:
    """Puts digests in the place of values that this payload, or another, names as bodies.

    Two payloads are the same then if their whole values are, however much of them stands in
    their lines.
    """
    named = {entry.pointer: entry for entry in entries}
    for entry in others:
        holder, key = _place(payload, entry.pointer)
        value = None if holder is None else holder[key]
        if entry.pointer not in named and isinstance(value, str | list):
            data = as_bytes(value)
            named[entry.pointer] = BodyEntry(entry.pointer, body_of(data).digest, len(data))
    for pointer, digest, size in named.values():
        holder, key = _place(payload, pointer)
        if holder is not None:
            holder[key] = [type(holder[key]).__name__, digest, size]


def missing_body(digest: str, cause: str) -> BodyMissing:
    """Returns the error for a body that can't be read whole."""
    return BodyMissing(
        "could not read a large value, kept by its digest",
        place=digest[:16],
        cause=cause,
        hint="thence verify lists what is missing; restore bodies.jsonl from a backup",
    )


def pointer_part(key: str) -> str:
    """Returns a key as a part of a JSON pointer."""
    return f"/{key.replace('~', '~0').replace('/', '~1')}"


def first_key(pointer: str) -> str:
    """Returns the key at the top of the payload that a pointer leads through."""
    return _parts(pointer)[0]


def has_place(payload: dict[str, Any], pointer: str) -> bool:
    """Reports whether a pointer leads to a text or a list, which a body may be the whole of."""
    holder, key = _place(payload, pointer)
    return holder is not None and isinstance(holder[key], str | list)


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]] or [""]


def _place(payload: dict[str, Any], pointer: str) -> tuple[dict[str, Any] | None, str]:
    """Returns the map that holds what a pointer leads to, None without one, and its key there."""
    parts = _parts(pointer)
    holder: Any = payload
    for part in parts[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    return (holder, parts[-1]) if isinstance(holder, dict) and parts[-1] in holder else (None, "")
