"""The summary of each log, kept until the log's files change.

A log is read once, and again when one of its files has another size, time or inode. The totals
of all logs are returned from memory, without disk access.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.values.codec import BadLine
from thence.core.values.vocabulary import Vocabulary
from thence.errors import ReadFailed
from thence.index.overview import BadBytes, overview
from thence.log.read.reader import Cursor, lines_of
from thence.log.storage.disk import OS_DISK
from thence.log.storage.disk_errors import reading
from thence.log.storage.segment import CURRENT, current_path, segments, strays
from thence.server.logs.open_logs import Logs, OpenLog
from thence.server.logs.root import FoundLog

DAMAGE_LISTED_MAX = 100


class EventMoment(msgspec.Struct, frozen=True):
    """An event by its id and time."""

    event_id: str
    timestamp: str


class LogFacts(msgspec.Struct, frozen=True):
    """The summary of a log. `damaged_lines` counts all bad lines, `damage` lists the first 100.

    A file that looks like a segment and is none counts as one bad line.

    `start_time` is the earliest time of an event, `first` and `last` are by the total order,
    `turns` is the largest turn number.
    """

    events: int
    unverified: int
    turns: int
    by_type: dict[str, int]
    by_actor: dict[str, int]
    start_time: str | None
    first: EventMoment | None
    last: EventMoment | None
    damaged_lines: int
    damage: tuple[BadBytes, ...]


def summarize(log: OpenLog) -> LogFacts:
    """Returns the summary of a log by its index; raises ReadFailed."""
    with reading(log.folder):
        counts = overview(log.index, DAMAGE_LISTED_MAX)
        tail = list(_tail(log.folder, log.vocabulary, counts.read_bytes.get(CURRENT, 0)))
        stray_files = list(_strays(log.folder))
    return LogFacts(
        events=counts.events,
        unverified=counts.unverified,
        turns=counts.turns,
        by_type=dict(counts.by_type),
        by_actor=dict(counts.by_actor),
        start_time=(counts.earliest.timestamp or None) if counts.earliest else None,
        first=_moment(counts.first),
        last=_moment(counts.last),
        damaged_lines=counts.bad_lines + len(tail) + len(stray_files),
        damage=(*stray_files, *counts.damage, *tail)[:DAMAGE_LISTED_MAX],
    )


def _tail(folder: Path, vocabulary: Vocabulary, offset: int) -> Iterator[BadBytes]:
    """Yields the bad bytes after the last newline, which the index passes over."""
    path = current_path(folder)
    if OS_DISK.path_id(str(path)) is None:
        return
    cursor = Cursor(OS_DISK, path.name, OS_DISK.open_read(path), offset)
    try:
        for _ in cursor.blocks():  # the lines since the index was built
            pass
        for line in chain.from_iterable(lines_of(rest, vocabulary) for rest in cursor.rest()):
            if isinstance(line.content, BadLine):
                yield BadBytes(line.file, line.offset, line.length, *line.content)
    finally:
        cursor.close()


def _strays(folder: Path) -> Iterator[BadBytes]:
    """Yields the files that look like segments and are none, as `verify` reports them."""
    for path in strays(OS_DISK, folder):
        status = OS_DISK.path_id(str(path))
        reason = "its name is no segment's: nothing in it is read"
        yield BadBytes(path.name, 0, status[1] if status else 0, "file_passed_over", reason)


def _moment(event: Event | None) -> EventMoment | None:
    return EventMoment(event.event_id, event.timestamp) if event is not None else None


_Fingerprint = tuple[tuple[str, int, int, int], ...]


class Totals(msgspec.Struct, frozen=True):
    """The totals of all summaries."""

    simulations: int = 0
    logs: int = 0
    events: int = 0
    unverified: int = 0
    damaged_lines: int = 0
    damaged_logs: int = 0


class Summaries:
    """The summaries of the logs that were read so far; thread-safe."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._mutex = Lock()
        self._summaries: dict[str, tuple[_Fingerprint, bool, LogFacts]] = {}
        self._totals: Totals | None = None

    def of(self, found: FoundLog) -> LogFacts:
        """Returns the summary of a log; raises ReadFailed."""
        fingerprint = _fingerprint(found)
        known = self._summaries.get(found.id)
        if known is not None and known[0] == fingerprint and known[1] == found.is_simulation:
            return known[2]
        with self._logs.using(found, is_kept=False) as log:
            summary = summarize(log)
        with self._mutex:
            self._summaries[found.id] = (fingerprint, found.is_simulation, summary)
            self._totals = None
        return summary

    def readable(self, found: FoundLog) -> LogFacts | None:
        """Returns the summary of a log; None for one that can't be read now."""
        try:
            return self.of(found)
        except ReadFailed:
            return None

    def has(self, log_id: str) -> bool:
        """Reports whether a log has a summary, maybe from before it changed."""
        return log_id in self._summaries

    def keep_only(self, ids: set[str]) -> None:
        """Forgets the logs whose ids are not in `ids`."""
        with self._mutex:
            self._summaries = {key: known for key, known in self._summaries.items() if key in ids}
            self._totals = None

    def totals(self) -> Totals:
        """Returns the totals of all logs, from memory."""
        with self._mutex:
            if self._totals is None:
                self._totals = _total(list(self._summaries.values()))
            return self._totals


def size_bytes(found: FoundLog) -> int:
    """Returns the size of a log's segments in bytes."""
    return sum(size for _, _, size, _ in _fingerprint(found))


def _fingerprint(found: FoundLog) -> _Fingerprint:
    files = []
    with reading(found.folder):
        for path in (*segments(OS_DISK, found.folder), *strays(OS_DISK, found.folder)):
            try:
                status = os.stat(path)
            except FileNotFoundError:  # rotated in between
                continue
            files.append((path.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(files)


def _total(known: list[tuple[Any, bool, LogFacts]]) -> Totals:
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
