"""The summary of each log, kept until the log's files change.

A log is read when it is asked for, and again when one of its files has another size, time or
inode. The totals of these logs are returned from memory, without disk access.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import structs

from thence.core.codec import BadLine
from thence.core.ready import ready
from thence.core.vocabulary import WORK, Vocabulary
from thence.errors import SuppressCodes, ThenceError
from thence.log.files.disk import OS_DISK, reading
from thence.log.files.segment import CURRENT, current_path, mirror_path, segments
from thence.log.index.overview import (
    DAMAGE_LISTED_MAX,
    BadBytes,
    Figures,
    LogFacts,
    figures,
    overview,
)
from thence.log.read.reader import blocks_of, lines_of
from thence.log.recovery.writers import RunStatus, outcome, run_status
from thence.server.logs.root import (
    SWEEP_MARK,
    Fingerprint,
    FoundLog,
    Logs,
    OpenLog,
    Root,
    fingerprint,
    first_event,
)
from thence.sync.wire.messages import MirroredLog

_SAMPLE_BYTES = 256 * 1024
# what the record of a run depends on besides its events; writers come and go in the last one
_RECORDED = (
    *("config.json", "result.json", ".thence/log.json", ".thence/open"),
    ".thence/mirror.json",
)
MIRROR_BYTES_MAX = 64 * 1024
FILE_BYTES_MAX = 16 * 1024 * 1024
VARIABLES_MAX = 50
_OWN_COLUMNS = ("simulation.name", "simulation.seed")
_VALUES_MAX, _DEPTH_MAX, _TEXT_MAX = 1_000, 6, 200


class RunRecord(msgspec.Struct, frozen=True):
    """A run's name, and its status: running, completed, failed, interrupted or killed.

    `ended` is the status with the decisions that failed. `altered` are the steps whose results the
    run was asked to alter, `parent` is the run that it branched from, with the turn. `settings` are
    the texts of its scenario's values by their keys, but name and seed; `final` those of its
    variables at its end; `variables` are the numbers that it declares, those of agents first.
    `mirrored` is what a log mirrors that `thence sync mirror` keeps.
    """

    name: str
    status: str
    ended: RunStatus
    reason: str | None = None
    error: str | None = None
    altered: tuple[str, ...] = ()
    parent: str | None = None
    variables: tuple[str, ...] = ()
    scenario: str = ""
    seed: int | None = None
    settings: Mapping[str, str] = {}
    final: Mapping[str, str] = {}
    mirrored: MirroredLog | None = None


def read_record(root: Root, log: FoundLog) -> RunRecord:
    """Reads a run's own files, as far as they exist and are valid."""
    config, result = (run_object(root, log, f"{name}.json") for name in ("config", "result"))
    scenario, in_force = _object(config.get("scenario")), _object(config.get("simulation"))
    named = _text(_object(scenario.get("simulation")).get("name"))
    settings = flattened({**scenario, "simulation": in_force})
    parent, seed = _object(config.get("parent")), in_force.get("seed")
    origin, turn = _text(parent.get("run_id")), parent.get("turn")
    if origin is not None and type(turn) is int:
        origin += f" at turn {turn}"
    status = _text(result.get("status"))
    if status is None:
        status = "interrupted"
        with suppress(OSError):
            status = outcome(OS_DISK, log.folder) if root.is_safe(log.folder) else status
    file = mirror_path(log.folder)
    data, mirrored = root.read(file.parent, file.name, MIRROR_BYTES_MAX), None
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        mirrored = msgspec.json.decode(data, type=ready(MirroredLog)) if data else None
    if mirrored is not None:
        named = mirrored.log.title or None
        with SuppressCodes("read_failed"):  # in a mirror no file names the run
            first = first_event(log.folder, log.vocabulary) if log.is_simulation else None
            named = (_text(first.members.get("simulation_id")) if first else None) or named
    folder = log.folder  # a project's journal has an id for its name, and the repository's is known
    is_journal = folder.parent.name == "thence" and folder.parents[1].name == ".git"
    if named is None and is_journal and log.vocabulary.name == WORK.name:
        named = folder.parents[2].name
    return RunRecord(
        name=named or log.id,
        status=status,
        ended=run_status(status, result),
        reason=_text(result.get("reason")),
        error=_text(result.get("error")),
        altered=tuple(_object(config.get("altered"))),
        parent=origin,
        variables=_variables(_object(scenario.get("state_variables"))),
        scenario=named if config and named else "",
        seed=seed if type(seed) is int else None,
        settings={key: text for key, text in settings.items() if key not in _OWN_COLUMNS},
        final=flattened(result.get("final_state"), "/"),
        mirrored=mirrored,
    )


def flattened(value: object, mark: str = ".") -> dict[str, str]:
    """Returns the texts of the values in an object by their paths, a bounded number of them."""
    texts: dict[str, str] = {}

    def add(inner: object, key: str, depth: int) -> None:
        if isinstance(inner, dict | list) and inner and depth < _DEPTH_MAX:
            for name, part in inner.items() if isinstance(inner, dict) else _named(inner):
                add(part, f"{key}{mark}{name}" if depth else str(name), depth + 1)
        elif depth and len(texts) < _VALUES_MAX:
            text = inner if isinstance(inner, str) else msgspec.json.encode(inner).decode()
            texts[key] = text[:_TEXT_MAX]

    add(value, "", 0)
    return texts


def _named(parts: Sequence[object]) -> Iterator[tuple[str, object]]:
    """Yields the parts of a list by the names that they have, as `--set` calls them, or numbers."""
    for at, part in enumerate(parts):
        name = _text(_object(part).get("name"))
        yield (str(at) if name is None else name), part


def _variables(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of the numbers that a scenario declares."""
    names: list[str] = []
    for scope in ("agent_vars", "place_vars", "global_vars"):
        declared = section.get(scope)
        for entry in declared if isinstance(declared, list) else ():
            kind, name = _object(entry).get("type"), _text(_object(entry).get("name"))
            if name and kind in ("int", "float") and " " not in name:
                names.append(name)
    return tuple(dict.fromkeys(names))[:VARIABLES_MAX]


def run_object(root: Root, log: FoundLog, name: str) -> dict[str, Any]:
    """Reads a file of a run that is a JSON object; {} where there is none."""
    try:
        return _object(msgspec.json.decode(root.read(log.folder, name, FILE_BYTES_MAX) or b"{}"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def summarize(log: OpenLog) -> LogFacts:
    """Returns the summary of a log by its index; raises `read_failed`."""
    with reading(log.folder):
        facts, read_bytes = overview(log.index)
        tail = list(_tail(log.folder, log.vocabulary, read_bytes.get(CURRENT, 0)))
    return structs.replace(
        facts,
        damaged_lines=facts.damaged_lines + len(tail),
        damage=(*facts.damage, *tail)[:DAMAGE_LISTED_MAX],
    )


def _tail(folder: Path, vocabulary: Vocabulary, offset: int) -> Iterator[BadBytes]:
    """Yields the bad bytes after the last newline, which the index passes over."""
    path = current_path(folder)
    if OS_DISK.path_id(str(path)) is None:
        return
    for block in blocks_of(OS_DISK, path, offset):
        for line in () if block.is_whole else lines_of(block, vocabulary):
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
