"""Comparisons with the content of events, as texts: `payload.amount > 10 and note ~ "no stock"`.

A text is parsed once into comparisons, which then match events; all must hold. A text that can't
be read raises InvalidFilter with the column; docs/reference/filters.md describes all details.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any, NoReturn

import msgspec

from thence.core.bodies import BODIES_KEY, BodyMissing
from thence.core.event import Event
from thence.core.json_values import INT_MAX, INT_MIN, is_utf8
from thence.core.nearest import nearest
from thence.errors import InvalidFilter

WHERE_CHARACTERS_MAX = 10_000
PATH_NAMES_MAX = 64
NEAREST_MAX = 3
_NAMES_MAX = 5_000

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

_NUMBERS = frozenset((int, float))

Scalar = str | int | float | bool | None


class Comparison(msgspec.Struct, frozen=True):
    """One `path op value`: `op` is one of = != < <= > >= ~, `value` a JSON scalar.

    A path holds names, and integers where it takes an element of a list. Its first name is
    a word that all hosts share (stream, subject, actor, payload), else a member of the line,
    else a name in the payload. Without an `op` any value at the path satisfies it. `is_any` means
    that the values in a map or list at the path are compared, and one has to satisfy it.
    """

    path: tuple[str | int, ...]
    op: str = ""
    value: Scalar = None
    is_any: bool = False

    def matches(self, event: Event) -> bool:
        """Reports whether a value at the path exists and satisfies the comparison."""
        value, depth = _reached(event, self.path)
        if depth < len(self.path):
            return False
        values: Iterable[object] = (value,)
        if self.is_any and isinstance(value, Mapping):
            values = value.values()
        elif self.is_any:
            values = value if isinstance(value, list) else ()
        return any(not self.op or compares(one, self.op, self.value) for one in values)

    def reaches(self, event: Event) -> tuple[int, Collection[str]]:
        """Returns how many parts of the path an event has, and the names at the next level.

        The names are those beside the first missing part, and one level below a missing first
        part; none where no part is missing.
        """
        value, depth = _reached(event, self.path)
        if depth == len(self.path) or isinstance(self.path[depth], int):
            return len(self.path), ()
        if depth:
            return depth, tuple(value) if isinstance(value, Mapping) else ()
        payload = _payload(event)
        inner = (
            f"{key}.{name}"
            for key, inside in payload.items()
            if isinstance(inside, dict)
            for name in inside
        )
        return 0, (*_COMPOSED, "payload", *event.members, *payload, *inner)

    def needles(self) -> Iterator[bytes]:
        """Yields the bytes that every matching line without escapes must contain."""
        word, *rest = self.path
        if word in _COMPOSED:
            return
        path = rest if word == "payload" else self.path
        names = [name for name in path if isinstance(name, str)]
        if names:
            yield f'{names[-1]}"'.encode()
        if self.op in ("=", "~") and isinstance(self.value, str):
            yield self.value.encode()


# a host may compose these from several members
_COMPOSED = ("actor", "subject", "stream")


def _reached(event: Event, path: tuple[str | int, ...]) -> tuple[object, int]:
    """Returns the value that a path leads to, and how many of its parts lead there.

    Of names that follow each other, as many as it takes to be a key of the map are one name with
    dots: attributes.gen_ai.system finds the attribute `gen_ai.system`.
    """
    first = str(path[0])
    value: Any = _payload(event)
    depth = 0
    if first in _COMPOSED:
        value = getattr(event, first)
        if value is None:
            return value, 0
        depth = 1
    elif first == "payload":
        depth = 1
    elif first in (members := event.members):
        # a large value that the line holds cut is read whole
        value = value if first == "details" and BODIES_KEY in members else members[first]
        depth = 1
    while depth < len(path):
        part, end = path[depth], depth + 1
        if isinstance(part, int):
            if not isinstance(value, list) or not -len(value) <= part < len(value):
                break
        elif not isinstance(value, Mapping):
            break
        else:
            while part not in value and end < len(path) and isinstance(path[end], str):
                part, end = f"{part}.{path[end]}", end + 1
            if part not in value:
                break
        value, depth = value[part], end
    return value, depth


def _payload(event: Event) -> Mapping[str, Any]:
    """Returns the payload; of a large value that can't be read its beginning counts."""
    try:
        return event.payload
    except BodyMissing:
        return event.readable_payload[0]


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

    For a path such as payload.amont.cents it names the part up to the unknown name. `has_more`
    means that there are earlier events.
    """
    for comparison in where:
        reached = [comparison.reaches(event) for event in events]
        depth = max(depth for depth, _ in reached)
        if depth == len(comparison.path):
            continue
        names = {name for at, beside in reached if at == depth for name in beside}
        unknown = str(comparison.path[depth])
        others = sorted(names - {unknown})[:_NAMES_MAX]
        # first those of the same name one level below
        near = [name for name in others if name.endswith(f".{unknown}")]
        near += nearest(unknown, others, NEAREST_MAX)
        near += [name for name in others if unknown.lower() in name.lower()]
        before = [str(part) for part in comparison.path[:depth]]
        dotted = [".".join((*before, name)) for name in dict.fromkeys(near)][:NEAREST_MAX]
        has = f"none of the last {len(events):,} events has" if has_more else "no event has"
        hint = f"; nearest: {', '.join(dotted)}" if near else ""
        return f"{has} a key `{'.'.join((*before, unknown))}`{hint}"
    return None


_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
# what other languages take for one of these
_UNCLEAR = frozenset((*_LITERALS, "none", "nil", "undefined"))
_QUOTED = r'"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"'
# other languages have logic here, so its words are a name or a value in double quotes alone
_NO_LOGIC = r"(?!\(|(?:and|or|not)(?![^ \t\r\n()]))"
_BLANK = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(rf'{_QUOTED}|{_NO_LOGIC}[^ \t\r\n."\[\](),=!<>~]+')
_INNER_NAME = re.compile(rf'\.({_QUOTED}|[^ \t\r\n."\[\](),=!<>~]+)|\[(-?[0-9]{{1,9}})\]')
_OPERATOR = re.compile(r"(?:[!<>]?=|[<>~])(?![=!<>~])")
_VALUE = re.compile(rf'(?:{_QUOTED}|{_NO_LOGIC}[^ \t\r\n"]+)(?![^ \t\r\n])')
_AND = re.compile(r"and(?![^ \t\r\n])")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_OTHER_QUOTES = "'`´‘’“”„«»"
_SHOWN_CHARACTERS_MAX = 40
_HINT = (
    'join comparisons by and: amount >= 12 and note ~ "no stock"; for alternatives name several'
    " types, actors or subjects"
)


def parse(text: str) -> tuple[Comparison, ...]:
    """Parses comparisons joined by `and`; raises InvalidFilter with the column."""
    reader = _Reader(text)
    if len(text) > WHERE_CHARACTERS_MAX:
        reader.at = WHERE_CHARACTERS_MAX
        reader.refuse(f"it is longer than {WHERE_CHARACTERS_MAX:,} characters")
    comparisons = [reader.comparison()]
    while not reader.is_at_end():
        reader.at = reader.take(_AND, "`and` or the end").end()
        comparisons.append(reader.comparison())
    return tuple(comparisons)


class _Reader:
    """One pass over a text; `at` is the present offset."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def comparison(self) -> Comparison:
        match = self.take(_NAME, "a name, as a word or in double quotes,")
        path: list[str | int] = [self.word(match[0])]
        self.at = match.end()
        is_any = False
        while not is_any and (inner := _INNER_NAME.match(self.text, self.at)):
            if len(path) == PATH_NAMES_MAX:
                self.refuse(f"the path has more than {PATH_NAMES_MAX} names")
            is_any = inner[1] == "*"
            if not is_any:
                path.append(int(inner[2]) if inner[2] else self.word(inner[1]))
            self.at = inner.end()
        if self.is_at_end() or _AND.match(self.text, self.at):
            return Comparison(tuple(path), is_any=is_any)
        match = self.take(_OPERATOR, f"one of {' '.join(OPERATORS)}")
        op, self.at = match[0], match.end()
        match = self.take(_VALUE, "a value, as a word or in double quotes,")
        value: Scalar = self.word(match[0])
        if op != "~" and not match[0].startswith('"'):
            try:
                value = _scalar(match[0])
            except ValueError:
                self.refuse_bare(match[0])
        self.at = match.end()
        return Comparison(tuple(path), op, value, is_any)

    def word(self, written: str) -> str:
        """Returns the text of a name or a value; raises for one that needs double quotes."""
        if written.startswith('"'):
            import json

            text = str(json.loads(written, strict=False))
            if not is_utf8(text):
                self.refuse("a lone surrogate is not a character")
            return text
        if not written.isprintable() or written[0] in _OTHER_QUOTES:
            self.refuse_bare(written)
        return written

    def is_at_end(self) -> bool:
        """Steps over blanks; reports whether nothing is after them."""
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
        return self.at == len(self.text)

    def take(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        """Steps over blanks; returns what a pattern matches after them, which must be there."""
        self.is_at_end()
        match = pattern.match(self.text, self.at)
        return match or self.refuse(f"{what} is missing here")

    def refuse_bare(self, word: str) -> NoReturn:
        self.refuse(f"{word[:_SHOWN_CHARACTERS_MAX]!r} is text only in double quotes")

    def refuse(self, cause: str) -> NoReturn:
        raise InvalidFilter(
            "could not read the filter's", key="where", column=self.at + 1, cause=cause, hint=_HINT
        )


def _scalar(word: str) -> Scalar:
    """Returns what a word without quotes means: a number, true, false, null, else a text.

    Raises ValueError for a word that another language takes for one of these.
    """
    if word in _LITERALS:
        return _LITERALS[word]
    try:
        number = float(word)
    except ValueError:
        if word.lower() in _UNCLEAR:
            raise
        return word
    match = _NUMBER.fullmatch(word)
    value = number if match is None or match["rest"] else int(word)
    is_whole = isinstance(value, int)
    if match is None or not isfinite(number) or (is_whole and not INT_MIN <= value <= INT_MAX):
        raise ValueError(word)
    return value
