"""The cost of building indexes, for metrics."""

from operator import add
from threading import Lock
from typing import NamedTuple


class Cost(NamedTuple):
    """The number of index builds, their seconds, and the seconds of catching up.

    `events` counts the events indexed by both.
    """

    builds: int = 0
    build_seconds: float = 0.0
    catch_up_seconds: float = 0.0
    events: int = 0


class Builds:
    """The sum of the costs of several indexes; safe from threads."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self.cost = Cost()

    def add(self, more: Cost) -> None:
        """Adds the cost of an index that was built, or that has taken in later events."""
        with self._mutex:
            self.cost = Cost(*map(add, self.cost, more))
