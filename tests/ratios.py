"""How long one thing takes in terms of another, on machines that are fast, slow or busy."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

ROUNDS_MIN = 3
ROUNDS_MAX = 10
TRIES_MAX = 5


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


def least_s(measured: Callable[[], float], bound_s: float) -> float:
    """Measure until the bound is held, at most five times; return the least, in seconds.

    A machine that stands still once adds to one time, and what is truly slower is so in each.
    """
    least = measured()
    for _ in range(TRIES_MAX - 1):
        if least < bound_s:
            break
        least = min(least, measured())
    return least


@contextmanager
def full_collections() -> Iterator[list[float]]:
    """Note what each full garbage collection took this thread, in seconds of the processor.

    They look at all that a process holds, in a test all that the tests before it left.
    """
    found: list[float] = []
    here, begun = threading.get_ident(), 0.0

    def heard(phase: str, facts: dict[str, Any]) -> None:
        nonlocal begun
        if facts["generation"] < 2 or threading.get_ident() != here:
            return
        if phase == "start":
            begun = time.thread_time()
        else:
            found.append(time.thread_time() - begun)

    gc.callbacks.append(heard)
    try:
        yield found
    finally:
        gc.callbacks.remove(heard)
