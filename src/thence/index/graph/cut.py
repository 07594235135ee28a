"""All events before an event, by its causes and by the order of each node."""

import sqlite3
from collections import defaultdict
from itertools import pairwise

import msgspec

from thence.core.values.position import Intervals, Position
from thence.index.tables.count_tables import RANGE_BITS

# the links of *precedes* that do not follow from the numbers of one node
_ACROSS = """
    SELECT child.node, child.seq, child.place, cause.node, cause.seq, cause.place
    FROM causes CROSS JOIN events child ON child.place = causes.child
        CROSS JOIN events cause ON cause.place = causes.parent
    WHERE child.node != cause.node OR child.seq = 0 OR cause.seq = 0 OR cause.seq > child.seq
    ORDER BY causes.child DESC
"""
_NUMBERS = """
    SELECT node, json_group_array(seq) FROM events
    WHERE place BETWEEN :first AND :last AND seq > 0 GROUP BY node
"""
_numbers = msgspec.json.Decoder(list[int]).decode


class Past:
    """A growing set of events: per node all up to a number, and other tools' events."""

    def __init__(self, connection: sqlite3.Connection, place: int) -> None:
        self._db = connection
        self._foreign: set[int] = set()
        self._latest: dict[int, int] = {}
        sql = "SELECT node, seq FROM events WHERE place = ?"
        node, seq = connection.execute(sql, (place,)).fetchone()
        self._take(node, seq, place)

    def grow(self) -> bool:
        """Scans the links between nodes, the latest first, and adds causes of the past.

        Reports whether any was added: then a link needed by it may have been skipped.
        """
        has_grown = False
        for node, seq, place, cause_node, cause_seq, cause_place in self._db.execute(_ACROSS):
            if 0 < seq <= self._latest.get(node, 0) or place in self._foreign:
                has_grown = self._take(cause_node, cause_seq, cause_place) or has_grown
        return has_grown

    def position(self) -> Position:
        """Returns the position of the past's events that are in the log."""
        found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        last = self._db.execute("SELECT max(place) FROM events").fetchone()[0]
        for number in range((last >> RANGE_BITS) + 1):
            places = {"first": number << RANGE_BITS, "last": (number + 1 << RANGE_BITS) - 1}
            for node, listed in self._db.execute(_NUMBERS, places):
                if node in self._latest:
                    found[node] += _runs(_numbers(listed), self._latest[node])
        name = "SELECT text FROM names WHERE id = ?"
        intervals = {
            self._db.execute(name, (node,)).fetchone()[0]: _joined(runs)
            for node, runs in found.items()
        }
        others = self._db.execute("SELECT place, event_id FROM events WHERE seq = 0")
        ids = frozenset(event_id for place, event_id in others if place in self._foreign)
        return Position(intervals, ids)

    def _take(self, node: int, seq: int, place: int) -> bool:
        """Adds an event with all earlier ones of its node; reports whether it is new."""
        if seq:
            is_new = seq > self._latest.get(node, 0)
            self._latest[node] = max(seq, self._latest.get(node, 0))
        else:
            is_new = place not in self._foreign
            self._foreign.add(place)
        return is_new


def causal_cut(connection: sqlite3.Connection, place: int) -> Position:
    """Returns the smallest past of an event that is closed under *precedes*, itself included."""
    past = Past(connection, place)
    while past.grow():
        pass
    return past.position()


def _runs(numbers: list[int], most: int) -> list[tuple[int, int]]:
    """Returns the numbers up to `most` as first and last numbers; most are consecutive."""
    first, last = numbers[0], numbers[-1]
    if numbers == list(range(first, last + 1)):
        return [(first, min(last, most))] if first <= most else []
    return [(number, number) for number in numbers if number <= most]


def _joined(runs: list[tuple[int, int]]) -> Intervals:
    """Merges adjacent and overlapping runs."""
    runs.sort()
    begins = [runs[0][0]]
    ends: list[int] = []
    reached = runs[0][1]
    for (_, last), (first, _) in pairwise(runs):
        reached = max(reached, last)
        if first > reached + 1:
            ends.append(reached)
            begins.append(first)
    return tuple(zip(begins, [*ends, max(reached, runs[-1][1])], strict=True))
