"""What the making of indexes has cost, for whoever counts it."""

from threading import Lock
from typing import NamedTuple


class Cost(NamedTuple):
    """Indexes made from nothing, the seconds that took, those of following logs that grew.

    `events` were put into indexes by both.
    """

    builds: int = 0
    build_seconds: float = 0.0
    catch_up_seconds: float = 0.0
    events: int = 0


class Builds:
    """Adds up the cost of all indexes that are given it; safe from threads."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._cost = Cost()

    @property
    def cost(self) -> Cost:
        """What it came to by now."""
        return self._cost

    def add_build(self, events: int, seconds: float) -> None:
        """Adds an index that was made from nothing."""
        with self._mutex:
            so_far = self._cost
            self._cost = so_far._replace(
                builds=so_far.builds + 1,
                build_seconds=so_far.build_seconds + seconds,
                events=so_far.events + events,
            )

    def add_catch_up(self, events: int, seconds: float) -> None:
        """Adds what an index took in as its log grew."""
        with self._mutex:
            so_far = self._cost
            self._cost = so_far._replace(
                catch_up_seconds=so_far.catch_up_seconds + seconds, events=so_far.events + events
            )
