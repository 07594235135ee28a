"""The zones of an index: bounds of what each 512 arrivals hold, by node.

By them a span of times or turns is found without its events, and so are the arrivals that a node's
numbers can have: what comes together in a log has near clocks, times and numbers.
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

ZONE_BITS = 9

Span = tuple[int, int]

_NUMBERS = "SELECT number, node, seq_first, seq_last FROM zones WHERE number >= ? ORDER BY number"


class Bounds(NamedTuple):
    """The clocks and the arrivals between which all events of some spans of columns lie."""

    lamport_first: int
    lamport_last: int
    arrival_first: int
    arrival_last: int
    spans: Mapping[str, Span]

    def counted(self, connection: sqlite3.Connection, conditions: str) -> int:
        """Returns how many events lie in all spans, which are of times and turns.

        The conditions are the same in SQL, for events of zones that do not lie in them whole.
        """
        inside = " AND ".join(
            f"{column}_first >= {first} AND {column}_last <= {last}"
            f" AND {column}_events = lamport_events"
            for column, (first, last) in self.spans.items()
        )
        sql = f"""
            WITH parts AS (
                SELECT number, sum(lamport_events) AS events, min({inside}) AS is_inside
                FROM zones WHERE {_overlap(self.spans)} GROUP BY number
            )
            SELECT (SELECT total(events) FROM parts WHERE is_inside) + count(*)
            FROM parts CROSS JOIN events
            ON arrival BETWEEN (number << {ZONE_BITS}) + 1 AND (number + 1) << {ZONE_BITS}
            WHERE NOT is_inside AND {conditions}
        """
        return int(connection.execute(sql).fetchone()[0])


def zone_of(arrival: int) -> int:
    """Returns the number of the zone in which an event arrived."""
    return (arrival - 1) >> ZONE_BITS


def zone_arrivals(number: int) -> Span:
    """Returns the first and the last arrival that a zone can hold."""
    return (number << ZONE_BITS) + 1, (number + 1) << ZONE_BITS


def _overlap(spans: Mapping[str, Span]) -> str:
    """Returns the condition that a zone may hold events of all spans, as SQL."""
    return " AND ".join(
        f"number BETWEEN {zone_of(first)} AND {zone_of(last)}"
        if column == "arrival"
        else f"{column}_first <= {last} AND {column}_last >= {first}"
        for column, (first, last) in spans.items()
    )


def bounds_of(connection: sqlite3.Connection, spans: Mapping[str, Span]) -> Bounds | None:
    """Returns the bounds of spans of columns, ends included; None if no event can lie in all."""
    sql = "SELECT min(lamport_first), max(lamport_last), min(number), max(number) FROM zones"
    first, last, *numbers = connection.execute(f"{sql} WHERE {_overlap(spans)}").fetchone()
    if first is None:
        return None
    arrivals = zone_arrivals(numbers[0])[0], zone_arrivals(numbers[1])[1]
    return Bounds(first, last, *arrivals, spans)


def zones_of_numbers(
    connection: sqlite3.Connection, number: int, ranges: Mapping[str, Sequence[Span]]
) -> list[int]:
    """Returns the zones from a number on that may hold events with some seqs, ranges by node."""
    zones: dict[int, None] = {}
    for zone, node_id, seq_first, seq_last in connection.execute(_NUMBERS, (number,)):
        own = ranges.get(node_id, ())
        begin = bisect_left(own, seq_first, key=itemgetter(1))
        if begin < bisect_right(own, seq_last, key=itemgetter(0)):
            zones[zone] = None
    return [*zones]
