"""The comparison of one value in an event: the path to the value, the operator, the operand."""

from collections.abc import Callable, Collection, Mapping
from operator import ge, gt, le, lt
from typing import Any, Protocol

import msgspec

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

_NUMBERS = frozenset((int, float))

Scalar = str | int | float | bool | None


class FilteredEvent(Protocol):
    """An event for a filter: `core.event.Event`, or an object with the same members."""

    @property
    def event_type(self) -> str:
        """The event's type."""

    @property
    def actor(self) -> str | None:
        """The person, agent or program that did it."""

    @property
    def subject(self) -> str | None:
        """The thing that the event is about."""

    @property
    def stream(self) -> str | None:
        """The group that the event belongs to."""

    @property
    def turn_number(self) -> int | None:
        """The turn of a simulation."""

    @property
    def timestamp(self) -> str:
        """When it happened."""

    @property
    def members(self) -> Mapping[str, Any]:
        """All members of its line."""

    @property
    def payload(self) -> Mapping[str, Any]:
        """The event's own content."""


class Comparison(msgspec.Struct, frozen=True):
    """One `path op value`: `op` is one of = != < <= > >= ~, `value` a JSON scalar.

    A path holds names, and integers where it takes an element of a list. Its first name is
    a word that all hosts share (stream, subject, actor, payload), else a member of the line,
    else a name in the payload.
    """

    path: tuple[str | int, ...]
    op: str
    value: Scalar

    def matches(self, event: FilteredEvent) -> bool:
        """Reports whether the value at the path exists and satisfies the comparison."""
        found, rest = _first(event, self.path)
        for part in rest:
            if isinstance(part, str):
                if not isinstance(found, dict) or part not in found:
                    return False
                found = found[part]
            elif isinstance(found, list) and -len(found) <= part < len(found):
                found = found[part]
            else:
                return False
        return found is not _MISSING and compares(found, self.op, self.value)

    def reaches(self, event: FilteredEvent) -> tuple[int, Collection[str]]:
        """Returns how many parts of the path an event has, and the names at the next level.

        The names are those beside the first missing part; none where no part is missing.
        """
        found, rest = _first(event, self.path)
        if found is _MISSING:
            return 0, (*_WORDS, *event.members, *event.payload)
        for depth, part in enumerate(rest, len(self.path) - len(rest)):
            if isinstance(part, int):
                elements = found if isinstance(found, list) else ()
                found = elements[part] if -len(elements) <= part < len(elements) else None
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                return depth, tuple(found) if isinstance(found, dict) else ()
        return len(self.path), ()


_MISSING = object()
_WORDS = ("actor", "subject", "stream", "payload")


def _first(
    event: FilteredEvent, path: tuple[str | int, ...]
) -> tuple[object, tuple[str | int, ...]]:
    """Returns the value of the first name of a path, with the rest of the path."""
    name = str(path[0])
    if name == "payload":
        return event.payload, path[1:]
    if name in ("actor", "subject", "stream"):
        found = getattr(event, name)
        return (_MISSING if found is None else found), path[1:]
    members = event.members
    if name in members:
        return members[name], path[1:]
    return event.payload.get(name, _MISSING), path[1:]


def compares(found: object, op: str, value: Scalar) -> bool:
    """Reports whether a JSON value and a scalar satisfy an operator.

    Values of two kinds are never equal, so that != holds for them; numbers are one kind,
    true and false another. Order is between two numbers or two texts (by code point) only.
    ~ finds a text in a text, or as an element of a list.
    """
    if op == "~":
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list) and any(compares(item, "=", value) for item in found)
    kind = type(found)
    if kind is not type(value) and not (kind in _NUMBERS and type(value) in _NUMBERS):
        return op == "!="
    if op == "=":
        return bool(found == value)
    if op == "!=":
        return bool(found != value)
    return (kind is str or kind in _NUMBERS) and _ORDER[op](found, value)
