"""The cost of building indexes, for metrics."""

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
        self._cost = Cost()

    @property
    def cost(self) -> Cost:
        """The sum so far."""
        return self._cost

    def add_build(self, events: int, seconds: float) -> None:
        """Adds an index built from nothing."""
        with self._mutex:
            so_far = self._cost
            self._cost = so_far._replace(
                builds=so_far.builds + 1,
                build_seconds=so_far.build_seconds + seconds,
                events=so_far.events + events,
            )

    def add_catch_up(self, events: int, seconds: float) -> None:
        """Adds the events that an index added as its log grew."""
        with self._mutex:
            so_far = self._cost
            self._cost = so_far._replace(
                catch_up_seconds=so_far.catch_up_seconds + seconds, events=so_far.events + events
            )
