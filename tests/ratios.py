"""How long one thing takes in terms of another, on machines that are fast, slow or busy."""

from collections.abc import Callable
from typing import NamedTuple

ROUNDS_MIN = 3
ROUNDS_MAX = 10


class Ratio(NamedTuple):
    """The least time that each of two things took, in turns, in so many rounds."""

    least_s: float
    yardstick_s: float
    rounds: int

    @property
    def value(self) -> float:
        return self.least_s / self.yardstick_s

    def __str__(self) -> str:
        took = f"{1000 * self.least_s:.0f} ms against {1000 * self.yardstick_s:.0f} ms"
        return f"{took} in {self.rounds} rounds: {self.value:.2f}"


def ratio(measured: Callable[[], float], yardstick: Callable[[], float], bound: float) -> Ratio:
    """Measure both in turns until the bound is held, at most ten times.

    Other programs only ever add to a time, so the least of several is what a thing takes by
    itself; what is truly slower than the bound stays over it in every round.
    """
    found = Ratio(measured(), yardstick(), 1)
    while found.rounds < ROUNDS_MIN or (found.value >= bound and found.rounds < ROUNDS_MAX):
        least_s = min(found.least_s, measured())
        found = Ratio(least_s, min(found.yardstick_s, yardstick()), found.rounds + 1)
    print(found)
    return found
