"""The summary of each log, kept until the log's files change.

A log is read when it is asked for, and again when one of its files has another size, time or
inode. The totals of these logs are returned from memory, without disk access.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from msgspec import structs

from thence.core.codec import BadLine
from thence.core.vocabulary import Vocabulary
from thence.errors import SuppressCodes, ThenceError
from thence.log.files.disk import OS_DISK, reading
from thence.log.files.segment import CURRENT, current_path, segments, strays
from thence.log.index.overview import (
    DAMAGE_LISTED_MAX,
    BadBytes,
    Figures,
    LogFacts,
    figures,
    overview,
)
from thence.log.read.reader import Cursor, lines_of
from thence.server.logs.root import (
    SWEEP_MARK,
    Fingerprint,
    FoundLog,
    Logs,
    OpenLog,
    Root,
    fingerprint,
)
from thence.server.logs.run_record import RunRecord, read_record

_SAMPLE_BYTES = 256 * 1024
# what the record of a run depends on besides its events; writers come and go in the last one
_RECORDED = (
    *("config.json", "result.json", ".thence/log.json", ".thence/open"),
    ".thence/mirror.json",
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
        logs.on_gone = self._forget

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
        with self._logs.using(location, is_kept=False) as log:
            facts = summarize(log)
            key: Literal["turn", "time"] = (
                "turn" if location.is_simulation and facts.turns else "time"
            )
            course = figures(log.index, key) if has_figures else None
        with self._mutex:
            kept = self._summaries[location.id] = _Kept(*state, facts, course)
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

    def _forget(self, log_id: str) -> None:
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
