"""The count tables: counts of events by range of places, and those of the whole log.

The tables `counts_by_range`, `counts_by_name` and `counts_by_pair` have rows for each range of
places. They are updated with the rows of events: counts are exact, first and last values are
bounds of all events in the range. A range is computed from a place, so that all events have to be
counted anew after they got new places. The counts of types with actors, of subjects and of turns
are those of the whole log, and do not depend on places.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from thence.index.tables.rows import NULL, Row
from thence.index.tables.selection import NUMBER_MAX, NUMBER_MIN, Ids, Span, listed_ids

# a range holds 8,192 events if their places are one stride apart
RANGE_BITS = 23
# the number of each counted column of names in the tables
KINDS = {"type": 0, "stream": 1, "actor": 2}
# the number of each pair of columns that are counted together
PAIRS = {("type", "actor"): 0, ("type", "stream"): 1, ("stream", "actor"): 2}
# indexes of these columns, and of those of spans, in a row
_NAMES = (5, 6, 8)
_SPANS = (9, 10)

# this many turns, from a multiple of it on, are also counted together
TURNS_TOGETHER = 1_024

_TOGETHER = 4_096
_KEPT_MAX = 16_384

_ADD = """
    INSERT INTO counts_by_range VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        events = events + excluded.events,
        turns = turns + excluded.turns,
        turn_first = min(ifnull(turn_first, excluded.turn_first),
            ifnull(excluded.turn_first, turn_first)),
        turn_last = max(ifnull(turn_last, excluded.turn_last),
            ifnull(excluded.turn_last, turn_last)),
        times = times + excluded.times,
        time_first = min(ifnull(time_first, excluded.time_first),
            ifnull(excluded.time_first, time_first)),
        time_last = max(ifnull(time_last, excluded.time_last),
            ifnull(excluded.time_last, time_last))
"""
_ADD_NAMES = """
    INSERT INTO counts_by_name VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_PAIRS = """
    INSERT INTO counts_by_pair VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_TYPE_AND_ACTOR = """
    INSERT INTO counts_by_type_and_actor VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_SUBJECT = """
    INSERT INTO counts_by_subject VALUES (?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_TURN = """
    INSERT INTO counts_by_turn VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
# computed from the counts by range and by column indexes
_WHOLE = (
    """
    INSERT INTO counts_by_type_and_actor SELECT one, other, sum(events) FROM counts_by_pair
    WHERE kind = 0 AND other != 0 GROUP BY one, other
    """,
    """
    INSERT INTO counts_by_type_and_actor SELECT name, 0, rest FROM (
        SELECT name, sum(events) - (
            SELECT total(events) FROM counts_by_type_and_actor WHERE type = name
        ) AS rest FROM counts_by_name WHERE kind = 0 GROUP BY name
    ) WHERE rest > 0
    """,
    """
    INSERT INTO counts_by_subject SELECT subject, count(*) FROM events
    WHERE subject IS NOT NULL GROUP BY subject
    """,
    """
    INSERT INTO counts_by_turn SELECT 1, turn, count(*) FROM events
    WHERE turn IS NOT NULL GROUP BY turn
    """,
    f"""
    INSERT INTO counts_by_turn SELECT {TURNS_TOGETHER}, first & -{TURNS_TOGETHER} AS begin,
    sum(events) FROM counts_by_turn GROUP BY begin
    """,
)
_OF_TURNS = """
    SELECT total(events) FROM counts_by_turn
    WHERE turns = :turns AND first BETWEEN :first AND :last
"""
_ALL = """
    SELECT place, 0, 0, 0, 0, 0, type, stream, 0, actor, turn, time FROM events ORDER BY place
"""


