"""What whoever goes on reading a log of 1,000,000 events pays beyond what is new."""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import thence
from thence.log.open import Log

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


def durations_ms(folder: Path) -> dict[str, float]:
    """Returns the milliseconds of each way of going on, by an index."""
    with thence.open(folder) as log, thence.open(folder) as other:
        log.indexed().refresh()
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


def asked_ms(folder: Path) -> dict[str, tuple[float, float]]:
    """Returns the milliseconds of the daily questions to a warm index, and the most they may be."""
    with thence.open(folder) as log:
        log.indexed().refresh()
        questions: dict[str, tuple[Callable[[], object], float]] = {
            "counts, by type and by actor": (log.stats, 50),
            "counts of one type by actor": (lambda: log.stats(by="actor", type=_TYPES[0]), 50),
            "counts by subject": (lambda: log.stats(by="subject"), 500),
            "the last event, and what is open": (log.end, 50),
            "@last-error": (lambda: log.query(type=_TYPES[0], descending=True, limit=1), 50),
            "heads of a subject": (lambda: log.heads("order/7"), 50),
        }
        return {name: (_best_ms(work), most) for name, (work, most) in questions.items()}


def _best_ms(work: Callable[[], object]) -> float:
    durations = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        durations.append((time.perf_counter() - start) * 1e3)
    return statistics.median(durations)


def rows(place: Path, row: Callable[[str, str, str, bool], None]) -> None:
    """A7: what going on and the daily questions cost at 1,000,000 events."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        log = Path(folder) / "log"
        written(log)
        for name, ms in durations_ms(log).items():
            row(name, f"{ms:.1f} ms", "10 ms", ms <= 10)
        for name, (ms, most) in asked_ms(log).items():
            row(name, f"{ms:.1f} ms", f"{most:g} ms", ms <= most)
