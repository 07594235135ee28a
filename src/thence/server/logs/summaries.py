"""The summary of each log, kept until the log's files change.

A log is read when it is asked for, and again when one of its files has another size, time or
inode. The totals of these logs are returned from memory, without disk access. A small log is summed
up by its lines when it is listed first, so that a list of many runs makes no index for each.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from msgspec import structs

from thence.core.codec import BadLine
from thence.core.query.why import descending
from thence.core.vocabulary import Vocabulary
from thence.errors import SuppressCodes, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.disk_errors import reading
from thence.log.files.segment import CURRENT, current_path, segments, strays
from thence.log.index.overview import (
    DAMAGE_LISTED_MAX,
    BadBytes,
    EventMoment,
    Figures,
    LogFacts,
    course_of,
    figures,
    overview,
)
from thence.log.index.rows import INTEGER_MAX, Entry, Times, failed_of, rows_of, usage_of
from thence.log.log_reader import INDEXED_BYTES_MIN
from thence.log.read.reader import Cursor, blocks, lines_of
from thence.server.logs.open_logs import Logs, OpenLog
from thence.server.logs.root import SWEEP_MARK, Fingerprint, FoundLog, Root, fingerprint
from thence.server.logs.run_record import TITLE_FILE, RunRecord, read_record

COURSE_BUCKETS = 50
_SAMPLE_BYTES = 256 * 1024
# what the record of a run depends on besides its events; writers come and go in the last one
_RECORDED = (
    *("config.json", "result.json", ".thence/log.json", ".thence/open"),
    f".thence/{TITLE_FILE}",
)


def summarize(log: OpenLog) -> LogFacts:
    """Returns the summary of a log by its index; raises `read_failed`."""
    with reading(log.folder):
        facts, read_bytes = overview(log.index)
        tail = list(_tail(log.folder, log.vocabulary, read_bytes.get(CURRENT, 0)))
        stray_files = list(_strays(log.folder))
    return structs.replace(
        facts,
        damaged_lines=facts.damaged_lines + len(tail) + len(stray_files),
        damage=(*stray_files, *facts.damage, *tail)[:DAMAGE_LISTED_MAX],
    )


def _counted(log: FoundLog) -> tuple[LogFacts, Figures] | None:
    """Returns summary and figures of a log from its lines, in a tenth of the time of an index.

    It is None unless all lines are whole and have ids of their own.
    """
    events: list[Entry] = []
    failures = 0
    with reading(log.folder):
        for block in blocks(OS_DISK, log.folder):
            for rows in rows_of(block, log.vocabulary):
                if rows.bad or not block.is_whole:
                    return None
                events += rows.entries
                failures += sum(failed_of(rows.entries))
        damage = tuple(_strays(log.folder))
    if len({event.event_id for event in events}) < max(len(events), 1):
        return None
    events.sort(key=_order)
    times = Times().of([event.timestamp for event in events])
    moments = (at for at, time in enumerate(times) if isinstance(time, int))
    earliest = min(moments, key=times.__getitem__, default=0)
    first, last = (EventMoment(one.event_id, one.timestamp) for one in (events[0], events[-1]))
    turns = [event.turn_number for event in events if event.turn_number is not None]
    facts = LogFacts(
        events=len(events),
        failures=failures,
        unverified=sum(not event.lamport_clock for event in events),
        turns=min(max(turns, default=0), INTEGER_MAX),
        by_type=descending(Counter(event.event_type for event in events)),
        by_actor=descending(Counter(event.actor for event in events if event.actor)),
        start_time=events[earliest].timestamp,
        first=first,
        last=last,
        damaged_lines=len(damage),
        damage=damage[:DAMAGE_LISTED_MAX],
    )
    usage = [row for event in events if (row := usage_of(event.payload, event.begins))]
    tokens = [count for row in usage for count in row[1:3] if count is not None]
    costs = [row[3] for row in usage if row[3] is not None]
    timed = [time for time in times if isinstance(time, int)]
    course = _course(turns if log.is_simulation and turns else timed)
    return facts, Figures(
        sum(tokens) if tokens else None,
        math.fsum(costs) if costs else None,
        course,
        max(timed, default=None),
    )


def _order(event: Entry) -> tuple[int, str, str]:
    clock = event.lamport_clock
    return clock, event.node_id if clock else event.timestamp, event.event_id


def _course(places: Sequence[int]) -> tuple[int, ...]:
    """Returns how many events lie in each part of their turns or times."""
    if not places:
        return ()
    first = min(places)
    length = max(places) - first + 1
    buckets = min(COURSE_BUCKETS, length)
    rows = Counter((place - first) * buckets // length for place in places)
    return course_of(rows, buckets)


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
        reason = "its name is not a segment's: nothing in it is read"
        yield BadBytes(path.name, 0, status[1] if status else 0, "passed_over", reason)


class _Kept(NamedTuple):
    """A summary, and the state of the files that it is about."""

    fingerprint: Fingerprint
    is_simulation: bool
    facts: LogFacts
    figures: Figures | None


class Listed(NamedTuple):
    """What a list shows of a log."""

    facts: LogFacts
    figures: Figures


class Summaries:
    """The summaries of the logs that were read so far, and the records of runs; thread-safe."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._mutex = Lock()
        self._summaries: dict[str, _Kept] = {}
        self._records: dict[str, tuple[Fingerprint, RunRecord]] = {}
        self.unreadable: set[str] = set()

    def of(self, location: FoundLog) -> LogFacts:
        """Returns the summary of a log; raises `read_failed`."""
        return self._kept(location, has_figures=False).facts

    def count(self, location: FoundLog) -> None:
        """Reads what a list shows of a log, unless it is kept, or notes that it is unreadable."""
        try:
            self._kept(location, has_figures=True)
            self.unreadable.discard(location.id)
        except (OSError, ThenceError):
            self.unreadable.add(location.id)

    def listed(self, location: FoundLog) -> Listed | None:
        """Returns what is kept of a log for a list; it reads nothing."""
        kept = self._summaries.get(location.id)
        if kept is None or kept.figures is None or kept.is_simulation != location.is_simulation:
            return None
        return Listed(kept.facts, kept.figures)

    def record(self, root: Root, location: FoundLog) -> RunRecord:
        """Returns a run's record; one that has ended is read once, until a file of it changes."""
        state = fingerprint(location.folder, *_RECORDED)
        kept = self._records.get(location.id)
        if kept is None or kept[0] != state or kept[1].status == "running":
            kept = state, read_record(root, location)
            with self._mutex:
                self._records[location.id] = kept
        return kept[1]

    def _kept(self, location: FoundLog, *, has_figures: bool) -> _Kept:
        state = fingerprint(location.folder), location.is_simulation
        kept = self._summaries.get(location.id)
        if kept is not None and kept[:2] == state and (kept.figures or not has_figures):
            return kept
        is_small = sum(size for _, _, size, _ in state[0]) < INDEXED_BYTES_MIN
        is_first = kept is None and not self._logs.is_open(location)
        counted: tuple[LogFacts, Figures | None] | None = None
        if is_first and is_small:
            counted = _counted(location)
        if counted is None:
            with self._logs.using(location, is_kept=False) as log:
                facts = summarize(log)
                key: Literal["turn", "time"] = (
                    "turn" if location.is_simulation and facts.turns else "time"
                )
                read = figures(log.index, key, COURSE_BUCKETS) if has_figures else None
            counted = facts, read
        with self._mutex:
            kept = self._summaries[location.id] = _Kept(*state, *counted)
        return kept

    def readable(self, location: FoundLog) -> LogFacts | None:
        """Returns the summary of a log; None for one that can't be read now."""
        with SuppressCodes("read_failed"):
            return self.of(location)
        return None

    def has(self, log_id: str) -> bool:
        """Reports whether a log has a summary, maybe from before it changed."""
        return log_id in self._summaries

    def keep_only(self, ids: set[str]) -> None:
        """Forgets the logs whose ids are not in `ids`; those of sweeps are kept."""
        with self._mutex:
            self._summaries = {
                key: kept
                for key, kept in self._summaries.items()
                if key in ids or SWEEP_MARK in key
            }
            self._records = {key: self._records[key] for key in ids & self._records.keys()}

    def forget(self, log_id: str) -> None:
        """Forgets a log that is gone."""
        with self._mutex:
            self._summaries.pop(log_id, None)

    def totals(self) -> dict[str, int]:
        """Returns the totals of the logs that were asked for, as `/health` names them."""
        with self._mutex:
            summaries = list(self._summaries.values())
        simulations = sum(kept.is_simulation for kept in summaries)
        every = [kept.facts for kept in summaries]
        return {
            "simulations": simulations,
            "logs": len(every) - simulations,
            "events": sum(facts.events for facts in every),
            "unverified": sum(facts.unverified for facts in every),
            "damaged_lines": sum(facts.damaged_lines for facts in every),
            "damaged_logs": sum(bool(facts.damaged_lines) for facts in every),
        }


def size_bytes(location: FoundLog) -> int:
    """Returns the size of a log's segments in bytes."""
    return sum(size for _, _, size, _ in fingerprint(location.folder))


def line_bytes(folder: Path) -> float:
    """Returns the mean length of the first lines of a log, by which its events are estimated."""
    with reading(folder):
        for path in segments(OS_DISK, folder):
            with path.open("rb") as file:
                data = file.read(_SAMPLE_BYTES)
            if data:
                return len(data) / (data.count(b"\n") or 1)
    return 1.0
