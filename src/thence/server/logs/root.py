"""The served folder with its logs, each under the name of its own folder: found, and open.

An id is one name in that folder, or SWEEP:RUN for a run in the folder of a sweep there, or names a
log elsewhere that the user's own repository holds. The path of a name is checked anew each time:
a log counts only if its folder, its segments and the files beside them are real files and
folders inside the root, so that no link, pipe or device is ever opened.

A request uses a log for as long as its query takes; a bounded number of those that were used last
stay open. A log whose folder was replaced by another one is opened anew. An open log has one
index: that of a small log is in memory, until it has one in a file.
"""

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import NamedTuple, TypeVar, Unpack

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.query.why import Why
from thence.core.vocabulary import PLAIN, SIM, WORK, Vocabulary
from thence.errors import NotALog, ThenceError
from thence.log.files.disk import NOWHERE, OS_DISK, FileId, reading
from thence.log.files.segment import own_folder, segments
from thence.log.index import causality, query
from thence.log.index.causality import CausalityLines
from thence.log.index.connection import Index
from thence.log.index.page import Page, PageBounds, PageOfLines
from thence.log.index.tiles import Kept
from thence.log.log_reader import Reader
from thence.log.read.opening import known_info, opened_vocabulary
from thence.log.read.reader import lines
from thence.server.http.workers import Slow

ID_BYTES_MAX = 255
# between the name of a sweep and that of its run
SWEEP_MARK = ":"
SWEEP_PLAN = "plan.json"
# the folder of the log of coding agents
_AGENTS = ("thence", "agents")
AGENTS = "coding agents"
NAMES_MAX = 100_000
OPEN_MAX = 16
# the files of a log's own folder that are read when the log is opened
_OWN_FILES = ("log.json", "identity.json", "index.db", "index.db-wal", "index.db-shm", "index.lock")

LogKey = tuple[str, FileId, str]
# name, inode, size and time of files: they stay the same as long as the contents do
Fingerprint = tuple[tuple[str, int, int, int], ...]

T = TypeVar("T")


class FoundLog(NamedTuple):
    """A log under the root: its id, its folder, its vocabulary."""

    id: str
    folder: Path
    vocabulary: Vocabulary
    is_simulation: bool

    @property
    def kind(self) -> str:
        """What the log is of: a run, a project, coding agents, else just "log"."""
        if self.folder.parts[-2:] == _AGENTS:
            return AGENTS
        return {SIM.name: "run", WORK.name: "project"}.get(self.vocabulary.name, "log")

    @property
    def key(self) -> LogKey:
        """Path, file id and vocabulary: they change when another log takes the folder."""
        path_id = OS_DISK.path_id(str(self.folder))
        return str(self.folder), path_id[0] if path_id else NOWHERE, self.vocabulary.name


