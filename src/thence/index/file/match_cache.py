"""What was found by reading many events, kept for the next page of the same answer.

It is good until an event that was there gets another place or another line: what has arrived
since is all that has to be read, to be put where it belongs.
"""

import sqlite3
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from thence.core.query.filter import Filter

ANSWERS_MAX = 16
PLACES_MAX = 100_000


class IndexVersion(NamedTuple):
    """By what a state of an index is told from any other.

    While `made` and `moves` are the same the events that were there are too, each at its
    place; `events` is how many there are by now.
    """

    made: int
    moves: int
    events: int


class Found(NamedTuple):
    """The number of events that match, and their places in total order.

    The places are None where there are more than `PLACES_MAX` of them. The first `events` to
    arrive were asked.
    """

    total: int
    places: "array[int] | None"
    events: int

    def grown(self, places: Iterable[int], events: int) -> "Found":
        """Returns what is found once those up to another arrival were asked too.

        Their places may come in any order.
        """
        came = sorted(places)
        total = self.total + len(came)
        if self.places is None or total > PLACES_MAX:
            return Found(total, None, events)
        kept = self.places[:]  # others may be reading the old one
        kept.extend(came)
        if self.places and came and came[0] < self.places[-1]:
            kept = array("q", sorted(kept))
        return Found(total, kept, events)


def found(places: Iterable[int], events: int) -> Found:
    """Counts places and keeps them, unless they are too many."""
    kept: array[int] | None = array("q")
    total = 0
    for place in places:
        total += 1
        if kept is not None:
            kept.append(place)
            if total > PLACES_MAX:
                kept = None
    return Found(total, kept, events)


class MatchCache:
    """The answers of one index that were found last. Safe from threads."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int, int, Filter], Found] = {}

    def get(self, state: IndexVersion, filter: Filter) -> Found | None:
        """Returns what was found in a state of the index, or before more arrived."""
        known = self._answers.get((state.made, state.moves, filter))
        return known if known is not None and known.events <= state.events else None

    def put(self, state: IndexVersion, filter: Filter, answer: Found) -> None:
        """Keeps an answer, in place of those whose places are others by now and the oldest.

        One that was found of more events stays.
        """
        key = (state.made, state.moves, filter)
        answers = self._answers.copy()
        known = answers.pop(key, answer)
        kept = [item for item in answers.items() if item[0][:2] == key[:2]]
        latest = max(known, answer, key=lambda each: each.events)
        kept = [*kept[1 - ANSWERS_MAX :], (key, latest)]
        self._answers = dict(kept)  # put in place whole: no thread sees half of it


def state(connection: sqlite3.Connection) -> IndexVersion:
    """Returns the state of the index that a connection sees."""
    sql = "SELECT key, value FROM meta WHERE key IN ('made', 'moves', 'events')"
    return IndexVersion(**{key: int(value) for key, value in connection.execute(sql)})
