"""A filter in the terms of one index: numbers for names, ranges of values."""

import sqlite3
from typing import NamedTuple

from thence.core.query.filter import Filter, is_named, is_pattern

NUMBER_MIN, NUMBER_MAX = -(2**63), 2**63 - 1

Ids = tuple[int, ...]
Span = tuple[int, int]


class Selection(NamedTuple):
    """The conditions of a filter by column of the index, all but `where`.

    `names` are numbers of names, any of which matches; `spans` are first and last values.
    """

    names: dict[str, Ids]
    spans: dict[str, Span]

    @property
    def is_open(self) -> bool:
        """True if every event is selected."""
        return not self.names and not self.spans

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have a condition."""
        return (*self.names, *self.spans)

    def without(self, column: str) -> "Selection":
        """Returns the selection without the condition of one column."""
        return Selection(
            {key: ids for key, ids in self.names.items() if key != column},
            {key: span for key, span in self.spans.items() if key != column},
        )

    def condition(self, column: str) -> str:
        """Returns the condition of one column, as SQL."""
        if column in self.names:
            return f"{column} IN ({listed_ids(self.names[column])})"
        first, last = self.spans[column]
        return f"{column} BETWEEN {first} AND {last}"

    def conditions(self) -> list[str]:
        """Returns the conditions as SQL for which SQLite uses no index."""
        return [f"+{self.condition(column)}" for column in self.columns]


def selection(connection: sqlite3.Connection, filter: Filter) -> Selection | None:
    """Returns the selection of a filter in an index; None if no event can match."""
    named = {
        "type": filter.types,
        "actor": filter.actors,
        "subject": filter.subjects,
        "stream": filter.streams,
    }
    ids = {column: _ids(connection, column, names) for column, names in named.items() if names}
    if not all(ids.values()):
        return None
    bounds = {
        "turn": (filter.turn_first, filter.turn_last),
        "time": (filter.since, filter.until),
    }
    spans = {
        column: (NUMBER_MIN if first is None else first, NUMBER_MAX if last is None else last)
        for column, (first, last) in bounds.items()
        if first is not None or last is not None
    }
    return Selection(ids, spans)


_NAMED = {
    "type": "SELECT id, text FROM names WHERE id IN (SELECT type FROM counts_by_type_and_actor)",
    "actor": "SELECT id, text FROM names WHERE id IN (SELECT actor FROM counts_by_type_and_actor)",
}


def _ids(connection: sqlite3.Connection, column: str, names: tuple[str, ...]) -> Ids:
    """Returns the numbers of those names that are in the index, each once."""
    if column in _NAMED and any(map(is_pattern, names)):
        known = connection.execute(_NAMED[column])
        return tuple(number for number, text in known if is_named(text, names))
    number = "SELECT id FROM names WHERE text = ?"
    rows = [connection.execute(number, (name,)).fetchone() for name in dict.fromkeys(names)]
    return tuple(row[0] for row in rows if row is not None)


def listed_ids(ids: Ids) -> str:
    """Returns numbers as a list in SQL."""
    return ", ".join(map(str, ids))