class Root:
    """A folder of logs, or a single log, whose id is then its folder's name.

    `places` are logs elsewhere by their ids, which come before folders of these names.
    """

    def __init__(
        self, folder: str | Path, places: Mapping[str, Path] = MappingProxyType({})
    ) -> None:
        self.folder = Path(folder).absolute()
        self.places = {name: path.absolute() for name, path in places.items()}
        self._vocabularies: dict[Path, tuple[Fingerprint, Vocabulary]] = {}

    def names(self) -> list[str]:
        """Lists the names that may be ids, sorted; NAMES_MAX of them at most."""
        names = {name for name in OS_DISK.names(self.folder)[:NAMES_MAX] if not _is_hidden(name)}
        if _has_log(self.folder):
            names.add(self.folder.name)
        return sorted(names | self.places.keys())

    def others(self, log_id: str) -> Iterator[str]:
        """Yields the ids of the other logs, first those of the same sweep."""
        sweep, mark, _ = log_id.rpartition(SWEEP_MARK)
        place = self.sweep_folder(sweep) if mark else None
        runs = sorted(OS_DISK.names(place)) if place is not None else []
        for name in (*(f"{sweep}{mark}{run}" for run in runs), *self.names()):
            with suppress(OSError):
                if name != log_id and self._folder(name) is not None:
                    yield name

    def sweep_folder(self, name: str) -> Path | None:
        """Returns the folder of a sweep in this one, or this one; no link is followed."""
        folder = self.folder if name == self.folder.name else self.folder / name
        try:
            is_folder = folder == self.folder or _mode(str(folder), 0) == stat.S_IFDIR
            is_sweep = is_folder and _is_plain(str(folder / SWEEP_PLAN)) and not _has_log(folder)
        except (OSError, ValueError):
            return None
        return folder if is_sweep and not _is_hidden(name) else None

    def run_of_sweep(self, sweep: str, run: str) -> str:
        """Returns the id of a run in the folder of a sweep."""
        return run if self.sweep_folder(sweep) == self.folder else f"{sweep}{SWEEP_MARK}{run}"

    def logs(self) -> Iterator[FoundLog | None]:
        """Yields the logs of the folder; None for one that can't be served."""
        for name in self.names():
            try:
                folder = self._folder(name)
                if folder is not None:
                    yield self._log_of(name, folder)
            except (OSError, ThenceError):
                yield None

    def find(self, log_id: str) -> FoundLog:
        """Returns the log of an id; raises NotALog, whatever the id holds, and `read_failed`."""
        try:
            folder = self._folder(log_id)
        except (OSError, ValueError):
            folder = None
        if folder is None:
            raise NotALog("could not find", place=repr(log_id)[:100], cause="there is no such log")
        return self._log_of(log_id, folder)

    def found(self, log_id: str) -> FoundLog | None:
        """Returns the log of an id; None if there is none, or it can't be read."""
        with suppress(OSError, ThenceError):
            return self.find(log_id)
        return None

    def read(self, folder: Path, name: str, bytes_max: int) -> bytes:
        """Returns the content of a plain file in a log's folder; b"" if none, or if larger."""
        path = folder / name
        try:
            if not _is_plain(str(path)):
                return b""
            with path.open("rb") as file:
                data = file.read(bytes_max + 1)
        except OSError:
            return b""
        return data if len(data) <= bytes_max else b""

    def is_safe(self, folder: Path) -> bool:
        """Reports whether a log's session files are plain, so that its writers may be read."""
        sessions = own_folder(folder) / "open"
        if _mode(str(sessions), stat.S_IFDIR) != stat.S_IFDIR:
            return False
        return all(_is_plain(f"{sessions}/{name}", True) for name in OS_DISK.names(sessions))

    def _folder(self, name: str) -> Path | None:
        """Returns the folder of a log by its name; None if there is none inside the root."""
        if not is_name(name):
            return None
        sweep, mark, run = name.rpartition(SWEEP_MARK)
        folder = self.places.get(name, self.folder / name)
        if not _has_log(folder):
            place = self.sweep_folder(sweep) if mark and not _is_hidden(run) else None
            if place is not None:
                folder = place / run
            elif name == self.folder.name:
                folder = self.folder
            if not _has_log(folder):
                return None
        own = str(own_folder(folder))
        if not self._is_inside(str(folder), own):
            return None
        files = [f"{own}/{file}" for file in _OWN_FILES]
        files += map(str, segments(OS_DISK, folder))
        return folder if all(_is_plain(file, True) for file in files) else None

    def _log_of(self, name: str, folder: Path) -> FoundLog:
        """Returns a log with its vocabulary, which is read anew once a file of it has changed."""
        state = fingerprint(folder, ".thence/log.json")
        kept = self._vocabularies.get(folder)
        if kept is None or kept[0] != state:
            if len(self._vocabularies) >= NAMES_MAX:
                self._vocabularies.clear()
            kept = self._vocabularies[folder] = state, _vocabulary_of(folder)
        return FoundLog(name, folder, kept[1], kept[1].name == SIM.name)

    def _is_inside(self, folder: str, own: str) -> bool:
        """Reports whether a log's folder is the root or stays inside the root.

        It does if neither the folder nor the log's own folder is a link; links are resolved.
        """
        if _mode(folder, stat.S_IFDIR) == stat.S_IFDIR == _mode(own, stat.S_IFDIR):
            return True
        root = os.path.realpath(self.folder)
        return all(Path(os.path.realpath(path)).is_relative_to(root) for path in (folder, own))


