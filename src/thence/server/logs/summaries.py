"""What there is to say of each log, kept until its files change.

A log is looked at once, and again when one of its files has another size, time or place. What
is known of all logs together can be told without touching the disk.
"""

import os
from threading import Lock
from typing import Any

import msgspec

from thence.errors import ReadFailed
from thence.log.read.read_errors import reading
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import segments, strays
from thence.server.logs.logs import Logs
from thence.server.logs.root import FoundLog
from thence.server.logs.summary import LogFacts, summed_up

_Fingerprint = tuple[tuple[str, int, int, int], ...]


class Totals(msgspec.Struct, frozen=True):
    """What is known of all logs together."""

    simulations: int = 0
    logs: int = 0
    events: int = 0
    unverified: int = 0
    damaged_lines: int = 0
    damaged_logs: int = 0


class Summaries:
    """The summaries of the logs that were looked at; safe from threads."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._mutex = Lock()
        self._known: dict[str, tuple[_Fingerprint, bool, LogFacts]] = {}
        self._totals: Totals | None = None

    def of(self, found: FoundLog) -> LogFacts:
        """Returns what there is to say of a log; raises ReadFailed."""
        fingerprint = _fingerprint(found)
        known = self._known.get(found.id)
        if known is not None and known[0] == fingerprint and known[1] == found.is_simulation:
            return known[2]
        with self._logs.using(found, is_kept=False) as log:
            # a log that grows is read whole once: from then on its index takes in what came
            summary = summed_up(log, log.answers.index() if known is None else log.index)
        with self._mutex:
            self._known[found.id] = (fingerprint, found.is_simulation, summary)
            self._totals = None
        return summary

    def readable(self, found: FoundLog) -> LogFacts | None:
        """Returns what there is to say of a log; None for one that can't be read now."""
        try:
            return self.of(found)
        except ReadFailed:
            return None

    def has(self, log_id: str) -> bool:
        """Tells whether a log was looked at, maybe before it changed."""
        return log_id in self._known

    def keep_only(self, ids: set[str]) -> None:
        """Forgets the logs that are there no more."""
        with self._mutex:
            self._known = {key: known for key, known in self._known.items() if key in ids}
            self._totals = None

    def totals(self) -> Totals:
        """Returns what is known of all logs together, from memory."""
        with self._mutex:
            if self._totals is None:
                self._totals = _summed(list(self._known.values()))
            return self._totals


def size_bytes(found: FoundLog) -> int:
    """Returns how many bytes the segments of a log hold."""
    return sum(size for _, _, size, _ in _fingerprint(found))


def _fingerprint(found: FoundLog) -> _Fingerprint:
    facts = []
    with reading(found.folder):
        for path in (*segments(OS_DISK, found.folder), *strays(OS_DISK, found.folder)):
            try:
                there = os.stat(path)
            except FileNotFoundError:  # rotated in between
                continue
            facts.append((path.name, there.st_ino, there.st_size, there.st_mtime_ns))
    return tuple(facts)


def _summed(known: list[tuple[Any, bool, LogFacts]]) -> Totals:
    summaries = [summary for _, _, summary in known]
    simulations = sum(is_simulation for _, is_simulation, _ in known)
    return Totals(
        simulations=simulations,
        logs=len(known) - simulations,
        events=sum(summary.events for summary in summaries),
        unverified=sum(summary.unverified for summary in summaries),
        damaged_lines=sum(summary.damaged_lines for summary in summaries),
        damaged_logs=sum(bool(summary.damaged_lines) for summary in summaries),
    )
