"""What the shelves of an index tell of a selection: where it stands, how much of it on each.

Events that follow each other are mostly of one time and one turn: then all but the shelves at
the ends of a span hold none of it, or nothing else, and only the events at the ends are
looked at. Where every shelf holds some of a span it is no help, and says so.
"""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from thence.index.build.count_tables import KINDS, PAIRS
from thence.index.build.selection import Ids, Selection, Span, listed_ids

# from so many names on those of a shelf are gone through, not looked up
_NAMES_MAX = 24


class Spread(NamedTuple):
    """The first and the last shelf with events of a span, and how many it has at most."""

    first: int
    last: int
    events: int


class RangeCounts(NamedTuple):
    """How many of the events on a shelf are selected; None where they have to be counted."""

    number: int
    events: int | None


def spread(connection: sqlite3.Connection, column: str, span: Span) -> Spread | None:
    """Returns where the events of a span stand; None if there are none."""
    first, last, events = connection.execute(
        f"SELECT min(shelf), max(shelf), total({column}s) FROM shelves"
        f" WHERE {_overlaps(column, span)}"
    ).fetchone()
    return None if first is None else Spread(first, last, int(events))


def named(connection: sqlite3.Connection, column: str, ids: Ids) -> int:
    """Counts the events of some names in one column, by what is tallied."""
    if column in KINDS:
        sql = f"SELECT total(shelf_names.events) FROM {_of_names(column, ids)}"
    else:
        sql = f"SELECT total(events) FROM subject_tallies WHERE subject IN ({listed_ids(ids)})"
    return int(connection.execute(sql).fetchone()[0])


def shelves(connection: sqlite3.Connection, selection: Selection) -> list[RangeCounts] | None:
    """Returns the shelves on which selected events may stand, in order.

    None where the shelves don't tell: of subjects, of names in three columns.
    """
    names, spans = selection.names, selection.spans
    table, count = "shelves", "shelves.events"
    if len(names) > 2 or not KINDS.keys() >= names.keys():
        return None
    if len(names) == 2:
        table, count = _of_pairs(names), "sum(shelf_pairs.events)"
    elif names:
        ((column, ids),) = names.items()
        table, count = _of_names(column, ids), "sum(shelf_names.events)"
    overlaps = [_overlaps(column, span) for column, span in spans.items()]
    is_all = [f"{column}_first >= {first} AND {column}_last <= {last}"
              for column, (first, last) in spans.items()]  # fmt: skip
    if len(selection.columns) == 1 and spans:
        (count,) = (f"{column}s" for column in spans)
    else:
        is_all += [f"{column}s = shelves.events" for column in spans]
    if is_all:
        count = f"CASE WHEN {' AND '.join(is_all)} THEN {count} END"
    where = f"{' AND ' if names else ' WHERE '}{' AND '.join(overlaps)}" if overlaps else ""
    group = " GROUP BY shelves.shelf" if names else ""
    sql = f"SELECT shelves.shelf, {count} FROM {table}{where}{group} ORDER BY shelves.shelf"
    return [RangeCounts(*row) for row in connection.execute(sql)]


def _overlaps(column: str, span: Span) -> str:
    return f"{column}_first <= {span[1]} AND {column}_last >= {span[0]}"


def _of_names(column: str, ids: Ids) -> str:
    """Returns the shelves with their tallies of some names, as SQL."""
    name = "name" if len(ids) <= _NAMES_MAX else "+name"
    return (
        "shelves CROSS JOIN shelf_names ON shelf_names.shelf = shelves.shelf"
        f" AND kind = {KINDS[column]} WHERE {name} IN ({listed_ids(ids)})"
    )


def _of_pairs(names: Mapping[str, Ids]) -> str:
    """Returns the shelves with their tallies of names in two columns, as SQL."""
    (columns, kind), *_ = (pair for pair in PAIRS.items() if names.keys() == set(pair[0]))
    ones, others = (names[column] for column in columns)
    one = "one" if len(ones) <= _NAMES_MAX else "+one"
    other = "other" if len(ones) * len(others) <= _NAMES_MAX else "+other"
    return (
        "shelves CROSS JOIN shelf_pairs ON shelf_pairs.shelf = shelves.shelf"
        f" AND kind = {kind} WHERE {one} IN ({listed_ids(ones)})"
        f" AND {other} IN ({listed_ids(others)})"
    )
