"""A cache of the matches of a filter, for the next page of the same answer.

A cached answer is valid until an indexed event gets another place or another line. Only the
events that have arrived since then have to be read, and are added at their places.
"""

import sqlite3
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from thence.core.query.filter import Filter

ANSWERS_MAX = 16
PLACES_MAX = 100_000


class IndexVersion(NamedTuple):
    """The version of an index's content.

    While `made` and `moves` stay the same, all earlier events are unchanged and at the same
    places; `events` is the present number of events.
    """

    made: int
    moves: int
    events: int


class Matches(NamedTuple):
    """The number of events that match, and their places in total order.

    The places are None where there are more than `PLACES_MAX` of them. The first `events` to
    arrive were searched.
    """

    total: int
    places: "array[int] | None"
    events: int

    def extended(self, places: Iterable[int], events: int) -> "Matches":
        """Returns the matches with `places` of later events added, `events` searched in all.

        The places may come in any order.
        """
        came = sorted(places)
        total = self.total + len(came)
        if self.places is None or total > PLACES_MAX:
            return Matches(total, None, events)
        kept = self.places[:]  # others may be reading the old one
        kept.extend(came)
        if self.places and came and came[0] < self.places[-1]:
            kept = array("q", sorted(kept))
        return Matches(total, kept, events)


def found(places: Iterable[int], events: int) -> Matches:
    """Returns the count of places, and the places unless they are too many."""
    kept: array[int] | None = array("q")
    total = 0
    for place in places:
        total += 1
        if kept is not None:
            kept.append(place)
            if total > PLACES_MAX:
                kept = None
    return Matches(total, kept, events)


class MatchCache:
    """The latest answers of one index. Safe from threads."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int, int, Filter], Matches] = {}

    def get(self, state: IndexVersion, filter: Filter) -> Matches | None:
        """Returns the matches in this version of the index, or before more events arrived."""
        known = self._answers.get((state.made, state.moves, filter))
        return known if known is not None and known.events <= state.events else None

    def put(self, state: IndexVersion, filter: Filter, answer: Matches) -> None:
        """Stores an answer; removes answers with outdated places, and the oldest ones.

        A stored answer that was searched in more events stays.
        """
        key = (state.made, state.moves, filter)
        answers = self._answers.copy()
        known = answers.pop(key, answer)
        kept = [item for item in answers.items() if item[0][:2] == key[:2]]
        latest = max(known, answer, key=lambda each: each.events)
        kept = [*kept[1 - ANSWERS_MAX :], (key, latest)]
        self._answers = dict(kept)  # one assignment: no thread sees a partial change


def state(connection: sqlite3.Connection) -> IndexVersion:
    """Returns the state of the index that a connection sees."""
    sql = "SELECT key, value FROM meta WHERE key IN ('made', 'moves', 'events')"
    return IndexVersion(**{key: int(value) for key, value in connection.execute(sql)})
