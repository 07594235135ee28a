"""The summary of each log, kept until the log's files change.

A log is read when it is asked for, and again when one of its files has another size, time or
inode. The totals of these logs are returned from memory, without disk access.
"""

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from msgspec import structs

from thence.core.codec import BadLine
from thence.core.vocabulary import Vocabulary
from thence.errors import ThenceError
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
        # files that look like segments and are none, as `verify` reports them
        stray_files = []
        for path in strays(OS_DISK, log.folder):
            status = OS_DISK.path_id(str(path))
            reason = "its name is not a segment's: nothing in it is read"
            bad = BadBytes(path.name, 0, status[1] if status else 0, "passed_over", reason)
            stray_files.append(bad)
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
    with closing(Cursor(OS_DISK, path.name, OS_DISK.open_read(path), offset)) as cursor:
        for _ in cursor.blocks():  # the lines since the index was built
            pass
        for line in chain.from_iterable(lines_of(rest, vocabulary) for rest in cursor.rest()):
            if isinstance(line.content, BadLine):
                yield BadBytes(line.file, line.offset, line.length, *line.content)


class _Kept(NamedTuple):
    """A summary, and the state of the files that it is about."""

    fingerprint: Fingerprint
    is_simulation: bool
    facts: LogFacts


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
        self._listed: dict[str, Listed] = {}
        self._records: dict[str, tuple[Fingerprint, RunRecord]] = {}
        self.unreadable: set[str] = set()

    def of(self, log: FoundLog) -> LogFacts:
        """Returns the summary of a log; raises `read_failed`."""
        state = fingerprint(log.folder), log.is_simulation
        kept = self._summaries.get(log.id)
        if kept is None or kept[:2] != state:
            with self._logs.using(log, is_kept=False) as opened:
                kept = _Kept(*state, summarize(opened))
            with self._mutex:
                self._summaries[log.id] = kept
        return kept.facts

    def count(self, log: FoundLog) -> None:
        """Reads what a list shows of a log, unless it is kept, or notes that it is unreadable."""
        try:
            facts, listed = self.of(log), self._listed.get(log.id)
            if listed is None or listed.facts is not facts:
                has_turns = log.is_simulation and facts.turns
                key: Literal["turn", "time"] = "turn" if has_turns else "time"
                with self._logs.using(log, is_kept=False) as opened:
                    listed = Listed(facts, figures(opened.index, key))
                with self._mutex:
                    self._listed[log.id] = listed
            self.unreadable.discard(log.id)
        except (OSError, ThenceError):
            self.unreadable.add(log.id)

    def listed(self, log: FoundLog) -> Listed | None:
        """Returns what is kept of a log for a list; it reads nothing."""
        return self._listed.get(log.id)

    def record(self, root: Root, log: FoundLog) -> RunRecord:
        """Returns a run's record; one that has ended is read once, until a file of it changes."""
        state = fingerprint(log.folder, *_RECORDED)
        kept = self._records.get(log.id)
        if kept is None or kept[0] != state or kept[1].status == "running":
            kept = state, read_record(root, log)
            with self._mutex:
                self._records[log.id] = kept
        return kept[1]

    def has(self, log_id: str) -> bool:
        """Reports whether a log has a summary, maybe from before it changed."""
        return log_id in self._summaries

    def keep_only(self, ids: set[str]) -> None:
        """Forgets the logs whose ids are not in `ids`; those of sweeps are kept."""
        with self._mutex:
            for kept in (self._summaries, self._listed, self._records):
                for log_id in kept.keys() - ids:
                    if SWEEP_MARK not in log_id:
                        kept.pop(log_id, None)

    def totals(self) -> dict[str, int]:
        """Returns the totals of the logs that were asked for, as `/health` names them."""
        with self._mutex:
            summaries = list(self._summaries.values())
        simulations = sum(kept.is_simulation for kept in summaries)
        summed = ("events", "unverified", "damaged_lines")
        return {
            "simulations": simulations,
            "logs": len(summaries) - simulations,
            **{name: sum(getattr(kept.facts, name) for kept in summaries) for name in summed},
            "damaged_logs": sum(bool(kept.facts.damaged_lines) for kept in summaries),
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