class CountTables:
    """The changes of the count tables since the last write."""

    def __init__(self, connection: sqlite3.Connection, bits: int = RANGE_BITS) -> None:
        self._db = connection
        self._bits = bits
        self._rows: list[tuple[int | None, ...]] = []
        # by range, type, stream and actor
        self._named: Counter[tuple[int, float, float | None, float | None]] = Counter()

    def add(self, places: Sequence[int], columns: Sequence[Sequence[Any]], sign: int = 1) -> None:
        """Counts events at places, in the columns of a `Row`; the sign -1 subtracts them."""
        if min(places) >> self._bits == max(places) >> self._bits:
            self._put(places[0] >> self._bits, columns, sign)
        else:
            numbers = [place >> self._bits for place in places]
            for number in dict.fromkeys(numbers):
                at = [index for index, other in enumerate(numbers) if other == number]
                self._put(number, [[column[index] for index in at] for column in columns], sign)
        if len(self._rows) + len(self._named) > _KEPT_MAX:
            self.write()

    def write(self) -> None:
        """Adds the changes to the tables."""
        self._db.executemany(_ADD, self._rows)
        names: Counter[tuple[int, int, float]] = Counter()
        pairs: Counter[tuple[int, int, float, float]] = Counter()
        for (number, *named), events in self._named.items():
            there = {
                column: name
                for column, name in zip(KINDS, named, strict=True)
                if name is not None and name is not NULL
            }
            for column, name in there.items():
                names[number, KINDS[column], name] += events
            for (one, other), kind in PAIRS.items():
                if one in there and other in there:
                    pairs[number, kind, there[one], there[other]] += events
        for sql, counted in ((_ADD_NAMES, names), (_ADD_PAIRS, pairs)):
            counts = sorted((*key, count) for key, count in counted.items() if count)
            self._db.executemany(sql, counts)
        self._named.clear()
        self._rows.clear()

    def _put(self, number: int, columns: Sequence[Sequence[Any]], sign: int) -> None:
        row: list[int | None] = [number, sign * len(columns[0])]
        for at in _SPANS:
            row += _spanned(columns[at], sign)
        self._rows.append(tuple(row))
        named = zip(repeat(number), *(columns[at] for at in _NAMES))
        (self._named.update if sign > 0 else self._named.subtract)(named)


def _spanned(values: Sequence[int | None], sign: int) -> tuple[int | None, ...]:
    """Returns the number of values, the least and the greatest."""
    there = [value for value in values if value is not None and value is not NULL]
    return (sign * len(there), min(there), max(there)) if there else (0, None, None)


def recount(connection: sqlite3.Connection, bits: int = RANGE_BITS) -> None:
    """Counts all events anew."""
    connection.execute("DELETE FROM counts_by_range")
    connection.execute("DELETE FROM counts_by_name")
    connection.execute("DELETE FROM counts_by_pair")
    counts = CountTables(connection, bits)
    rows = connection.execute(_ALL)
    while some := rows.fetchmany(_TOGETHER):
        places, *columns = zip(*some, strict=True)
        counts.add(places, columns)
    counts.write()


def count_in_whole(connection: sqlite3.Connection, rows: Sequence[Row], sign: int = 1) -> None:
    """Adds events to the counts of the whole log; the sign -1 subtracts them."""
    pairs = Counter((row[5], 0 if _is_null(row[8]) else row[8]) for row in rows)
    connection.executemany(
        _ADD_TYPE_AND_ACTOR, [(*key, sign * count) for key, count in pairs.items()]
    )
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


def count_whole(connection: sqlite3.Connection) -> None:
    """Makes the counts of the whole log; those by range must be complete, these empty."""
    for statement in _WHOLE:
        connection.execute(statement)


def _is_null(value: float | None) -> bool:
    return value is None or value is NULL


def of_types_and_actors(connection: sqlite3.Connection, names: Mapping[str, Ids]) -> int | None:
    """Returns how many events have these types and actors; None where no count holds it."""
    if not {"type", "actor"}.issuperset(names) or 0 in names.get("actor", ()):
        return None  # an empty actor is counted together with a missing one
    conditions = [f"{column} IN ({listed_ids(ids)})" for column, ids in names.items()]
    where = " AND ".join(["TRUE", *conditions])
    sql = f"SELECT total(events) FROM counts_by_type_and_actor WHERE {where}"
    return int(connection.execute(sql).fetchone()[0])


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
