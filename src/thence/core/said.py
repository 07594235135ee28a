"""What an event says, without what must differ between two runs.

Ids, times, node, numbers, names of runs and streams, the causes themselves and members that
nobody here knows are left out; so are latency and cost in the details of a simulation. JSON
values are the same when they are after sorting the keys of their maps: 1 is not 1.0.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec

from thence.core.event import Event, Header, decoded

# members of `details` that tell how a model answered, not what happened
VOLATILE = frozenset(("latency", "latency_s", "latency_ms", "cost", "cost_usd"))
_VOLATILE_BYTES = (b'"latency', b'"cost')
_NOTHING = msgspec.Raw(b"{}")


class Said(Header, frozen=True, gc=False):
    """A header with what the host said: the bytes of `details` and `payload` as they lie there."""

    details: msgspec.Raw = _NOTHING
    payload: msgspec.Raw = _NOTHING


class Differing(msgspec.Struct, frozen=True):
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
BODIES = ("details", "payload")

# the members of an event, to be compared with those of another
members = attrgetter(*MEMBERS)
decode_said = msgspec.json.Decoder(Said).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def said(event: Event) -> Said:
    """Reads what an event says; members that are not of their type count as absent."""
    header = event.header
    if isinstance(header, Said):
        return header
    try:
        return decode_said(event.line)
    except (ValueError, RecursionError):
        bodies = {name: _body(event.line, name) for name in BODIES}
        return Said(**{**msgspec.structs.asdict(header), **bodies})


def _body(line: bytes, name: str) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode(decoded(line)[name]))
    except (KeyError, ValueError, OverflowError, RecursionError):
        return _NOTHING


def canonical(body: msgspec.Raw, name: str) -> bytes:
    """Returns bytes that two bodies share when they say the same.

    `name` is the member that holds it. What is no JSON stands for itself.
    """
    if body is _NOTHING:
        return b"{}"
    try:
        return _encode(_value(body, name))
    except (ValueError, OverflowError, RecursionError):
        return bytes(body)


def is_same(a: Said, b: Said) -> bool:
    """Tells whether two events say the same."""
    return (
        members(a) == members(b)
        and _is_same_body(a.details, b.details, "details")
        and _is_same_body(a.payload, b.payload, "payload")
    )


def contrast(a: Said, b: Said) -> tuple[Differing, ...]:
    """Returns each place where two events differ, in the order of their members."""
    found = [
        Differing(name, _set(x), _set(y))
        for name, x, y in zip(MEMBERS, members(a), members(b), strict=True)
        if x != y
    ]
    for name in BODIES:
        found += _apart(name, _shown(getattr(a, name), name), _shown(getattr(b, name), name))
    return tuple(found)


def _is_same_body(a: msgspec.Raw, b: msgspec.Raw, name: str) -> bool:
    return a == b or canonical(a, name) == canonical(b, name)


def _apart(path: str, a: object, b: object) -> Iterator[Differing]:
    """Yields the places where two JSON values differ, the deepest that tell them apart."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a | b:
            yield from _apart(f"{path}.{key}", a.get(key, msgspec.UNSET), b.get(key, msgspec.UNSET))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            x, y = (each[index] if index < len(each) else msgspec.UNSET for each in (a, b))
            yield from _apart(f"{path}.{index}", x, y)
    elif not _is_equal(a, b):
        yield Differing(path, a, b)


def _is_equal(a: object, b: object) -> bool:
    """Tells whether two values are one in JSON, where true is not 1."""
    if msgspec.UNSET in (a, b) and a is not b:
        return False
    try:
        return _encode(a) == _encode(b)
    except (ValueError, OverflowError, RecursionError):
        return type(a) is type(b) and a == b


def _value(body: msgspec.Raw, name: str) -> Any:
    """Decodes a body, without what is volatile in it."""
    data = bytes(body)
    value = decoded(data)
    is_told = name == "details" and any(word in data for word in _VOLATILE_BYTES)
    if is_told and isinstance(value, dict):
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
