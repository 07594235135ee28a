"""Comparisons with the content of events, as texts: `payload.amount > 10 and note ~ "no stock"`.

A text is parsed once into comparisons, which then match events; all must hold. A text that can't
be read raises InvalidFilter with the column; docs/reference/filters.md describes all details.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from operator import ge, gt, le, lt
from typing import Any

import msgspec

from thence.core.bodies import BODIES_KEY
from thence.core.event import Event
from thence.core.json_values import within
from thence.core.nearest import nearest
from thence.errors import InvalidFilter

WHERE_CHARACTERS_MAX = 10_000
PATH_NAMES_MAX = 64
NEAREST_MAX = 3
_NAMES_MAX = 5_000

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

# what an error says of each part of a filter; a command names the option
UNREADABLE = "could not read the filter's"
_NUMBERS = frozenset((int, float))

Scalar = str | int | float | bool | None


class Comparison(msgspec.Struct, frozen=True):
    """One `path op value`: `op` is one of = != < <= > >= ~, `value` a JSON scalar.

    The first name of a path is a word that all hosts share (stream, subject, actor, payload), else
    a member of the line, else a name in the payload. Without an `op` any value at the path
    satisfies it. `is_any` means that the values in a map or list at the path are compared, and one
    has to satisfy it.
    """

    path: tuple[str, ...]
    op: str = ""
    value: Scalar = None
    is_any: bool = False

    def matches(self, event: Event) -> bool:
        """Reports whether a value at the path exists and satisfies the comparison."""
        return self.holds(_reached(event, self.path))

    def holds(self, value: object) -> bool:
        """Reports whether the value at the path satisfies the comparison; UNSET does not."""
        if value is msgspec.UNSET:
            return False
        values: Iterable[object] = (value,)
        if self.is_any and isinstance(value, Mapping):
            values = value.values()
        elif self.is_any:
            values = value if isinstance(value, list) else ()
        return any(not self.op or compares(one, self.op, self.value) for one in values)

    def needles(self) -> Iterator[bytes]:
        """Yields the bytes that every matching line without escapes must contain."""
        word, *rest = self.path
        if word in _COMPOSED:
            return
        if rest or word != "payload":
            yield f'{self.path[-1]}"'.encode()
        if self.op in ("=", "~") and isinstance(self.value, str):
            yield self.value.encode()


# a host may compose these from several members
_COMPOSED = ("actor", "subject", "stream")


def _reached(event: Event, path: tuple[str, ...]) -> object:
    """Returns the value that a path leads to, UNSET where an event has none."""
    first = path[0]
    value: Any = event.readable_payload[0]
    depth = 0
    if first in _COMPOSED:
        value = getattr(event, first)
        if value is None:
            return msgspec.UNSET
        depth = 1
    elif first == "payload":
        depth = 1
    elif first in (members := event.members):
        # a large value that the line holds cut is read whole
        value = value if first == "details" and BODIES_KEY in members else members[first]
        depth = 1
    return within(value, path[depth:])


def compares(stored: object, op: str, value: Scalar) -> bool:
    """Reports whether a JSON value and a scalar satisfy an operator.

    Values of two kinds are never equal, so that != holds for them; numbers are one kind,
    true and false another. Order is between two numbers or two texts (by code point) only.
    ~ finds a text in a text, or as an element of a list.
    """
    if op == "~":
        if isinstance(stored, str):
            return isinstance(value, str) and value in stored
        return isinstance(stored, list) and any(compares(item, "=", value) for item in stored)
    kind = type(stored)
    if kind is not type(value) and not (kind in _NUMBERS and type(value) in _NUMBERS):
        return op == "!="
    if op == "=":
        return bool(stored == value)
    if op == "!=":
        return bool(stored != value)
    return (kind is str or kind in _NUMBERS) and _ORDER[op](stored, value)


def unknown_key(where: Sequence[Comparison], events: Sequence[Event], has_more: bool) -> str | None:
    """Returns a message about the first key that none of the events has, with the nearest names.

    `has_more` means that there are earlier events.
    """
    for comparison in where:
        path = comparison.path
        if any(_reached(event, path) is not msgspec.UNSET for event in events):
            continue
        key = ".".join(path)
        before = "payload." if path[0] == "payload" else ""
        unknown, names = key.removeprefix(before), set[str]()
        for event in events:
            mapping = event.readable_payload[0]
            if not before:
                hidden = dict.fromkeys((*_COMPOSED, "payload", event.vocabulary.payload_key))
                mapping = {**mapping, **event.members, **hidden}
            names.update(islice(_names(mapping), _NAMES_MAX))
        others = sorted(names)[:_NAMES_MAX]
        # first those of the same name one level below
        near = [name for name in others if name.endswith(f".{unknown}")]
        near += nearest(unknown, others, NEAREST_MAX)
        near += [name for name in others if unknown.lower() in name.lower()]
        near = [before + name for name in dict.fromkeys(near)][:NEAREST_MAX]
        has = f"none of the last {len(events):,} events has" if has_more else "no event has"
        return f"{has} a key `{key}`" + (f"; nearest: {', '.join(near)}" if near else "")
    return None


def _names(mapping: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yields the keys of a map and of all maps in it, as paths."""
    for key, value in mapping.items():
        yield before + key
        if isinstance(value, Mapping):
            yield from _names(value, f"{before}{key}.")


