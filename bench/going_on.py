"""What whoever goes on reading a log of 1,000,000 events pays beyond what is new."""

import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import thence
from thence.replica import Log

EVENTS = 1_000_000
ROUNDS = 9
_TYPES = ("order.placed", "order.paid", "order.shipped")
SUBJECTS, ACTORS = 1_000, 7


def written(folder: Path, count: int = EVENTS) -> None:
    """Writes the log, each event caused by the one before on its subject."""
    with thence.open(folder, on_full="block") as log:
        latest: dict[int, str] = {}
        for number in range(count):
            subject = number % SUBJECTS
            latest[subject] = log.emit(
                _TYPES[number % len(_TYPES)],
                {"amount": number % 100, "good": "grain"},
                subject=f"order/{subject}",
                actor=f"ada{number % ACTORS}",
                caused_by=latest.get(subject),
            )


def median_ms(log: Log, other: Log, work: Callable[[], object]) -> float:
    """Returns what a piece of work takes each time after another writer appended one event."""
    durations = []
    for _ in range(ROUNDS):
        other.append("order.seen", {}, subject="order/none")
        start = time.perf_counter()
        work()
        durations.append((time.perf_counter() - start) * 1e3)
    return statistics.median(durations)


def durations_ms(folder: Path, is_indexed: bool) -> dict[str, float]:
    """Returns the milliseconds of each way of going on, with an index or without one."""
    with thence.open(folder) as log, thence.open(folder) as other:
        if is_indexed:
            log.answers.indexed().refresh()
        since = log.position()

        def guarded() -> None:
            guard = thence.Unchanged(since, {"order/watched"})
            log.append("order.noted", {}, subject="order/7", guard=guard)

        ways: dict[str, Callable[[], object]] = {
            "position()": log.position,
            "read(after)": lambda: list(log.read(after=since)),
            "first event of follow(after)": lambda: next(iter(log.follow(after=since))),
            "guarded append": guarded,
            "the first 5 of read()": lambda: list(islice(log.read(), 5)),
        }
        return {name: median_ms(log, other, work) for name, work in ways.items()}
