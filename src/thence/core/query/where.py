"""The small language for conditions on the content of events.

    payload.amount > 10 and (status = failed or not note ~ "no stock")

A text is parsed once into conditions, which then match events. A text that can't be read raises
InvalidFilter with the column; docs/reference/filters.md describes all details.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any, Literal, NoReturn

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


class Comparison(msgspec.Struct, frozen=True):
    """One `path op value`: `op` is one of = != < <= > >= ~, `value` a JSON scalar.

    A path holds names, and integers where it takes an element of a list. Its first name is
    a word that all hosts share (stream, subject, actor, payload), else a member of the line,
    else a name in the payload.
    """

    path: tuple[str | int, ...]
    op: str
    value: Scalar

    def matches(self, event: Event) -> bool:
        """Reports whether the value at the path exists and satisfies the comparison."""
        value, depth = _reached(event, self.path)
        return depth == len(self.path) and compares(value, self.op, self.value)

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

    def comparisons(self) -> "Iterator[Comparison]":
        """Yields this comparison."""
        yield self


class Combination(msgspec.Struct, frozen=True):
    """Conditions joined by "and" or "or", or a single one that "not" reverses."""

    op: Literal["and", "or", "not"]
    conditions: "tuple[Condition, ...]"

    def matches(self, event: Event) -> bool:
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


_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
# what other languages take for one of these
_UNCLEAR = frozenset((*_LITERALS, "none", "nil", "undefined"))
_BLANK = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"""[^ \t\r\n."\[\](),=!<>~]+""")
_INDEX = re.compile(r"\[(-?[0-9]{1,9})\]")
_SIGNS = re.compile(r"[=!<>~]+")
_KEYWORD = re.compile(r"(?:and|or|not)(?=[ \t\r\n()]|$)")
_WORD = re.compile(r'[^ \t\r\n"]+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_OTHER_QUOTES = "'`´‘’“”„«»"
_SHOWN_CHARACTERS_MAX = 40
_EXAMPLE = 'write such as: amount >= 12 and not (note ~ "no stock" or actor = ada)'


def parse(text: str) -> tuple[Condition, ...]:
    """Parses conditions, all of which must hold; raises InvalidFilter with the column.

    `not` binds more than `and`, and `and` more than `or`.
    """
    parser = _Parser(text)
    if len(text) > WHERE_CHARACTERS_MAX:
        parser.refuse(
            f"it is longer than {WHERE_CHARACTERS_MAX:,} characters", WHERE_CHARACTERS_MAX
        )
    condition = parser.joined("or")
    if not parser.next_is(""):
        parser.refuse_rest()
    if isinstance(condition, Combination) and condition.op == "and":
        return condition.conditions
    return (condition,)


class _Parser:
    """One pass over a text; `at` is the present offset, `depth` that of parentheses and `not`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.comparisons = 0

    def joined(self, op: Literal["and", "or"]) -> Condition:
        """Reads conditions joined by a word; those joined by `or` are joined by `and` inside."""
        conditions: list[Condition] = []
        while not conditions or self.takes(op):
            conditions.append(self.joined("and") if op == "or" else self.negated())
        return conditions[0] if len(conditions) == 1 else Combination(op, tuple(conditions))

    def negated(self) -> Condition:
        opening = self.skipped()
        if self.takes("not"):
            self.descend(opening)
            condition: Condition = Combination("not", (self.negated(),))
        elif self.next_is("("):
            self.descend(opening)
            self.at += 1
            condition = self.joined("or")
            if self.next_is(""):
                self.refuse("this parenthesis is never closed", opening)
            if not self.next_is(")"):
                self.refuse_rest()
            self.at += 1
        else:
            return self.comparison()
        self.depth -= 1
        return condition

    def descend(self, at: int) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.refuse(f"more than {DEPTH_MAX} parentheses or `not` are in one another", at)

    def comparison(self) -> Comparison:
        self.comparisons += 1
        if self.comparisons > COMPARISONS_MAX:
            self.refuse(f"there are more than {COMPARISONS_MAX} comparisons")
        if self.next_is("") or self.keyword():
            self.refuse("a comparison is missing here")
        path: list[str | int] = [self.name()]
        while self.text[self.at : self.at + 1] in (".", "["):
            if len(path) == PATH_NAMES_MAX:
                self.refuse(f"the path has more than {PATH_NAMES_MAX} names")
            if index := _INDEX.match(self.text, self.at):
                path.append(int(index[1]))
                self.at = index.end()
            elif self.text[self.at] == "[":
                self.refuse("a bracket holds the number of an element, as [0] or [-1]")
            else:
                self.at += 1
                path.append(self.name())
        match = _SIGNS.match(self.text, self.skipped())
        if match is None or match[0] not in OPERATORS:
            self.refuse(f"one of {' '.join(OPERATORS)} is missing here")
        self.at = match.end()
        return Comparison(tuple(path), match[0], self.value(match[0]))

    def name(self) -> str:
        if self.text.startswith('"', self.at):
            return self.quoted()
        match = _NAME.match(self.text, self.at)
        if match is None:
            self.refuse("a name is missing here")
        self.check_bare(match[0])
        self.at = match.end()
        return match[0]

    def value(self, op: str) -> Scalar:
        if self.next_is('"'):
            text = self.quoted()
            if self.text[self.at : self.at + 1] not in ("", " ", "\t", "\r", "\n", ")"):
                self.refuse("a space is missing behind the quote")
            return text
        word = self.word()
        if not word or word[0] == "(" or self.keyword():
            self.refuse("a value is missing here")
        self.check_bare(word)
        value = word if op == "~" else self.bare_value(word)
        self.at += len(word)
        if self.text.startswith('"', self.at):
            self.refuse("a quote begins inside a word")
        return value

    def bare_value(self, word: str) -> Scalar:
        """Reads a word without quotes: a number, true, false, null, else a text.

        A word that another language takes for one of these is refused: it has to be in quotes.
        """
        if word in _LITERALS:
            return _LITERALS[word]
        if number := _NUMBER.fullmatch(word):
            value = float(word) if number["rest"] else int(word[: len(str(INT_MIN)) + 1])
            if not isfinite(value) or (isinstance(value, int) and not INT_MIN <= value <= INT_MAX):
                self.refuse("no number is so large")
            return value
        if word.lower() in _UNCLEAR or _is_number(word):
            self.refuse(f"{word[:_SHOWN_CHARACTERS_MAX]!r} is a text only in double quotes")
        return word

    def quoted(self) -> str:
        match = _QUOTED.match(self.text, self.at)
        if match is None:
            self.refuse("this quote is never closed, or its content is not a JSON string")
        import json

        value = str(json.loads(match[0], strict=False))
        if not is_utf8(value):
            self.refuse("a lone surrogate is not a character")
        self.at = match.end()
        return value

    def check_bare(self, word: str) -> None:
        """Raises for a word that has quotes of another kind, or a character that can't be seen."""
        for place, character in enumerate(word):
            if not character.isprintable() or (not place and character in _OTHER_QUOTES):
                self.refuse(f"{character!r} needs to be in double quotes", self.at + place)

    def word(self) -> str:
        """Returns the next word; a parenthesis that closes none of its own ends it."""
        match = _WORD.match(self.text, self.skipped())
        word = match[0] if match else ""
        open_count = 0
        for place, character in enumerate(word):
            open_count += (character == "(") - (character == ")")
            if open_count < 0:
                return word[:place]
        return word

    def keyword(self) -> str:
        match = _KEYWORD.match(self.text, self.at)
        return match[0] if match else ""

    def takes(self, keyword: str) -> bool:
        """Steps over a keyword if it comes next."""
        self.skipped()
        is_next = self.keyword() == keyword
        self.at += len(keyword) if is_next else 0
        return is_next

    def next_is(self, character: str) -> bool:
        """Reports whether a character comes next behind blanks, the end for an empty one."""
        return self.text[self.skipped() :][:1] == character

    def skipped(self) -> int:
        """Steps over blanks and returns the offset behind them."""
        match = _BLANK.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.at

    def refuse_rest(self) -> NoReturn:
        rest = self.text[self.at : self.at + _SHOWN_CHARACTERS_MAX].split()[0]
        self.refuse(f"{rest!r} joins nothing: `and`, `or` or the end is missing here")

    def refuse(self, cause: str, at: int | None = None) -> NoReturn:
        raise InvalidFilter(
            "could not read the filter's",
            key="where",
            column=(self.at if at is None else at) + 1,
            cause=cause,
            hint=_EXAMPLE,
        )


def _is_number(word: str) -> bool:
    """Reports whether Python reads a word as a number, which JSON may not."""
    try:
        float(word)
    except ValueError:
        return False
    return True
