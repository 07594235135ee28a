"""The past of an event that is closed under *precedes*, by the places of an index."""

import sqlite3

from thence.core.position import Position

_DOWNWARD = """
    SELECT place, node, seq, parent FROM events LEFT JOIN causes ON child = place
    ORDER BY place DESC
"""


class Past:
    """A set of events that grows: per node all up to a number, and what was named."""

    def __init__(self, place: int) -> None:
        self.named = {place}
        self.latest: dict[int, int] = {}

    def grow(self, connection: sqlite3.Connection) -> bool:
        """Goes through all events, the latest first, and takes in what belongs to the past.

        Tells whether it may have passed something by: it has not where causes stand before
        their effects, and the events of each node in the order of their numbers.
        """
        is_orderly = True
        passed: dict[int, int] = {}
        before = (dict(self.latest), len(self.named))
        last = None
        for place, node, seq, parent in connection.execute(_DOWNWARD):
            if seq and place != last:
                is_orderly = is_orderly and seq < passed.get(node, seq + 1)
                passed[node] = seq
                last = place
            if place in self.named or 0 < seq <= self.latest.get(node, 0):
                self.latest[node] = max(seq, self.latest.get(node, 0))
                if parent is not None:
                    self.named.add(parent)
                    is_orderly = is_orderly and parent < place
        return not is_orderly and before != (self.latest, len(self.named))

    def position(self, connection: sqlite3.Connection) -> Position:
        """Returns the events of the past that are there."""
        numbers: list[tuple[str, int]] = []
        for node, seq in self.latest.items():
            numbers += connection.execute(
                "SELECT text, seq FROM events JOIN names ON id = node"
                " WHERE node = :node AND seq BETWEEN 1 AND :seq ORDER BY place",
                {"node": node, "seq": seq},
            )
        foreign = connection.execute("SELECT place, event_id FROM events WHERE seq = 0")
        ids = [event_id for place, event_id in foreign if place in self.named]
        return Position().with_numbers(numbers, ids)


def causal_cut(connection: sqlite3.Connection, place: int) -> Position:
    """Returns the smallest past of an event that is closed under *precedes*, itself included."""
    past = Past(place)
    while past.grow(connection):
        pass
    return past.position(connection)
