"""The small language for conditions on the content of events.

    payload.amount > 10 and (status = failed or not note ~ "no stock")

A text is parsed once into conditions, which then match events. A text that can't be read raises
InvalidFilter with the column; docs/reference/filters.md describes all details.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any, Literal, NoReturn, Protocol

import msgspec

from thence.core.bodies import BODIES_KEY, BodyMissing
from thence.core.event import Event
from thence.core.json_values import INT_MAX, INT_MIN, is_utf8
from thence.errors import InvalidFilter

WHERE_CHARACTERS_MAX = 10_000
COMPARISONS_MAX = 100
PATH_NAMES_MAX = 64
DEPTH_MAX = 64

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

    @property
    def cut_payload(self) -> Mapping[str, Any]:
        """The event's own content, where a large value may stand cut."""


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
        value, rest = _first(event, self.path)
        for part in rest:
            if isinstance(part, str):
                if not isinstance(value, dict) or part not in value:
                    return False
                value = value[part]
            elif isinstance(value, list) and -len(value) <= part < len(value):
                value = value[part]
            else:
                return False
        return value is not _MISSING and compares(value, self.op, self.value)

    def reaches(self, event: FilteredEvent) -> tuple[int, Collection[str]]:
        """Returns how many parts of the path an event has, and the names at the next level.

        The names are those beside the first missing part, and one level below a missing first
        part; none where no part is missing.
        """
        value, rest = _first(event, self.path)
        if value is _MISSING:
            inner = (
                f"{key}.{name}"
                for key, inside in _payload(event).items()
                if isinstance(inside, dict)
                for name in inside
            )
            return 0, (*_WORDS, *event.members, *_payload(event), *inner)
        for depth, part in enumerate(rest, len(self.path) - len(rest)):
            if isinstance(part, int):
                elements = value if isinstance(value, list) else ()
                value = elements[part] if -len(elements) <= part < len(elements) else None
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                return depth, tuple(value) if isinstance(value, dict) else ()
        return len(self.path), ()

    def needles(self) -> Iterator[bytes]:
        """Yields the bytes that every matching line without escapes must contain."""
        word, *rest = self.path
        if word in _COMPOSED:
            return
        path = rest if word == "payload" else self.path
        names = [name for name in path if isinstance(name, str)]
        if names:
            yield f'"{names[-1]}"'.encode()
        if self.op in ("=", "~") and isinstance(self.value, str):
            yield self.value.encode()

    def comparisons(self) -> "Iterator[Comparison]":
        """Yields this comparison."""
        yield self


class Combination(msgspec.Struct, frozen=True):
    """Conditions joined by "and" or "or", or a single one that "not" reverses."""

    op: Literal["and", "or", "not"]
    conditions: "tuple[Condition, ...]"

    def matches(self, event: FilteredEvent) -> bool:
        """Reports whether all conditions hold, or any of them, or the single one doesn't."""
        if self.op == "not":
            return not self.conditions[0].matches(event)
        join = all if self.op == "and" else any
        return join(condition.matches(event) for condition in self.conditions)

    def needles(self) -> Iterator[bytes]:
        """Yields the bytes that every matching line must contain: those of joint conditions."""
        for condition in self.conditions if self.op == "and" else ():
            yield from condition.needles()

    def comparisons(self) -> Iterator[Comparison]:
        """Yields the comparisons in it, from left to right."""
        for condition in self.conditions:
            yield from condition.comparisons()


Condition = Comparison | Combination

_MISSING = object()
# a host may compose these from several members
_COMPOSED = ("actor", "subject", "stream")
_WORDS = (*_COMPOSED, "payload")


def _first(
    event: FilteredEvent, path: tuple[str | int, ...]
) -> tuple[object, tuple[str | int, ...]]:
    """Returns the value of the first name of a path, with the rest of the path."""
    name = str(path[0])
    if name == "payload":
        return _payload(event), path[1:]
    if name in _COMPOSED:
        word = getattr(event, name)
        return (_MISSING if word is None else word), path[1:]
    members = event.members
    if name in members:
        is_cut = name == "details" and BODIES_KEY in members
        return (_payload(event) if is_cut else members[name]), path[1:]
    return _payload(event).get(name, _MISSING), path[1:]


def _payload(event: FilteredEvent) -> Mapping[str, Any]:
    """Returns the payload; of a large value that can't be read its beginning counts."""
    try:
        return event.payload
    except BodyMissing:
        assert isinstance(event, Event)
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


# operators of other languages, with those of this one
_MEANT = {
    "==": "=", "===": "=", "<>": "!=", "!==": "!=", "=<": "<=", "=>": ">=", "=~": "~",
    "~=": "~", "!": "!=", "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "is": "=", "equals": "=", "contains": "~", "like": "~", "matches": "~", "in": "~",
}  # fmt: skip
_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_NEAR_LITERALS = {"none": "null", "nil": "null", "undefined": "null"}

