"""Where the time of the first write after a kill goes: into the processor, syncs, or waiting."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk
from thence.log.open import Log
from thence.log.read.opening import opened_vocabulary

SYNCS = ("sync_data", "sync_folder", "write_new")
# four for a torn tail, one for unclean ends, two for the notices of tails, one for the event; and
# two for a segment that is begun amid them
SYNCS_MAX = 10
WORK_S_MAX = 0.05
WORK_P50_S_MAX = 0.02
SLOWEST = 5


class FirstWrite(NamedTuple):
    """One reopening until its first event was durable; all times in seconds.

    `work_s` is the processor's time. Waited was in so many `syncs` for `syncs_s`, in other calls to
    the disk for `calls_s`.
    """

    wall_s: float
    work_s: float
    syncs: int
    syncs_s: float
    calls_s: float

    @property
    def elsewhere_s(self) -> float:
        """What is left: it was ready, and other programs had the processor."""
        return max(0.0, self.wall_s - self.work_s - self.syncs_s - self.calls_s)

    def __str__(self) -> str:
        ms = [1000 * each for each in self]
        return (
            f"{ms[0]:.1f} ms: processor {ms[1]:.1f}, waiting for {self.syncs} syncs {ms[3]:.1f}, "
            f"for other calls {ms[4]:.1f}, for a processor {1000 * self.elsewhere_s:.1f}"
        )


class TimedDisk(Disk):
    """The real disk, which notes how often each call was made and how long it waited in it."""

    def __init__(self) -> None:
        self.waited_s: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._is_inside = False

    def timed(self, name: str, call: Callable[[], object]) -> object:
        """Make a call, which may be made of others."""
        if self._is_inside:
            return call()
        self._is_inside = True
        start, work = time.perf_counter(), time.thread_time()
        try:
            return call()
        finally:
            self._is_inside = False
            took = time.perf_counter() - start - (time.thread_time() - work)
            self.waited_s[name] += max(0.0, took)
            self.calls[name] += 1


def _timed(name: str) -> Callable[..., object]:
    def call(self: TimedDisk, *arguments: object) -> object:
        return self.timed(name, lambda: getattr(Disk, name)(self, *arguments))

    return call


for _name in [name for name in vars(Disk) if not name.startswith("_")]:
    setattr(TimedDisk, _name, _timed(_name))


def first_write(folder: Path, vocabulary: Vocabulary | str) -> tuple[Log, str, FirstWrite]:
    """Open a log as `thence.open` does and append to it; what it took, and the event's id."""
    disk = TimedDisk()
    start, work = time.perf_counter(), time.thread_time()
    log = Log(folder, opened_vocabulary(disk, folder, vocabulary, True), disk=disk)
    event_id = log.append("reopened", caused_by=()).event_id
    wall_s, work_s = time.perf_counter() - start, time.thread_time() - work
    syncs_s = sum(disk.waited_s.pop(name, 0.0) for name in SYNCS)
    syncs = sum(disk.calls[name] for name in SYNCS)
    calls_s = sum(disk.waited_s.values())
    return log, event_id, FirstWrite(wall_s, work_s, syncs, syncs_s, calls_s)


def timing(found: Sequence[FirstWrite]) -> str:
    """Say how long the first writes after a kill took, and where the slowest spent it."""
    walls, works = ([each[place] for each in found] for place in (0, 1))
    slowest = sorted(found, reverse=True)[:SLOWEST]
    told = f"first write after a kill: {spread(walls)}; of the processor {spread(works)}"
    return "\n  slowest ".join([told, *map(str, slowest)])


def spread(values_s: Sequence[float]) -> str:
    """Say p50, p99 and the largest of some seconds."""
    ordered = sorted(values_s)
    p50, p99, largest = (
        1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in (0.5, 0.99, 1)
    )
    return f"p50 {p50:.1f}, p99 {p99:.1f}, at most {largest:.1f} ms"


def too_many_syncs(found: Sequence[FirstWrite]) -> list[str]:
    """Return the first writes that waited for the disk more often than they may."""
    return [f"more than {SYNCS_MAX} syncs: {x}" for x in found if x.syncs > SYNCS_MAX]


def slow(found: Sequence[FirstWrite]) -> list[str]:
    """Return what took the processor longer than it may, for a campaign on a machine of its own.

    The time on the wall is told and not judged: it is as long as disk and machine are busy.
    """
    over = [f"of the processor more than 50 ms: {x}" for x in found if x.work_s >= WORK_S_MAX]
    if statistics.median(each.work_s for each in found) >= WORK_P50_S_MAX:
        over.append("half of the first writes took the processor more than 20 ms")
    return over
