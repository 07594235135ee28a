"""The wait after failures in a row: chance, up to a limit that doubles."""

from collections.abc import Callable

BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 30.0
_DOUBLINGS_MAX = 10

Random = Callable[[float, float], float]


def backoff_s(failures: int, uniform: Random) -> float:
    """Returns the seconds to wait after some failures in a row: chance, up to a doubling limit.

    The limit is 500 ms after the first failure and 30 s at most ("full jitter": AWS Architecture
    Blog, Exponential Backoff And Jitter, 2015).
    """
    doublings = min(max(failures - 1, 0), _DOUBLINGS_MAX)
    return uniform(0.0, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**doublings))
