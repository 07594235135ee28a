"""Interleaved rounds: every contender once a round, medians over all rounds."""

import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Contender = Callable[[Path], float]
ROUNDS = 5


def measure(
    contenders: Mapping[str, Contender], place: Path, rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Runs each contender once a round in a folder of its own; returns its figures."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            folder = Path(tempfile.mkdtemp(dir=place))
            gc.collect()
            figures[name].append(contender(folder))
            shutil.rmtree(folder)
    return figures


def ratio(figures: Mapping[str, list[float]], one: str, other: str) -> float:
    """Returns the median of the ratios of two contenders, round by round."""
    pairs = zip(figures[one], figures[other], strict=True)
    return statistics.median(a / b for a, b in pairs)


def spread(values: list[float]) -> float:
    """Returns how far a figure moved within the run: the largest over the smallest."""
    return max(values) / min(values)


def per_second(count: int, work: Callable[[], object]) -> float:
    """Returns how many of `count` things were done in a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)
