"""What was found by reading many events, kept for the next page of the same answer.

It is good for one state of the index alone: with one event more it has to be found again.
"""

import sqlite3
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from thence.core.filter import Filter

ANSWERS_MAX = 16
PLACES_MAX = 100_000

State = tuple[int, ...]


class Found(NamedTuple):
    """The number of events that match, and their places in total order.

    The places are None where there are more than `PLACES_MAX` of them.
    """

    total: int
    places: "array[int] | None"


def found(places: Iterable[int]) -> Found:
    """Counts places and keeps them, unless they are too many."""
    kept: array[int] | None = array("q")
    total = 0
    for place in places:
        total += 1
        if kept is not None:
            kept.append(place)
            if total > PLACES_MAX:
                kept = None
    return Found(total, kept)


class Remembered:
    """The answers of one index that were found last. Safe from threads."""

    def __init__(self) -> None:
        self._answers: dict[tuple[State, Filter], Found] = {}

    def get(self, state: State, filter: Filter) -> Found | None:
        """Returns what was found in a state of the index, if that is still known."""
        return self._answers.get((state, filter))

    def put(self, state: State, filter: Filter, answer: Found) -> None:
        """Keeps an answer, in place of those of earlier states and the oldest."""
        kept = [(key, value) for key, value in self._answers.copy().items() if key[0] == state]
        kept = [*kept[1 - ANSWERS_MAX :], ((state, filter), answer)]
        self._answers = dict(kept)  # put in place whole: no thread sees half of it


def state(connection: sqlite3.Connection) -> State:
    """Returns by what a state of an index is told from any other."""
    sql = "SELECT value FROM meta WHERE key IN ('made', 'commits') ORDER BY key"
    return tuple(int(value) for (value,) in connection.execute(sql))
