"""The rendering as text of events (a line, a page, sentences), tables and bars."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from thence.cli.output import Line, Output, Painted, wrapped
from thence.core.json_values import printable
from thence.core.sentences.events import clipped, short_id
from thence.core.sentences.events import counted as counted

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.vocabulary import Vocabulary


_T = TypeVar("_T")

COLOURS: Mapping[str, str] = {
    "MILESTONE": "blue",
    "DECISION": "cyan",
    "ACTION": "green",
    "STATE": "magenta",
    "DETAIL": "bright_black",
    "SYSTEM": "yellow",
}
# the members of the usage of models, in words
_USAGE: Mapping[str, str] = {
    "failed": "{:,} of them without an answer",
    "unusable": "{:,} with an answer that could not be used",
    "tokens_in": "{:,.0f} tokens in",
    "tokens_out": "{:,.0f} tokens out",
    "tokens_cached": "{:,} tokens cached",
    "without_tokens": "{:,} without a number of tokens",
}
NARROW_COLUMNS = 100
NAMES_SHOWN_MAX = 20
_NAME_COLUMNS_MAX = 18
_TYPE_COLUMNS_MAX = 24
_TYPE_COLUMNS_UNCUT_MAX = 40
_SENTENCE_COLUMNS_MIN = 8
_BAR_COLUMNS = 30
_BAR_NAME_COLUMNS_MAX = 36


def table(
    rows: Sequence[Sequence[str]],
    *,
    indent: str = "",
    most: Mapping[int, int] | None = None,
    right: Collection[int] = (),
    width: int | None = None,
) -> list[str]:
    """Returns rows as lines of columns, each as wide as its longest text; the last is free.

    `most` has the most characters of a column by its place, `right` the places of those that
    end in one line, such as numbers. Each line is cut at `width`, unless it is None.
    """
    most = most or {}
    texts = [
        [
            clipped(text, most[at]) if at in most else text
            for at, text in enumerate(map(printable, row))
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)][:-1]
    lines = []
    for row in texts:
        cells = [
            f"{text:>{columns}}" if at in right else f"{text:{columns}}"
            for at, (text, columns) in enumerate(zip(row, widths, strict=False))
        ]
        text = indent + "  ".join([*cells, row[-1]]).rstrip()
        lines.append(clipped(text, width) if width else text)
    return lines


def failures_text(failures: int, rejected: int) -> str:
    """Returns how many failures there are, with how many actions and moves were refused."""
    return f"{counted(failures, 'failure')}, {rejected:,} rejected"


def usage_text(sums: Mapping[str, Any]) -> str:
    """Returns what calls of models took, in words; "" if nothing is known of it.

    `sums` has members of a run's `usage`. What is 0 is left out, but for calls and a cost.
    """
    texts = [counted(round(sums["calls"]), "call")] if "calls" in sums else []
    texts += [words.format(sums[name]) for name, words in _USAGE.items() if sums.get(name)]
    if sums.get("cost") is not None:
        unpriced = sums.get("without_cost")
        rest = f" ({counted(unpriced, 'answer')} not priced)" if unpriced else ""
        texts.append(f"cost {sums['cost']:.6g}{rest}")
    return ", ".join(texts)


def write_some(
    out: Output,
    items: Sequence[_T],
    most: int,
    noun: str,
    lines: Callable[[_T], Iterable[Line]],
    margin: str = "",
) -> None:
    """Writes the lines of the first items, of all with -v, and how many more there are."""
    some = items if out.is_verbose else items[:most]
    for item in some:
        out.write(*lines(item))
    if len(some) < len(items):
        out.write(f"{margin}{counted(len(items) - len(some), f'more {noun}')}; -v shows all")


def some_lines(out: Output, lines: Sequence[str], most: int, noun: str) -> list[str]:
    """Returns the first lines of an indented list, all with -v, and how many more there are."""
    hidden = 0 if out.is_verbose else max(len(lines) - most, 0)
    rest = [f"  {counted(hidden, f'more {noun}')}; -v shows all"] if hidden else []
    return [*lines[: len(lines) - hidden], *rest]


def bars(
    out: Output,
    numbers: Mapping[str, int],
    courses: Mapping[str, str] | None = None,
    noun: str = "",
) -> list[str]:
    """Returns counts as lines with bars, or with what `courses` draws of each name.

    A name of any length and content takes one line. Of many that `noun` names the first are shown
    without -v.
    """
    most = max(numbers.values(), default=0)
    rows = []
    for name, count in numbers.items():
        bar = "▇" * (max(1, count * _BAR_COLUMNS // most) if count else 0)
        rows.append((name, f"{count:,}", bar if courses is None else courses[name]))
    lines = table(rows, indent="  ", most={0: _BAR_NAME_COLUMNS_MAX}, right=(1,))
    return some_lines(out, lines, NAMES_SHOWN_MAX, noun) if noun else lines


def numbered(sentences: Sequence[str], width: int) -> Iterator[str]:
    """Yields the lines of sentences as numbered paragraphs."""
    digits = len(str(len(sentences)))
    for number, sentence in enumerate(sentences, 1):
        yield from wrapped(sentence, width, f"  {number:>{digits}}  ")


class LineRenderer:
    """A renderer of events as lines of columns: time, turn, type, actor, sentence with short id.

    The columns are as wide as these events need, and those that `fit` adds. Each line is cut
    at `width`, unless it is None; a narrow line has whole seconds and single spaces.
    """

    def __init__(
        self, events: Sequence["Event"], vocabulary: "Vocabulary", width: int | None
    ) -> None:
        self._vocabulary = vocabulary
        self._width = width
        is_narrow = width is not None and width < NARROW_COLUMNS
        self._type_max = _NAME_COLUMNS_MAX if is_narrow else _TYPE_COLUMNS_MAX
        if width is None:  # nothing is cut, so that the type need not be repeated
            self._type_max = _TYPE_COLUMNS_UNCUT_MAX
        self._gap = " " if is_narrow else "  "
        self._time = slice(11, 19 if is_narrow else 23)
        self._day: str | None = None
        self._type = self._who = self._turn = 0
        for event in events:
            self.fit(event)

    def fit(self, event: "Event") -> None:
        """Makes the columns wide enough for one more event; with a second day days are shown."""
        day = event.timestamp[:10]
        if self._day not in (None, day):
            self._time = slice(5, 19)
        self._day = day
        self._type = max(self._type, min(len(event.event_type), self._type_max))
        self._who = max(self._who, min(len(event.actor or ""), _NAME_COLUMNS_MAX))
        if event.turn_number is not None:
            self._turn = max(self._turn, len(str(event.turn_number)))

    def line(self, event: "Event") -> Line:
        """Returns one event's line."""
        gap = self._gap
        time = printable(event.timestamp[self._time].replace("T", " ").rstrip("Z"))
        turn = "" if event.turn_number is None else str(event.turn_number)
        kind = printable(clipped(event.event_type, self._type))
        head = f"{time:{self._time.stop - self._time.start}}{gap}"
        head += f"{turn:>{self._turn}}{gap}" if self._turn else ""
        column = f"{kind:{self._type}}{gap}"
        actor = printable(clipped(event.actor or "", self._who))
        who = f"{actor:{self._who}}{gap}" if self._who else ""
        is_type_cut = len(event.event_type) > self._type
        words = self._vocabulary
        text = printable(words.summary(event) if is_type_cut else words.in_columns(event))
        short = f"[{short_id(printable(event.event_id))}]"  # it is never cut
        if self._width:
            room = self._width - len(head + column + who + short) - 1
            text = clipped(text, max(room, _SENTENCE_COLUMNS_MIN))
        sentence = f"{text} {short}" if text else short
        return head, Painted(column, fg=COLOURS.get(event.event_type)), who + sentence


