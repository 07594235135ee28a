"""Tallies of a whole log: the number of events of each type and actor, subject, turn.

Tallies are exact, and updated with the rows. They do not depend on places, so events may get
other places.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from thence.index.tables.rows import NULL, Row
from thence.index.tables.selection import NUMBER_MAX, NUMBER_MIN, Ids, Span, listed_ids

# this many turns, from a multiple of it on, are also tallied together
TURNS_TOGETHER = 1_024

_ADD_PAIR = """
    INSERT INTO tallies VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_SUBJECT = """
    INSERT INTO subject_tallies VALUES (?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_TURN = """
    INSERT INTO turn_tallies VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
# computed from the count tables and by column indexes
_ALL = (
    """
    INSERT INTO tallies SELECT one, other, sum(events) FROM shelf_pairs
    WHERE kind = 0 AND other != 0 GROUP BY one, other
    """,
    """
    INSERT INTO tallies SELECT name, 0, rest FROM (
        SELECT name, sum(events) - (SELECT total(events) FROM tallies WHERE type = name) AS rest
        FROM shelf_names WHERE kind = 0 GROUP BY name
    ) WHERE rest > 0
    """,
    """
    INSERT INTO subject_tallies SELECT subject, count(*) FROM events
    WHERE subject IS NOT NULL GROUP BY subject
    """,
    """
    INSERT INTO turn_tallies SELECT 1, turn, count(*) FROM events
    WHERE turn IS NOT NULL GROUP BY turn
    """,
    f"""
    INSERT INTO turn_tallies SELECT {TURNS_TOGETHER}, first & -{TURNS_TOGETHER} AS begin,
    sum(events) FROM turn_tallies GROUP BY begin
    """,
)
_OF_TURNS = """
    SELECT total(events) FROM turn_tallies WHERE turns = :turns AND first BETWEEN :first AND :last
"""


def tally(connection: sqlite3.Connection, rows: Sequence[Row], sign: int = 1) -> None:
    """Adds events to the tallies; with the sign -1 subtracts them."""
    pairs = Counter((row[5], 0 if _is_null(row[8]) else row[8]) for row in rows)
    connection.executemany(_ADD_PAIR, [(*key, sign * count) for key, count in pairs.items()])
    subjects = Counter(row[7] for row in rows if not _is_null(row[7]))
    connection.executemany(
        _ADD_SUBJECT, [(subject, sign * count) for subject, count in subjects.items()]
    )
    turns = Counter(int(row[9]) for row in rows if not _is_null(row[9]))
    connection.executemany(
        _ADD_TURN,
        [
            (together, turn & -together, sign * count)
            for turn, count in turns.items()
            for together in (1, TURNS_TOGETHER)
        ],
    )


def tally_all(connection: sqlite3.Connection) -> None:
    """Tallies all events; the count tables must be complete, the tallies empty."""
    for statement in _ALL:
        connection.execute(statement)


def _is_null(value: float | None) -> bool:
    return value is None or value is NULL


def of_types_and_actors(connection: sqlite3.Connection, names: Mapping[str, Ids]) -> int | None:
    """Returns how many events have these types and actors; None where no tally holds it."""
    if not {"type", "actor"}.issuperset(names) or 0 in names.get("actor", ()):
        return None  # an empty actor is tallied together with a missing one
    conditions = [f"{column} IN ({listed_ids(ids)})" for column, ids in names.items()]
    where = " AND ".join(["TRUE", *conditions])
    found = connection.execute(f"SELECT total(events) FROM tallies WHERE {where}").fetchone()
    return int(found[0])


def of_turns(connection: sqlite3.Connection, span: Span) -> int:
    """Returns how many events have a turn in a span, at whatever places."""
    first, last = max(span[0], NUMBER_MIN), min(span[1], NUMBER_MAX)
    begin = -(-first // TURNS_TOGETHER) * TURNS_TOGETHER
    end = (last + 1) // TURNS_TOGETHER * TURNS_TOGETHER
    parts = [(1, first, last)]
    if begin < end:
        parts = [(1, first, begin - 1), (TURNS_TOGETHER, begin, end - 1), (1, end, last)]
    found = 0
    for turns, low, high in parts:
        if low <= high:
            asked = {"turns": turns, "first": low, "last": high}
            found += int(connection.execute(_OF_TURNS, asked).fetchone()[0])
    return found
