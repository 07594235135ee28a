"""The course of a variable over turns as one line of blocks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from thence.core.sentences.event_sentences import clipped
from thence.core.sentences.table import INTEGER_MAX
from thence.core.values.payload import printable

# the most points that are kept of a variable, each the last value of some turns
POINTS_MAX = 60
BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-:=+*#"
_NAME_COLUMNS_MAX = 36
_BLOCKS_MIN = 8
_TEXT_CHARACTERS_MAX = 40


class Course(msgspec.Struct, kw_only=True):
    """The values of a variable over the turns of a run.

    `turns` and `values` are points, as many as are kept; the other members are of all turns.
    `minimum` and `maximum` are None for what is no number.
    """

    variable: str
    first: Any = None
    last: Any = None
    minimum: float | None = None
    maximum: float | None = None
    turns: list[int] = []
    values: list[Any] = []

    @property
    def is_constant(self) -> bool:
        """True if the variable had one value in all turns; known of numbers alone."""
        return self.minimum is not None and self.minimum == self.maximum


def courses(rows: Iterable[Mapping[str, Any]], length: int, columns: Sequence[str]) -> list[Course]:
    """Returns the courses of some columns; the rows have a column `turn` and are read once."""
    variables = [Course(variable=column) for column in columns]
    points = min(length, POINTS_MAX)
    for index, row in enumerate(rows):
        is_point = (index + 1) * points // length > index * points // length
        for course in variables:
            value = row[course.variable]
            if index == 0:
                course.first = value
            course.last = value
            if _is_number(value):
                course.minimum = value if course.minimum is None else min(course.minimum, value)
                course.maximum = value if course.maximum is None else max(course.maximum, value)
            if is_point:
                course.turns.append(row["turn"])
                course.values.append(value)
    return variables


def course_lines(courses: Sequence[Course], width: int, *, has_blocks: bool) -> list[str]:
    """Returns a line for each course, as wide as the terminal: name, blocks, first, last, range."""
    names = [clipped(printable(course.variable), _NAME_COLUMNS_MAX) for course in courses]
    longest = max(map(len, names), default=0)
    tails = [_tail(course) for course in courses]
    numbers = [len(tail) for tail, course in zip(tails, courses, strict=True) if _is_drawn(course)]
    room = width - longest - max(numbers, default=0) - 6
    blocks = BLOCKS if has_blocks else ASCII_BLOCKS
    lines = []
    for name, course, tail in zip(names, courses, tails, strict=True):
        drawn = _is_drawn(course) and sparkline(course.values, max(room, _BLOCKS_MIN), blocks)
        middle = f"{drawn}  " if drawn else ""
        lines.append(clipped(f"  {name:{longest}}  {middle}{tail}", max(width, _BLOCKS_MIN)))
    return lines


def sparkline(values: Sequence[Any], columns: int, blocks: str = BLOCKS) -> str:
    """Returns numbers as blocks of a height each, at most `columns`; "" where one is no number."""
    if not values or not all(map(_is_number, values)):
        return ""
    count = min(columns, len(values))
    heights = [values[(index + 1) * len(values) // count - 1] for index in range(count)]
    low, high = min(heights), max(heights)
    top, span = len(blocks) - 1, high / 2 - low / 2  # halves: their difference is finite
    if not span:
        return blocks[0] * count
    return "".join(blocks[round((value / 2 - low / 2) / span * top)] for value in heights)


def _is_number(value: object) -> bool:
    """Reports whether a value can be drawn: a float, or an integer of 64 bits."""
    return type(value) is float or (type(value) is int and abs(value) <= INTEGER_MAX)


def _is_drawn(course: Course) -> bool:
    return course.minimum is not None


def _tail(course: Course) -> str:
    text = f"{_text(course.first)} to {_text(course.last)}"
    if course.minimum is not None:
        text += f" ({_text(course.minimum)}..{_text(course.maximum)})"
    return text


def _text(value: object) -> str:
    if type(value) is int:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return clipped(printable(msgspec.json.encode(value).decode()), _TEXT_CHARACTERS_MAX)
