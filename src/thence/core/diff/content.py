"""The content of an event, without members that must differ between two runs.

Ids, times, node, numbers, names of runs and streams, the causes themselves and members that
nobody here knows are left out; so are latency and cost in the details of a simulation. JSON
values are the same when they are after sorting the keys of their maps: 1 is not 1.0.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter, eq
from typing import Any

import msgspec

from thence.core.event import Event, decoded

# members of `details` about a model's performance, not about the event
VOLATILE = frozenset(("latency", "latency_s", "latency_ms", "cost", "cost_usd"))
_NOTHING = msgspec.Raw(b"{}")


class EventContent(msgspec.Struct, frozen=True, gc=False):
    """The content of an event, its causes, and its identity, decoded from its line.

    `details` and `payload` are the bytes of the host's content as stored.
    """

    event_id: str
    event_type: str
    event_version: int = 1
    node_id: str = ""
    seq: int = 0
    lamport_clock: int = 0
    caused_by: tuple[str, ...] = ()
    begins: bool = False
    turn_number: int | None = None
    agent_id: str | None = None
    description: str | None = None
    step: str | None = None
    details: msgspec.Raw = _NOTHING
    subject: str | None = None
    actor: str | None = None
    payload: msgspec.Raw = _NOTHING


class DifferingMember(msgspec.Struct, frozen=True):
    """One place in an event where two differ: `path` such as "details.new_value".

    Names of members and indices of lists are joined by dots. UNSET stands for a place that
    an event lacks.
    """

    path: str
    a: Any
    b: Any


MEMBERS = (
    "event_type",
    "event_version",
    "turn_number",
    "agent_id",
    "subject",
    "actor",
    "description",
    "begins",
)
# the compared members of an event, without its bodies
members = attrgetter(*MEMBERS)
_BODIES = ("details", "payload")
_encode = msgspec.json.Encoder(order="sorted").encode
decode_content = msgspec.json.Decoder(EventContent).decode


class _Bodies(msgspec.Struct, frozen=True, gc=False):
    """The host's content in an event that another tool wrote."""

    details: msgspec.Raw = _NOTHING
    payload: msgspec.Raw = _NOTHING


_decode_bodies = msgspec.json.Decoder(_Bodies).decode


def content_of(event: Event) -> EventContent:
    """Returns the content of an event; a body that is no JSON counts as absent."""
    try:
        bodies = _decode_bodies(event.line)
    except (ValueError, RecursionError):
        bodies = _Bodies()
    header = event.header
    known = {
        name: getattr(header, name)
        for name in EventContent.__struct_fields__
        if name not in _BODIES
    }
    return EventContent(**known, details=bodies.details, payload=bodies.payload)


def canonical(body: msgspec.Raw, name: str) -> bytes:
    """Returns bytes that are equal for bodies with the same content.

    `name` is the member that holds the body. Bytes that are no JSON are returned unchanged.
    """
    if body is _NOTHING:
        return b"{}"
    try:
        return _encode(_value(body, name))
    except (ValueError, OverflowError, RecursionError):
        return bytes(body)


def are_same(a: Sequence[EventContent], b: Sequence[EventContent]) -> list[bool]:
    """Reports for each pair of events in A and B whether their contents are the same."""
    have_same_members = map(eq, map(members, a), map(members, b))
    return [
        has_same_members and has_same_bodies(x, y)
        for has_same_members, x, y in zip(have_same_members, a, b, strict=True)
    ]


def has_same_bodies(a: EventContent, b: EventContent) -> bool:
    """Reports whether two events have the same bodies."""
    if a.details == b.details and a.payload == b.payload:
        return True
    return _is_same_body(a.details, b.details, "details") and (
        _is_same_body(a.payload, b.payload, "payload")
    )


def contrast(a: EventContent, b: EventContent) -> tuple[DifferingMember, ...]:
    """Returns each place where two events differ, in the order of their members."""
    found = [
        DifferingMember(name, _set(x), _set(y))
        for name, x, y in zip(MEMBERS, members(a), members(b), strict=True)
        if x != y
    ]
    for name in _BODIES:
        found += _apart(name, _shown(getattr(a, name), name), _shown(getattr(b, name), name))
    return tuple(found)


def _is_same_body(a: msgspec.Raw, b: msgspec.Raw, name: str) -> bool:
    """Compares two bodies as `canonical` does, by their values first: that is faster."""
    if a == b:
        return True
    try:
        if _value(a, name) != _value(b, name):
            return False
    except (ValueError, RecursionError):
        pass
    return canonical(a, name) == canonical(b, name)


def _apart(path: str, a: object, b: object) -> Iterator[DifferingMember]:
    """Yields the places where two JSON values differ, as deep as possible."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a | b:
            yield from _apart(f"{path}.{key}", a.get(key, msgspec.UNSET), b.get(key, msgspec.UNSET))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            x, y = (each[index] if index < len(each) else msgspec.UNSET for each in (a, b))
            yield from _apart(f"{path}.{index}", x, y)
    elif not _is_equal(a, b):
        yield DifferingMember(path, a, b)


def _is_equal(a: object, b: object) -> bool:
    """Reports whether two values are equal in JSON, where true is not 1."""
    if msgspec.UNSET in (a, b) and a is not b:
        return False
    try:
        return _encode(a) == _encode(b)
    except (ValueError, OverflowError, RecursionError):
        return type(a) is type(b) and a == b


def _value(body: msgspec.Raw, name: str) -> Any:
    """Decodes a body, without its volatile members."""
    value = decoded(body)
    if name == "details" and isinstance(value, dict) and not VOLATILE.isdisjoint(value):
        return {key: item for key, item in value.items() if key not in VOLATILE}
    return value


def _shown(body: msgspec.Raw, name: str) -> Any:
    """Decodes a body to be shown; one that is no JSON is shown as its text."""
    try:
        return _value(body, name)
    except (ValueError, OverflowError, RecursionError):
        return bytes(body).decode(errors="replace")


def _set(value: object) -> object:
    return msgspec.UNSET if value is None else value