def page(event: "Event", vocabulary: "Vocabulary", causes: Sequence[str], width: int) -> list[str]:
    """Returns the content of an event as lines; `causes` are the sentences of its causes."""
    members = {
        key: value
        for key, value in event.members.items()
        if key not in (vocabulary.payload_key, "caused_by")
    }
    lines = [*wrapped(vocabulary.sentence(event), width), ""]
    lines += table([(key, _value(value)) for key, value in members.items()], indent="  ")
    if causes:
        lines += ["", "caused by"]
        for cause in causes:
            lines += wrapped(cause, width, "  ", "    ")
    payload, unreadable = event.readable_payload
    if payload:
        lines += ["", vocabulary.payload_key, *_tree(payload, 1)]
    if unreadable:
        note = f"Only the beginning of a large value can be read: {', '.join(unreadable)}"
        lines += ["", *wrapped(printable(note), width)]
    if event.is_foreign:
        lines += ["", "Another tool wrote this line: nothing verifies it."]
    return lines


def _tree(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yields a map as indented lines, with inner maps below their names."""
    indent = "  " * depth
    digits = max((len(printable(key)) for key in value), default=0)
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield f"{indent}{printable(key)}"
            yield from _tree(item, depth + 1)
        else:
            yield f"{indent}{printable(key):{digits}}  {_value(item)}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return printable(value)
    return printable(msgspec.json.encode(value).decode())
