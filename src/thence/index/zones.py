"""The zones of an index: bounds of what each 8,192 arrivals hold, by node, and the counts.

Counts are exact; first and last values are bounds that no event passes. By them a span of times
or turns is counted without its events, its part of the total order is known, and so are the
arrivals that a node's numbers can have.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from thence.index.rows import ACTOR, LAMPORT, NODE, NULL, SEQ, TIME, TURN, TYPE

ZONE_BITS = 13

Span = tuple[int, int]
Zone = list[int | None]

_BOUNDS = ("lamport", "seq", "time", "turn")
_WIDENED = ", ".join(
    f"{column}_{end} = {least}(ifnull({column}_{end}, excluded.{column}_{end}),"
    f" ifnull(excluded.{column}_{end}, {column}_{end}))"
    for column in _BOUNDS
    for end, least in (("first", "min"), ("last", "max"))
)
_ADD = f"""
    INSERT INTO zones VALUES ({", ".join("?" * 13)})
    ON CONFLICT DO UPDATE SET events = events + excluded.events,
    times = times + excluded.times, turns = turns + excluded.turns, {_WIDENED}
"""
_ADD_COUNTS = """
    INSERT INTO counts VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
# the zones that overlap a span; `events` is None where one holds other events too
_OVERLAPPING = """
    SELECT number,
        CASE WHEN min({column}_first) >= :first AND max({column}_last) <= :last
            THEN sum({column}s) END,
        sum({column}s), min(lamport_first), max(lamport_last)
    FROM zones GROUP BY number
    HAVING min({column}_first) <= :last AND max({column}_last) >= :first
"""


_NUMBERS = """
    SELECT number, node, text, seq_first, seq_last FROM zones JOIN names ON id = node
    ORDER BY number
"""


class ZoneCount(NamedTuple):
    """What a zone has of a span: its events, None where they have to be counted, at most `most`.

    `first` and `last` are bounds of the clocks of all its events.
    """

    number: int
    events: int | None
    most: int
    first: int
    last: int


class Tallies:
    """The changes of zones and counts since the last write."""

    def __init__(self) -> None:
        self._zones: dict[tuple[int, float], Zone] = {}
        self._counts: Counter[tuple[int, float, float]] = Counter()

    def add(self, first: int, columns: Sequence[Sequence[Any]], sign: int = 1) -> None:
        """Counts events that arrived from `first` on, in columns of `rows.COLUMNS`.

        The sign -1 takes them back; bounds stay.
        """
        actors = [0 if actor is NULL or actor is None else actor for actor in columns[ACTOR]]
        nodes = [node if seq else -1 for node, seq in zip(columns[NODE], columns[SEQ], strict=True)]
        names = zip(columns[TYPE], actors, nodes, strict=True)
        (self._counts.update if sign > 0 else self._counts.subtract)(names)
        size, begin = len(actors), 0
        while begin < size:
            number = (first + begin - 1) >> ZONE_BITS
            end = min(size, ((number + 1) << ZONE_BITS) + 1 - first)
            self._add_zone(number, [column[begin:end] for column in columns], sign)
            begin = end

    def _add_zone(self, number: int, columns: Sequence[Sequence[Any]], sign: int) -> None:
        nodes = columns[NODE]
        if len(set(nodes)) == 1:
            self._add_node((number, nodes[0]), columns, sign)
            return
        by_node: dict[float, list[int]] = {}
        for at, node in enumerate(nodes):
            by_node.setdefault(node, []).append(at)
        for node, rows in by_node.items():
            self._add_node(
                (number, node), [[column[at] for at in rows] for column in columns], sign
            )

    def _add_node(
        self, key: tuple[int, float], columns: Sequence[Sequence[Any]], sign: int
    ) -> None:
        size = sign * len(columns[NODE])
        zone: Zone = [size, min(columns[LAMPORT]), max(columns[LAMPORT])]
        zone += [min(columns[SEQ]), max(columns[SEQ])]
        for values in (columns[TIME], columns[TURN]):
            values = [value for value in values if value is not NULL and value is not None]
            least, most = (min(values), max(values)) if values else (None, None)
            zone += [sign * len(values), least, most]
        earlier = self._zones.get(key)
        self._zones[key] = zone if earlier is None else _joined(earlier, zone)

    def write(self, connection: sqlite3.Connection) -> None:
        """Adds the changes to the tables."""
        connection.executemany(_ADD, [(*key, *zone) for key, zone in self._zones.items()])
        counts = [(*names, count) for names, count in self._counts.items() if count]
        connection.executemany(_ADD_COUNTS, counts)
        self._zones.clear()
        self._counts.clear()


# positions of counts in a zone; the others are first and last values in turn
_SUMS = (0, 5, 8)


def _joined(one: Zone, other: Zone) -> Zone:
    joined: Zone = []
    is_first = True
    for at, pair in enumerate(zip(one, other, strict=True)):
        values = [value for value in pair if value is not None]
        if at in _SUMS:
            joined.append(sum(values))
        else:
            joined.append((min if is_first else max)(values, default=None))
            is_first = not is_first
    return joined


def overlapping(connection: sqlite3.Connection, column: str, span: Span) -> list[ZoneCount]:
    """Returns the zones that may hold events of a span of times or turns, in order of arrival."""
    bounds = {"first": span[0], "last": span[1]}
    rows = connection.execute(_OVERLAPPING.format(column=column), bounds)
    return [ZoneCount(*row) for row in rows]


def zone_arrivals(number: int) -> Span:
    """Returns the first and the last arrival that a zone can hold."""
    return (number << ZONE_BITS) + 1, (number + 1) << ZONE_BITS


def zones_of_numbers(
    connection: sqlite3.Connection, ranges: Iterable[tuple[str, int, int]]
) -> dict[int, list[tuple[int, int, int]]]:
    """Returns the zones that may hold events with some numbers: node_id, first and last seq.

    The numbers of a node come in order. Each zone comes with those numbers, by the number of the
    node's name.
    """
    by_node: dict[str, list[Span]] = {}
    for node_id, first, last in ranges:
        by_node.setdefault(node_id, []).append((first, last))
    zones: dict[int, list[tuple[int, int, int]]] = {}
    for number, node, node_id, seq_first, seq_last in connection.execute(_NUMBERS):
        own = by_node.get(node_id, [])
        begin = bisect_left(own, seq_first, key=itemgetter(1))
        end = bisect_right(own, seq_last, key=itemgetter(0))
        if begin < end:
            zones.setdefault(number, []).extend((node, *span) for span in own[begin:end])
    return zones


def count_of(connection: sqlite3.Connection, names: Mapping[str, str]) -> int:
    """Returns how many events have some types and actors; `names` are conditions by column."""
    where = " AND ".join(["TRUE", *names.values()])
    sql = f"SELECT total(events) FROM counts WHERE {where}"
    return int(connection.execute(sql).fetchone()[0])
