"""What there is to say of each log, kept until its files change.

A log is read once, and again when one of its files has another size, time or place. What is
known of all logs together can be told without touching the disk.
"""

import os
from collections import Counter
from threading import Lock
from typing import Any

import msgspec

from thence.core.codec import BadLine
from thence.core.event import Event
from thence.core.tally import falling
from thence.core.times import microseconds
from thence.errors import ReadFailed
from thence.log.disk import OS_DISK
from thence.log.reader import blocks, lines_of
from thence.log.reading import reading
from thence.log.segment import segments
from thence.server.root import FoundLog

DAMAGE_TOLD_MAX = 100

_Fingerprint = tuple[tuple[str, int, int, int], ...]


class Moment(msgspec.Struct, frozen=True):
    """An event by its id and time."""

    event_id: str
    timestamp: str


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a file that are no event."""

    file: str
    offset: int
    length: int
    code: str
    reason: str


class Summary(msgspec.Struct, frozen=True):
    """What a log holds. `damaged_lines` counts all bad lines, `damage` tells the first 100.

    `start_time` is the earliest time of an event, `first` and `last` are those of the total
    order, `turns` is the largest turn number.
    """

    events: int
    unverified: int
    turns: int
    by_type: dict[str, int]
    by_actor: dict[str, int]
    start_time: str | None
    first: Moment | None
    last: Moment | None
    damaged_lines: int
    damage: tuple[Damage, ...]


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

    def __init__(self) -> None:
        self._mutex = Lock()
        self._known: dict[str, tuple[_Fingerprint, bool, Summary]] = {}
        self._totals: Totals | None = None

    def of(self, found: FoundLog) -> Summary:
        """Returns what there is to say of a log; raises ReadFailed."""
        fingerprint = _fingerprint(found)
        known = self._known.get(found.id)
        if known is not None and known[0] == fingerprint and known[1] == found.is_simulation:
            return known[2]
        summary = read_summary(found)
        with self._mutex:
            self._known[found.id] = (fingerprint, found.is_simulation, summary)
            self._totals = None
        return summary

    def readable(self, found: FoundLog) -> Summary | None:
        """Returns what there is to say of a log; None for one that can't be read now."""
        try:
            return self.of(found)
        except ReadFailed:
            return None

    def is_known(self, found: FoundLog) -> bool:
        """Tells whether a log was looked at, maybe before it changed."""
        return found.id in self._known

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


def read_summary(found: FoundLog) -> Summary:
    """Reads a log from its first byte to its last; raises ReadFailed."""
    tallying = _Tallying()
    with reading(found.folder):
        for block in blocks(OS_DISK, found.folder):
            for line in lines_of(block, found.vocabulary):
                if isinstance(line.content, BadLine):
                    damage = (line.file, line.offset, line.length)
                    tallying.add_damage(Damage(*damage, line.content.code, line.content.reason))
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
        self._damage: list[Damage] = []

    def add_damage(self, damage: Damage) -> None:
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

    def summary(self) -> Summary:
        start = self._earliest[1] if self._earliest else None
        if start is None and self._first is not None:
            start = self._first.timestamp or None
        return Summary(
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


def _moment(event: Event | None) -> Moment | None:
    return Moment(event.event_id, event.timestamp) if event is not None else None


def _fingerprint(found: FoundLog) -> _Fingerprint:
    facts = []
    with reading(found.folder):
        for path in segments(OS_DISK, found.folder):
            try:
                there = os.stat(path)
            except FileNotFoundError:  # rotated in between
                continue
            facts.append((path.name, there.st_ino, there.st_size, there.st_mtime_ns))
    return tuple(facts)


def _summed(known: list[tuple[Any, bool, Summary]]) -> Totals:
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
