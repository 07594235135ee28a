"""The content of an event, without members that must differ between two runs.

Ids, times, node, numbers, names of runs and streams, the causes themselves and members that
nobody here knows are left out; so are latency and cost in the details of a simulation. JSON
values are the same when they are after sorting the keys of their maps: 1 is not 1.0.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec

from thence.core.event import Event, decoded

# members of `details` about a model's performance, not about the event
VOLATILE = frozenset(("latency", "latency_s", "latency_ms", "cost", "cost_usd"))
_NOTHING = msgspec.Raw(b"{}")


class DifferingMember(msgspec.Struct, frozen=True):
    """One place in an event where two differ: `path` such as "details.new_value".

    Names of members and indices of lists are joined by dots. UNSET stands for a place that
    an event lacks.
    """

    path: str
    a: Any
    b: Any


class _Bodies(msgspec.Struct, frozen=True, gc=False):
    """The host's content in an event, as the bytes that are stored."""

    details: msgspec.Raw = _NOTHING
    payload: msgspec.Raw = _NOTHING


_MEMBERS = (
    "event_type",
    "event_version",
    "turn_number",
    "agent_id",
    "subject",
    "actor",
    "description",
    "begins",
)
_members = attrgetter(*_MEMBERS)
_decode_bodies = msgspec.json.Decoder(_Bodies).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def canonical_bodies(event: Event) -> tuple[bytes, bytes]:
    """Returns bytes that are equal for events whose details and payload are the same."""
    bodies = _bodies_of(event)
    return _canonical(bodies.details, "details"), _canonical(bodies.payload, "payload")


def is_same(a: Event, b: Event) -> bool:
    """Reports whether the contents of two events are the same."""
    return _members(a.header) == _members(b.header) and _have_same_bodies(a, b)


def contrast(a: Event, b: Event) -> tuple[DifferingMember, ...]:
    """Returns each place where two events differ, in the order of their members."""
    places = [
        DifferingMember(name, _set(x), _set(y))
        for name, x, y in zip(_MEMBERS, _members(a.header), _members(b.header), strict=True)
        if x != y
    ]
    one, other = _bodies_of(a), _bodies_of(b)
    for name in _Bodies.__struct_fields__:
        places += _apart(name, *(_readable(getattr(of, name), name) for of in (one, other)))
    return tuple(places)


def _bodies_of(event: Event) -> _Bodies:
    """Returns the bodies of an event; one that is no JSON counts as absent."""
    try:
        return _decode_bodies(event.line)
    except (ValueError, RecursionError):
        return _Bodies()


def _have_same_bodies(a: Event, b: Event) -> bool:
    one, other = _bodies_of(a), _bodies_of(b)
    if one == other:  # as stored, which is faster than what follows
        return True
    return all(
        _canonical(getattr(one, name), name) == _canonical(getattr(other, name), name)
        for name in _Bodies.__struct_fields__
    )


def _canonical(body: msgspec.Raw, name: str) -> bytes:
    """Returns a body with sorted keys and without volatile members; no JSON is left as it is."""
    if body is _NOTHING:
        return b"{}"
    try:
        return _encode(_value(body, name))
    except (ValueError, OverflowError, RecursionError):
        return bytes(body)


def _apart(path: str, a: object, b: object) -> Iterator[DifferingMember]:
    """Yields the places where two JSON values differ, as deep as possible."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a | b:
            yield from _apart(f"{path}.{key}", a.get(key, msgspec.UNSET), b.get(key, msgspec.UNSET))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            x, y = (of[index] if index < len(of) else msgspec.UNSET for of in (a, b))
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


def _readable(body: msgspec.Raw, name: str) -> Any:
    """Decodes a body to be shown; one that is no JSON is shown as its text."""
    try:
        return _value(body, name)
    except (ValueError, OverflowError, RecursionError):
        return bytes(body).decode(errors="replace")


def _set(value: object) -> object:
    return msgspec.UNSET if value is None else value