_BEHIND_QUOTE = ("", " ", "\t", "\r", "\n", ")")
_BLANK = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"""[^ \t\r\n."\[\](),=!<>~]+""")
_INDEX = re.compile(r"\[(-?[0-9]{1,9})\]")
_SIGNS = re.compile(r"[=!<>~]+")
_KEYWORD = re.compile(r"(?:and|or|not)(?=[ \t\r\n()]|$)")
_WORD = re.compile(r'[^ \t\r\n"]+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_OTHER_QUOTES = "'`´‘’“”„«»"


def parse(text: str) -> tuple[Condition, ...]:
    """Parses conditions, all of which must hold; raises InvalidFilter with the column.

    `not` binds more than `and`, and `and` more than `or`.
    """
    if len(text) > WHERE_CHARACTERS_MAX:
        _refuse(WHERE_CHARACTERS_MAX, f"it is longer than {WHERE_CHARACTERS_MAX:,} characters")
    return _Parser(text).conditions()


class _Parser:
    """One pass over a text; `at` is the present offset, `depth` that of parentheses and `not`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.comparisons = 0

    def conditions(self) -> tuple[Condition, ...]:
        condition = self.joined("or")
        if not self.is_at_end():
            self.refuse_rest()
        if isinstance(condition, Combination) and condition.op == "and":
            return condition.conditions
        return (condition,)

    def joined(self, op: Literal["and", "or"]) -> Condition:
        """Reads conditions joined by a word; those joined by `or` are joined by `and` inside."""
        conditions = [self.operand(op)]
        while self.takes(op):
            conditions.append(self.operand(op))
        return conditions[0] if len(conditions) == 1 else Combination(op, tuple(conditions))

    def operand(self, op: Literal["and", "or"]) -> Condition:
        return self.joined("and") if op == "or" else self.negated()

    def negated(self) -> Condition:
        self.skip()
        begin = self.at
        if self.takes("not"):
            self.descend(begin)
            condition: Condition = Combination("not", (self.negated(),))
        elif self.text.startswith("(", self.at):
            self.descend(self.at)
            opening = self.at
            self.at += 1
            condition = self.joined("or")
            if self.is_at_end():
                _refuse(opening, "this parenthesis is never closed", "close it with )")
            if self.text[self.at] != ")":
                self.refuse_rest()
            self.at += 1
        else:
            return self.comparison()
        self.depth -= 1
        return condition

    def descend(self, at: int) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            _refuse(at, f"more than {DEPTH_MAX} parentheses or `not` stand in one another")

    def takes(self, keyword: str) -> bool:
        """Steps over a keyword if it comes next."""
        self.skip()
        is_next = self.keyword() == keyword
        self.at += len(keyword) if is_next else 0
        return is_next

    def keyword(self) -> str:
        match = _KEYWORD.match(self.text, self.at)
        return match[0] if match else ""

    def refuse_rest(self) -> NoReturn:
        if self.text[self.at] == ")":
            _refuse(self.at, "this parenthesis closes nothing", "put a text with ) in quotes")
        word = self.word()
        hint = _JOINED_BY.get(word.lower(), _JOIN)
        _refuse(self.at, f"{_shown(word) if word else self.here()} joins nothing", hint)

    def comparison(self) -> Comparison:
        if self.comparisons == COMPARISONS_MAX:
            _refuse(self.at, f"there are more than {COMPARISONS_MAX} comparisons")
        self.comparisons += 1
        path = self.path()
        op = self.operator(path)
        return Comparison(path, op, self.value(op))

    def path(self) -> tuple[str | int, ...]:
        if self.is_at_end():
            _refuse(self.at, "a comparison is missing here", _EXAMPLE)
        keyword = self.keyword()
        if keyword:
            hint = f'put a comparison before it; a name that is "{keyword}" stands in quotes'
            _refuse(self.at, f"a comparison is missing before '{keyword}'", hint)
        parts: list[str | int] = [self.name()]
        while self.text[self.at : self.at + 1] in (".", "["):
            if len(parts) == PATH_NAMES_MAX:
                _refuse(self.at, f"the path has more than {PATH_NAMES_MAX} names")
            if self.text[self.at] == ".":
                self.at += 1
                parts.append(self.name())
            else:
                parts.append(self.index())
        return tuple(parts)

    def name(self) -> str:
        if self.text.startswith('"', self.at):
            return self.quoted()
        match = _NAME.match(self.text, self.at)
        if match is None:
            hint = _NOT if self.here() == "'!'" else _EXAMPLE
            _refuse(self.at, f"{self.here()} begins no name", hint)
        self.check_bare(match[0])
        self.at = match.end()
        return match[0]

    def index(self) -> int:
        match = _INDEX.match(self.text, self.at)
        if match is None:
            hint = "write [0] for the first element, [-1] for the last"
            _refuse(self.at, "a bracket holds the number of an element", hint)
        self.at = match.end()
        return int(match[1])

    def operator(self, path: tuple[str | int, ...]) -> str:
        self.skip()
        match = _SIGNS.match(self.text, self.at)
        if match is None:
            word = self.word()
            if not word:
                _refuse(self.at, "an operator is missing here", _KNOWN_OPERATORS)
            is_not = len(path) == 1 and str(path[0]).lower() == "not"
            hint = _NOT if is_not else _nearest_operator(word)
            _refuse(self.at, f"{_shown(word)} is no operator", hint)
        if match[0] not in OPERATORS:
            _refuse(self.at, f"{_shown(match[0])} is no operator", _nearest_operator(match[0]))
        self.at = match.end()
        return match[0]

    def value(self, op: str) -> Scalar:
        self.skip()
        if self.text.startswith('"', self.at):
            value: Scalar = self.quoted()
            if self.text[self.at : self.at + 1] not in _BEHIND_QUOTE:
                _refuse(self.at, f"{self.here()} follows the quote", "leave a space between them")
            return value
        word = self.word()
        if not word or self.keyword():
            _refuse(self.at, "a value is missing here", 'an empty text is written ""')
        if word[0] == "(":
            _refuse(self.at, "a parenthesis begins no value", 'a text with ( stands between two "')
        self.check_bare(word)
        value = word if op == "~" else self.bare_value(word)
        self.at += len(word)
        if self.text.startswith('"', self.at):
            _refuse(self.at, "a quote begins inside a word", "put the whole text in quotes")
        return value

    def bare_value(self, word: str) -> Scalar:
        """Reads a word without quotes: a number, true, false, null, else a text."""
        if word in _LITERALS:
            return _LITERALS[word]
        number = _NUMBER.fullmatch(word)
        if number is not None:
            return self.number(word, is_integer=not number["rest"])
        lowered = word.lower()
        meant = _NEAR_LITERALS.get(lowered, lowered)
        if meant in _LITERALS:
            _refuse(self.at, f"{_shown(word)} is no value", _or_text(meant, word))
        if _is_number_elsewhere(word):
            hint = f'write a number as in JSON, such as 0.5 or 12; the text is written "{word}"'
            _refuse(self.at, f"{_shown(word)} is no number of JSON", hint)
        return word

    def number(self, word: str, *, is_integer: bool) -> int | float:
        if is_integer:
            value = int(word) if len(word) <= len(str(INT_MIN)) else INT_MAX + 1
            if not INT_MIN <= value <= INT_MAX:
                _refuse(self.at, f"{_shown(word)} needs more than 64 bits", _or_text("", word))
            return value
        real = float(word)
        if not isfinite(real):
            _refuse(self.at, f"{_shown(word)} is larger than any number", _or_text("", word))
        return real

    def quoted(self) -> str:
        begin = self.at
        match = _QUOTED.match(self.text, begin)
        assert match is not None
        end = match.end()
        if end == len(self.text):
            _refuse(begin, "this quote is never closed", 'end the text with "')
        if self.text[end] != '"':
            hint = r"a backslash is written \\, a quote \", a line break \n, others as \u001b"
            _refuse(end, f"{_shown(self.text[end : end + 2])} is no escape", hint)
        import json

        value = json.loads(self.text[begin : end + 1], strict=False)
        assert isinstance(value, str)
        if not is_utf8(value):
            _refuse(begin, "a lone surrogate is no character", "leave it out")
        self.at = end + 1
        return value

    def check_bare(self, word: str) -> None:
        """Raises for a word that needs quotes, or that has quotes of another kind."""
        if word[0] in _OTHER_QUOTES:
            _refuse(self.at, f"{word[0]} is no quote here", 'a text stands between two "')
        if not word.isprintable():
            place = next(i for i, character in enumerate(word) if not character.isprintable())
            cause = f"the character {_shown(word[place])} can't be seen"
            _refuse(self.at + place, cause, 'put the text in quotes, such as "\\u00a0"')

    def word(self) -> str:
        """Returns the next word; a parenthesis that closes none of its own ends it."""
        self.skip()
        match = _WORD.match(self.text, self.at)
        word = match[0] if match else ""
        open_count = 0
        for place, character in enumerate(word):
            open_count += (character == "(") - (character == ")")
            if open_count < 0:
                return word[:place]
        return word

    def here(self) -> str:
        return _shown(self.text[self.at]) if self.at < len(self.text) else "the end"

    def skip(self) -> None:
        match = _BLANK.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def is_at_end(self) -> bool:
        self.skip()
        return self.at == len(self.text)


_EXAMPLE = 'write such as: payload.amount > 10 and note ~ "no stock"'
_JOIN = "the nearest known word is and"
_JOINED_BY = dict.fromkeys(("or", "|", "||"), "the nearest known word is or")
_NOT = "the nearest known word is not"
_KNOWN_OPERATORS = f"the operators are {' '.join(OPERATORS)}"


def _nearest_operator(word: str) -> str:
    meant = _MEANT.get(word.lower())
    return f"the nearest known word is {meant}" if meant else _KNOWN_OPERATORS


def _or_text(meant: str, word: str) -> str:
    quoted = f'the text is written "{_clipped(word)}"'
    return f"the nearest known word is {meant}; {quoted}" if meant else quoted


def _is_number_elsewhere(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(_clipped(text))


def _clipped(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _refuse(at: int, cause: str, hint: str = "") -> NoReturn:
    raise InvalidFilter(
        "could not read the filter's",
        key="where",
        column=at + 1,
        cause=cause,
        hint=hint or _EXAMPLE,
    )
