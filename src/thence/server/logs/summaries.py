"""What there is to say of each log, kept until its files change.

A log is looked at once, and again when one of its files has another size, time or place. What
is known of all logs together can be told without touching the disk.
"""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.query.tally import falling
from thence.core.times import microseconds
from thence.core.values.codec import BadLine
from thence.core.values.vocabulary import Vocabulary
from thence.errors import ReadFailed
from thence.index.file.database import Index
from thence.index.plan.overview import BadBytes, overview
from thence.log.read.read_errors import reading
from thence.log.read.reader import Cursor, blocks, lines_of
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import CURRENT, current_path, segments, strays
from thence.server.logs.logs import Logs, OpenLog
from thence.server.logs.root import FoundLog

DAMAGE_TOLD_MAX = 100


class EventMoment(msgspec.Struct, frozen=True):
    """An event by its id and time."""

    event_id: str
    timestamp: str


class LogFacts(msgspec.Struct, frozen=True):
    """What a log holds. `damaged_lines` counts all bad lines, `damage` tells the first 100.

    A file that looks like a segment and is none counts as one of them.

    `start_time` is the earliest time of an event, `first` and `last` are those of the total
    order, `turns` is the largest turn number.
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


def summed_up(log: OpenLog, index: Index | None) -> LogFacts:
    """Returns what there is to say of a log, of its lines without an index; raises ReadFailed."""
    with reading(log.folder):
        if index is None:
            return _read(log)
        told = overview(index, DAMAGE_TOLD_MAX)
        tail = list(_tail(log.folder, log.vocabulary, told.read_bytes.get(CURRENT, 0)))
        unread = list(_unread(log.folder))
    return LogFacts(
        events=told.events,
        unverified=told.unverified,
        turns=told.turns,
        by_type=dict(told.by_type),
        by_actor=dict(told.by_actor),
        start_time=(told.earliest.timestamp or None) if told.earliest else None,
        first=_moment(told.first),
        last=_moment(told.last),
        damaged_lines=told.bad_lines + len(tail) + len(unread),
        damage=(*unread, *told.damage, *tail)[:DAMAGE_TOLD_MAX],
    )


def _tail(folder: Path, vocabulary: Vocabulary, offset: int) -> Iterator[BadBytes]:
    """Yields what follows the last newline and is no event; the index passes over it."""
    path = current_path(folder)
    if OS_DISK.path_id(str(path)) is None:
        return
    cursor = Cursor(OS_DISK, path.name, OS_DISK.open_read(path), offset)
    try:
        for _ in cursor.blocks():  # what has come in since
            pass
        for line in chain.from_iterable(lines_of(rest, vocabulary) for rest in cursor.rest()):
            if isinstance(line.content, BadLine):
                yield BadBytes(line.file, line.offset, line.length, *line.content)
    finally:
        cursor.close()


def _unread(folder: Path) -> Iterator[BadBytes]:
    """Yields the files that look like segments and are none, as `verify` reports them."""
    for path in strays(OS_DISK, folder):
        there = OS_DISK.path_id(str(path))
        reason = "its name is no segment's: nothing in it is read"
        yield BadBytes(path.name, 0, there[1] if there else 0, "file_passed_over", reason)


def _read(log: OpenLog) -> LogFacts:
    """Reads a log from its first byte to its last."""
    tallying = _Tallying()
    for stray in _unread(log.folder):
        tallying.add_damage(stray)
    for block in blocks(OS_DISK, log.folder):
        for line in lines_of(block, log.vocabulary):
            if isinstance(line.content, BadLine):
                bad = BadBytes(line.file, line.offset, line.length, *line.content)
                tallying.add_damage(bad)
            elif line.is_whole:
                tallying.add(line.content)
    return tallying.summary()


class _Tallying:
    """Counts that grow line by line; each id counts once."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._types: Counter[str] = Counter()
        self._actors: Counter[str] = Counter()
        self._unverified = self._turns = self._damaged = 0
        self._earliest: tuple[int, str] | None = None
        self._first: Event | None = None
        self._last: Event | None = None
        self._damage: list[BadBytes] = []

    def add_damage(self, damage: BadBytes) -> None:
        self._damaged += 1
        if len(self._damage) < DAMAGE_TOLD_MAX:
            self._damage.append(damage)

    def add(self, event: Event) -> None:
        if event.event_id in self._ids:
            return
        self._ids.add(event.event_id)
        self._types[event.event_type] += 1
        self._unverified += event.is_foreign
        self._turns = max(self._turns, event.turn_number or 0)
        actor = event.actor
        if actor:
            self._actors[actor] += 1
        if self._first is None or event.order_key < self._first.order_key:
            self._first = event
        if self._last is None or event.order_key > self._last.order_key:
            self._last = event
        time = microseconds(event.timestamp)
        if time is not None and (self._earliest is None or time < self._earliest[0]):
            self._earliest = (time, event.timestamp)

    def summary(self) -> LogFacts:
        start = self._earliest[1] if self._earliest else None
        if start is None and self._first is not None:
            start = self._first.timestamp or None
        return LogFacts(
            events=len(self._ids),
            unverified=self._unverified,
            turns=self._turns,
            by_type=falling(self._types),
            by_actor=falling(self._actors),
            start_time=start,
            first=_moment(self._first),
            last=_moment(self._last),
            damaged_lines=self._damaged,
            damage=tuple(self._damage),
        )


def _moment(event: Event | None) -> EventMoment | None:
    return EventMoment(event.event_id, event.timestamp) if event is not None else None


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