class OpenLog:
    """A log that is open for reading: its folder, its vocabulary, its reader.

    All queries block, and raise `read_failed`.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.reader = Reader(OS_DISK, folder, vocabulary)
        self.counted: Kept = {}
        self.users = 0
        self._mark = ""

    @property
    def index(self) -> Index:
        """The index that answers for the log."""
        return self.reader.index()

    @property
    def mark(self) -> str:
        """The mark of this log's cursors: two folders may hold copies, which then grow apart.

        The log's identity is read as soon as it exists, then kept. Raises `read_failed`.
        """
        if not self._mark:
            info = known_info(OS_DISK, self.folder)
            if info is None:
                return f" {self.folder.name}"
            self._mark = f"{info.log_id} {self.folder.name}"
        return self._mark

    def page(self, event_filter: Filter, **paging: Unpack[PageBounds]) -> Page:
        """Returns a page of the events that match; raises `invalid_cursor`."""
        return query.page(self.index, event_filter, self.mark, **paging)

    def page_of_lines(self, event_filter: Filter, **paging: Unpack[PageBounds]) -> PageOfLines:
        """Returns what `page` does, with the stored bytes of each event."""
        return query.page_of_lines(self.index, event_filter, self.mark, **paging)

    def hint(self, event_filter: Filter) -> str | None:
        """Returns a hint that names the key in `where` that no event has."""
        return self.reader.unknown_key(event_filter.where)

    def event(self, event_id: str) -> Event:
        """Returns the event of an id; raises EventNotFound."""
        return self.reader.get(event_id)

    def causality(self, event_id: str, depth: int) -> CausalityLines:
        """Returns an event's causes and effects up to `depth`; raises EventNotFound."""
        return causality.causality(self.index, event_id, depth)

    def why(self, event: str) -> Why:
        """Returns the causes of an event that is named as in `find`; raises `ambiguous_id` too."""
        return self.reader.why(event)


