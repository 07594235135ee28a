"""The small language for conditions on the content of events.

    payload.amount > 10 and status != failed and note ~ "no stock"

A text is parsed once into comparisons (`core.query.comparison`), which then match events. A
text that can't be read raises InvalidFilter with the column; docs/reference/filters.md
describes all details.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import NoReturn

from thence.core.query.comparison import OPERATORS, Comparison, Scalar
from thence.core.values.payload import INT_MAX, INT_MIN, is_utf8
from thence.errors import InvalidFilter

WHERE_CHARACTERS_MAX = 10_000
COMPARISONS_MAX = 100
PATH_NAMES_MAX = 64

# operators of other languages, with those of this one
_MEANT = {
    "==": "=", "===": "=", "<>": "!=", "!==": "!=", "=<": "<=", "=>": ">=", "=~": "~",
    "~=": "~", "!": "!=", "eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "is": "=", "equals": "=", "contains": "~", "like": "~", "matches": "~", "in": "~",
}  # fmt: skip
_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_NEAR_LITERALS = {"none": "null", "nil": "null", "undefined": "null"}

_BLANKS = ("", " ", "\t", "\r", "\n")
_BLANK = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"""[^ \t\r\n."\[\](),=!<>~]+""")
_INDEX = re.compile(r"\[(-?[0-9]{1,9})\]")
_SIGNS = re.compile(r"[=!<>~]+")
_WORD = re.compile(r'[^ \t\r\n"]+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_OTHER_QUOTES = "'`´‘’“”„«»"


def parse(text: str) -> tuple[Comparison, ...]:
    """Parses comparisons joined by `and`; raises InvalidFilter with the column."""
    if len(text) > WHERE_CHARACTERS_MAX:
        _refuse(WHERE_CHARACTERS_MAX, f"it is longer than {WHERE_CHARACTERS_MAX:,} characters")
    return _Parser(text).comparisons()


class _Parser:
    """One pass over a text; `at` is the present offset."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def comparisons(self) -> tuple[Comparison, ...]:
        found = [self.comparison()]
        while not self.is_at_end():
            word = self.word()
            if word != "and":
                hint = f"{_JOIN}{_NO_OR}" if word.lower() in _OR else _JOIN
                _refuse(self.at, f"{_shown(word) if word else self.here()} joins nothing", hint)
            if len(found) == COMPARISONS_MAX:
                _refuse(self.at, f"there are more than {COMPARISONS_MAX} comparisons")
            self.at += len(word)
            found.append(self.comparison())
        return tuple(found)

    def comparison(self) -> Comparison:
        path = self.path()
        op = self.operator()
        return Comparison(path, op, self.value(op))

    def path(self) -> tuple[str | int, ...]:
        if self.is_at_end():
            _refuse(self.at, "a comparison is missing here", _EXAMPLE)
        if self.word() == "and":
            hint = 'put a comparison before it; a name that is "and" stands in quotes'
            _refuse(self.at, "a comparison is missing before 'and'", hint)
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
        found = _NAME.match(self.text, self.at)
        if found is None:
            _refuse(self.at, f"{self.here()} begins no name", _EXAMPLE)
        self.check_bare(found[0])
        self.at = found.end()
        return found[0]

    def index(self) -> int:
        found = _INDEX.match(self.text, self.at)
        if found is None:
            hint = "write [0] for the first element, [-1] for the last"
            _refuse(self.at, "a bracket holds the number of an element", hint)
        self.at = found.end()
        return int(found[1])

    def operator(self) -> str:
        self.skip()
        found = _SIGNS.match(self.text, self.at)
        if found is None:
            word = self.word()
            if not word:
                _refuse(self.at, "an operator is missing here", _KNOWN_OPERATORS)
            _refuse(self.at, f"{_shown(word)} is no operator", _nearest_operator(word))
        if found[0] not in OPERATORS:
            _refuse(self.at, f"{_shown(found[0])} is no operator", _nearest_operator(found[0]))
        self.at = found.end()
        return found[0]

    def value(self, op: str) -> Scalar:
        self.skip()
        if self.text.startswith('"', self.at):
            value: Scalar = self.quoted()
            if self.text[self.at : self.at + 1] not in _BLANKS:
                _refuse(self.at, f"{self.here()} follows the quote", "leave a space between them")
            return value
        word = self.word()
        if word in ("", "and"):
            _refuse(self.at, "a value is missing here", 'an empty text is written ""')
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
        found = _QUOTED.match(self.text, begin)
        assert found is not None
        end = found.end()
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
        self.skip()
        found = _WORD.match(self.text, self.at)
        return "" if found is None else found[0]

    def here(self) -> str:
        return _shown(self.text[self.at]) if self.at < len(self.text) else "the end"

    def skip(self) -> None:
        found = _BLANK.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def is_at_end(self) -> bool:
        self.skip()
        return self.at == len(self.text)


_EXAMPLE = 'write such as: payload.amount > 10 and note ~ "no stock"'
_JOIN = "the nearest known word is and"
_OR = ("or", "|", "||")
_NO_OR = "; there is no or: ask once for each"
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