_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_NAME = rf'(?:{_QUOTED}|[^\s."\[\](),=!<>~]++)'
_OPERATOR = r"(?P<op>[!<>]?=|[<>~])(?![=!<>~])"
_COMPARISON = re.compile(
    rf"(?P<path>{_NAME}(?:\.(?!\*\.){_NAME})*+)"
    rf'(?:\s*+{_OPERATOR}\s*+(?P<value>{_QUOTED}|[^\s"]++)(?!\S))?\s*+'
)
_PARTS = re.compile(rf"\.?({_NAME})")
_AND = re.compile(r"and(?!\S)\s*+")
_SHOWN_CHARACTERS_MAX = 40
# what other languages take for one of JSON's words, or for a quote
_UNCLEAR = frozenset(("true", "false", "null", "none", "nil", "undefined"))
_OTHER_QUOTES = "'`´‘’“”„«»"
_HINT = (
    'join comparisons by and: amount >= 12 and note ~ "no stock"; for alternatives name several'
    " types, actors or subjects"
)
_decode_scalar = msgspec.json.Decoder(str | int | float | bool | None).decode
_decode_text = msgspec.json.Decoder(str).decode


def parse(text: str) -> tuple[Comparison, ...]:
    """Parses comparisons joined by `and`; raises InvalidFilter with the column."""
    if len(text) > WHERE_CHARACTERS_MAX:
        cause = f"it is longer than {WHERE_CHARACTERS_MAX:,} characters"
        raise _refused(WHERE_CHARACTERS_MAX, cause)
    comparisons: list[Comparison] = []
    at = len(text) - len(text.lstrip())
    while match := _COMPARISON.match(text, at):
        parts = _PARTS.findall(match["path"])
        if len(parts) > PATH_NAMES_MAX:
            raise _refused(at, f"the path has more than {PATH_NAMES_MAX} names")
        is_any = len(parts) > 1 and parts[-1] == "*"
        path = tuple([_text(name, at) for name in (parts[:-1] if is_any else parts)])
        value: Scalar = None
        if op := match["op"]:
            word, at = match["value"], match.start("value")
            value = _text(word, at)
            if op != "~" and value is word:
                # what a word without quotes means: a number, true, false, null, else a text
                is_unclear = word.lower() in _UNCLEAR or word[0] in _OTHER_QUOTES
                with suppress(ValueError):
                    float(word)
                    is_unclear = True
                with suppress(ValueError):
                    value, is_unclear = _decode_scalar(word), False
                if is_unclear:  # another language takes it for one of these
                    cause = f"{word[:_SHOWN_CHARACTERS_MAX]!r} is text only in double quotes"
                    raise _refused(at, cause)
        comparisons.append(Comparison(path, op or "", value, is_any))
        at = match.end()
        joint = _AND.match(text, at)
        if joint is None:
            if at == len(text):
                return tuple(comparisons)
            lacking = "`and` or the end" if match["op"] else f"one of {' '.join(OPERATORS)}"
            if not match["op"] and (operator := re.compile(_OPERATOR).match(text, at)):
                at, lacking = operator.end(), "a value, as a word or in double quotes,"
            raise _refused(at, f"{lacking} is missing here")
        at = joint.end()
    raise _refused(at, "a name, as a word or in double quotes, is missing here")


def _text(word: str, at: int) -> str:
    """Returns the text of a name or a value, which may be in double quotes."""
    try:
        return _decode_text(word) if word.startswith('"') else word
    except ValueError as error:
        raise _refused(at, f"{word[:_SHOWN_CHARACTERS_MAX]!r} is not a JSON string") from error


def _refused(at: int, cause: str) -> InvalidFilter:
    return InvalidFilter(UNREADABLE, key="where", column=at + 1, cause=cause, hint=_HINT)
