"""How long a thing takes, on machines that are fast, slow or busy."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TRIES_MAX = 5


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