class Logs:
    """The logs of a root, of which those in use are open; thread-safe.

    `on_gone` gets the id of a log that was asked for and is not there.
    """

    def __init__(self, root: Root, open_max: int = OPEN_MAX) -> None:
        self.root = root
        self.on_gone: Callable[[str], None] = lambda log_id: None
        self._open_max = open_max
        self._mutex = Lock()
        self._opened: OrderedDict[LogKey, OpenLog] = OrderedDict()

    def find(self, log_id: str, is_simulation: bool) -> FoundLog:
        """Finds a log under the root, where it is asked for a simulation; raises `read_failed`.

        Raises NotALog for one that is missing, or is not a simulation where that is asked for.
        """
        try:
            location = self.root.find(log_id)
        except NotALog:
            self.on_gone(log_id)
            raise
        if is_simulation and not location.is_simulation:
            raise NotALog("could not find", place=repr(log_id), cause="it is not a simulation")
        return location

    def inspect(
        self, log_id: str, work: Callable[[FoundLog], T], is_simulation: bool, is_patient: bool
    ) -> T:
        """Returns the result of work on a log's location; raises as `find`, and what it raises.

        Unless `is_patient`, raises Slow for a log without an index.
        """
        location = self.find(log_id, is_simulation)
        try:
            if not is_patient and self.lacks_index(location):
                raise Slow
            return work(location)
        except (OSError, ThenceError):
            self.find(log_id, is_simulation)  # is it gone?
            raise

    def ask(
        self, log_id: str, work: Callable[[OpenLog], T], is_simulation: bool, is_patient: bool
    ) -> T:
        """Returns the result of work on an open log, as `inspect` does."""

        def work_on_open(location: FoundLog) -> T:
            with self.using(location) as log:
                return work(log)

        return self.inspect(log_id, work_on_open, is_simulation, is_patient)

    @contextmanager
    def using(self, location: FoundLog, is_kept: bool = True) -> Iterator[OpenLog]:
        """Opens a log until the block ends, and longer if `is_kept` or while few are open."""
        key = location.key
        with self._mutex:
            log = self._opened.get(key)
            if log is None:
                log = OpenLog(location.folder, location.vocabulary)
                if is_kept or len(self._opened) < self._open_max:
                    self._opened[key] = log
            if is_kept:
                self._opened.move_to_end(key)
            log.users += 1
            # logs over the bound, least recently used first; those in use stay
            over = max(len(self._opened) - self._open_max, 0)
            idle = [key for key, open_log in self._opened.items() if not open_log.users][:over]
            closing = [self._opened.pop(key) for key in idle]
        _close(closing)
        try:
            yield log
        finally:
            with self._mutex:
                log.users -= 1
                is_kept = self._opened.get(key) is log
            if not is_kept:
                _close([log])

    def lacks_index(self, location: FoundLog) -> bool:
        """Reports whether the next question to a log builds its index, which takes seconds."""
        log = self._opened.get(location.key) or OpenLog(location.folder, location.vocabulary)
        return log.reader.lacks_index()

    @property
    def open(self) -> int:
        """The number of logs that are open now."""
        return len(self._opened)

    def close(self) -> None:
        """Closes all logs."""
        with self._mutex:
            logs = list(self._opened.values())
            self._opened.clear()
        _close(logs)


def _close(logs: list[OpenLog]) -> None:
    for log in logs:
        log.reader.close_index()


def _is_plain(path: str, is_missing_fine: bool = False) -> bool:
    """Reports whether a path is a regular file: no link, pipe, device or folder."""
    return _mode(path, stat.S_IFREG if is_missing_fine else 0) == stat.S_IFREG


def _mode(path: str, if_missing: int) -> int:
    """Returns the file type of a path, as in `stat`; links are not followed."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return if_missing


def fingerprint(folder: Path, *others: str) -> Fingerprint:
    """Returns the state of the files that hold a log's events, or look like it, and of others.

    Raises `read_failed`.
    """
    with reading(folder):
        names = OS_DISK.names(folder)
    files = []
    for name in (*(one for one in names if one.startswith("events") or ".gz" in one), *others):
        with suppress(FileNotFoundError):  # rotated in between
            status = os.stat(f"{folder}/{name}")
            files.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(files)


def _vocabulary_of(folder: Path) -> Vocabulary:
    """Returns the vocabulary of a log; one without any event yet counts as a simulation."""
    vocabulary = opened_vocabulary(OS_DISK, folder, None, create=False)
    if vocabulary.name == PLAIN.name and not (own_folder(folder) / "log.json").exists():
        with reading(folder):
            every_line = lines(OS_DISK, folder, PLAIN)
            if not any(isinstance(line.content, Event) for line in every_line):
                vocabulary = SIM
    return vocabulary


def is_name(text: str) -> bool:
    """Reports whether a text can be the name of a folder, and of nothing else."""
    if text in ("", ".", "..") or "/" in text or "\\" in text or "\0" in text:
        return False
    try:
        return len(text.encode()) <= ID_BYTES_MAX
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or not is_name(name)


def _has_log(folder: Path) -> bool:
    try:
        return folder.is_dir() and (
            (own_folder(folder) / "log.json").exists() or bool(segments(OS_DISK, folder))
        )
    except OSError:
        return False
