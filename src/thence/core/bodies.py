"""Large values of a payload: a line holds the beginning of each, and names it by its digest.

The value itself, a *body*, lies beside the events, once for all lines that name it. A text is kept
as its UTF-8, a list as its JSON without the closing bracket: so the bytes of a list that grows
begin with those of the list before. A text that is JSON, as tracers write prompts, is kept in
two parts, of which the first ends where its longest list does. docs/reference/formats/bodies.md
gives the exact form.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec

from thence.core.ready import ready
from thence.errors import ThenceError

BODIES_KEY = "bodies"
BODIES_FROM = 1024
# a smaller value would take more room in its line, by its digest, than it gives up
BODIES_FROM_MIN = 256
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
# of a text that is JSON: the shortest list that ends a part, the longest text
_LIST_CHARACTERS_MIN = 256
_JSON_CHARACTERS_MAX = 8 * 1024 * 1024
_JSON_SIGNS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
# the bytes without which a line names no body; a payload may hold them too
BODIES_SIGN = b'},"bodies":[["'


class BodyMissing(ThenceError):
    """Error: a large value that an event names is not in the log any more, or has changed."""


class Body(NamedTuple):
    """The bytes of one large value, with their SHA-256 in hex."""

    digest: str
    data: bytes


class BodyEntry(NamedTuple):
    """What a line says of one body: its place in the payload (RFC 6901), digest and bytes.

    Text in parts has an entry for each, in order.
    """

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
        return msgspec.convert(members.get(BODIES_KEY, []), ready(list[BodyEntry]))
    except msgspec.ValidationError:
        return []


def as_bytes(value: Any, encode: Callable[[Any], bytes] = msgspec.json.encode) -> bytes:
    """Returns the bytes by which a text or a list is kept."""
    return value.encode() if isinstance(value, str) else encode(value)[:-1]


def parts_of(value: Any, data: bytes) -> list[bytes]:
    """Returns the parts in which a value of some bytes is kept.

    A text that begins as JSON does ends a part before the closing bracket of its longest list, at
    the first two levels: what goes on there has the same beginning.
    """
    is_json = isinstance(value, str) and value[:1] in ("[", "{")
    if not is_json or len(value) > _JSON_CHARACTERS_MAX:
        return [data]
    longest, around = (_LIST_CHARACTERS_MIN, 0), list[int]()
    for match in _JSON_SIGNS.finditer(value):
        at = match.start()
        if value[at] in "[{":
            around.append(at)
        elif value[at] in "]}" and around:
            begin = around.pop()
            if value[at] == "]" and len(around) < 2:
                longest = max(longest, (at - begin, at))
    end = len(value[: longest[1]].encode())
    return [part for part in (data[:end], data[end:]) if part]


def body_of(data: bytes) -> Body:
    """Returns bytes with their digest."""
    from hashlib import sha256  # 2 ms of import, which a small append saves

    return Body(sha256(data).hexdigest(), data)


def put_back(
    payload: dict[str, Any],
    entries: Iterable[BodyEntry],
    source: BodySource | None,
    decode: Callable[[bytes], Any],
    *,
    is_strict: bool = False,
) -> list[str]:
    """Puts the whole values into a payload; returns the pointers of those that can't be read.

    These stay as their beginning; if it is strict the first one raises BodyMissing. Raises
    `read_failed`.
    """
    unreadable = []
    for pointer, parts in groupby(entries, key=lambda entry: entry.pointer):
        first = next(parts)
        digest = first.digest
        holder, key = _place(payload, pointer)
        try:
            if holder is None or source is None or not isinstance(holder[key], str | list):
                cause = "its line names a place that is not there"
                raise missing_body(digest, cause if source else "the line was read without its log")
            data = b"".join([source.value(one.digest, one.size) for one in (first, *parts)])
            try:
                holder[key] = data.decode() if isinstance(holder[key], str) else decode(data + b"]")
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                cause = "its bytes are not what its line begins with"
                raise missing_body(digest, cause) from error
        except BodyMissing:
            if is_strict:
                raise
            unreadable.append(pointer)
    return unreadable


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
