"""What an event says, without what must differ between two runs.

Ids, times, node, numbers, names of runs and streams, the causes themselves and members that
nobody here knows are left out; so are latency and cost in the details of a simulation. JSON
values are the same when they are after sorting the keys of their maps: 1 is not 1.0.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec

from thence.core.codec import CRC_BYTES
from thence.core.event import Event, decoded

# members of `details` that tell how a model answered, not what happened
VOLATILE = frozenset(("latency", "latency_s", "latency_ms", "cost", "cost_usd"))
_VOLATILE_BYTES = (b'"latency', b'"cost')
_NOTHING = msgspec.Raw(b"{}")


class Bodies(msgspec.Struct, frozen=True, gc=False):
    """What the host said in an event: the bytes of `details` and `payload` as they lie there."""

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
# the members of a header, to be compared with those of another
members = attrgetter(*MEMBERS)
_BODIES = ("details", "payload")
# in a line of ours all that is compared stands from here on, but for three members
_TURN = b',"turn_number":'
_decode = msgspec.json.Decoder(Bodies).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def bodies(event: Event) -> Bodies:
    """Reads what the host said; what is no JSON counts as absent."""
    try:
        return _decode(event.line)
    except (ValueError, RecursionError):
        return Bodies()


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


def is_same(a: Event, b: Event) -> bool:
    """Tells whether two events say the same."""
    if _is_same_line(a, b):
        return True
    if members(a.header) != members(b.header):
        return False
    one, two = bodies(a), bodies(b)
    return all(
        canonical(getattr(one, name), name) == canonical(getattr(two, name), name)
        for name in _BODIES
    )


def contrast(a: Event, b: Event) -> tuple[Differing, ...]:
    """Returns each place where two events differ, in the order of their members."""
    found = [
        Differing(name, _set(x), _set(y))
        for name, x, y in zip(MEMBERS, members(a.header), members(b.header), strict=True)
        if x != y
    ]
    one, two = bodies(a), bodies(b)
    for name in _BODIES:
        found += _apart(name, _shown(getattr(one, name), name), _shown(getattr(two, name), name))
    return tuple(found)


def _is_same_line(a: Event, b: Event) -> bool:
    """Tells quickly that two events of a simulation say the same; False when unsure."""
    x, y = a.header, b.header
    if x.event_type != y.event_type or x.begins != y.begins or not (x.seq and y.seq):
        return False
    start_a, start_b = a.line.find(_TURN), b.line.find(_TURN)
    return (
        start_a > 0
        and start_b > 0
        and x.event_version == y.event_version
        and a.line[start_a:-CRC_BYTES] == b.line[start_b:-CRC_BYTES]
    )


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
