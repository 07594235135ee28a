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
from typing import TypeVar

import msgspec

from thence.core.event import Event
from thence.core.vocabulary import PLAIN, SIM, WORK, Vocabulary
from thence.errors import NotALog, ThenceError
from thence.log.files.disk import NOWHERE, OS_DISK, FileId, reading
from thence.log.files.segment import CURRENT, older_names, own_folder, segments
from thence.log.index.connection import Index
from thence.log.index.tiles import Kept
from thence.log.log_reader import Reader
from thence.log.read.opening import opened_vocabulary
from thence.log.read.reader import lines

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
_OWN_FILES = (
    *("log.json", "identity.json", "index.db", "index.db-wal", "index.db-shm", "index.lock"),
    *("index.db.words", "index.db.words-journal"),
)

LogKey = tuple[str, FileId, str]
# name, inode, size and time of files: they stay the same as long as the contents do
Fingerprint = tuple[tuple[str, int, int, int], ...]

T = TypeVar("T")


class FoundLog(msgspec.Struct, frozen=True):
    """A log under the root: its id, its folder, its vocabulary.

    `key` is path, file id and vocabulary: they change when another log takes the folder.
    """

    id: str
    folder: Path
    vocabulary: Vocabulary
    key: LogKey

    @property
    def is_simulation(self) -> bool:
        """Whether the log is a run of a simulation."""
        return self.vocabulary.name == SIM.name

    @property
    def kind(self) -> str:
        """What the log is of: a run, a project, coding agents, else just "log"."""
        if self.folder.parts[-2:] == _AGENTS:
            return AGENTS
        return {SIM.name: "run", WORK.name: "project"}.get(self.vocabulary.name, "log")

    def new_reader(self) -> Reader:
        """Returns a reader of the log that shares nothing with others."""
        return Reader(OS_DISK, self.folder, self.vocabulary)


class OpenLog(FoundLog, frozen=True):
    """A log while a request reads it: its reader, and what pictures keep of it, are shared.

    All questions to the reader block, and raise `read_failed`.
    """

    reader: Reader
    counted: Kept
    longest: dict[str, int]

    @property
    def index(self) -> Index:
        """The index that answers for the log."""
        return self.reader.index()

    @property
    def mark(self) -> str:
        """The mark of this log's cursors: two folders may hold copies, which then grow apart."""
        return f"{self.key}"


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
        places = (str(folder), own)
        # a folder that is no link lies inside the root; others are resolved
        if any(_mode(place, stat.S_IFDIR) != stat.S_IFDIR for place in places):
            root = os.path.realpath(self.folder)
            if not all(Path(os.path.realpath(place)).is_relative_to(root) for place in places):
                return None
        files = [f"{own}/{file}" for file in OS_DISK.names(Path(own)) if file in _OWN_FILES]
        files += [f"{folder}/{file}" for file in (CURRENT, *older_names(OS_DISK, folder))]
        return folder if all(_is_plain(file, True) for file in files) else None

    def _log_of(self, name: str, folder: Path) -> FoundLog:
        """Returns a log with its vocabulary, which is read anew once a file of it has changed.

        A log without any event yet counts as a simulation.
        """
        state = fingerprint(folder, ".thence/log.json")
        kept = self._vocabularies.get(folder)
        if kept is None or kept[0] != state:
            if len(self._vocabularies) >= NAMES_MAX:
                self._vocabularies.clear()
            vocabulary = opened_vocabulary(OS_DISK, folder, None, create=False)
            is_named = vocabulary.name != PLAIN.name or (own_folder(folder) / "log.json").exists()
            if not is_named and first_event(folder, PLAIN) is None:
                vocabulary = SIM
            kept = self._vocabularies[folder] = state, vocabulary
        path_id = OS_DISK.path_id(str(folder))
        key = str(folder), path_id[0] if path_id else NOWHERE, kept[1].name
        return FoundLog(name, folder, kept[1], key)


class LacksIndex(Exception):
    """Raised instead of a question that would build an index first, which takes seconds."""

    def __init__(self, log: FoundLog) -> None:
        super().__init__(log.id)
        self.log = log


class _Shared:
    """The reader of an open log, with what pictures keep, and how many requests use it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.counted: Kept = {}
        self.longest: dict[str, int] = {}
        self.users = 0


class Logs:
    """The logs of a root, of which those in use are open; thread-safe."""

    def __init__(self, root: Root, open_max: int = OPEN_MAX) -> None:
        self.root = root
        self._open_max = open_max
        self._mutex = Lock()
        self._opened: OrderedDict[LogKey, _Shared] = OrderedDict()

    def find(self, log_id: str, is_simulation: bool = False) -> FoundLog:
        """Finds a log under the root, where it is asked for a simulation; raises `read_failed`.

        Raises NotALog for one that is missing, or is not a simulation where that is asked for.
        """
        log = self.root.find(log_id)
        if is_simulation and not log.is_simulation:
            raise NotALog("could not find", place=repr(log_id), cause="it is not a simulation")
        return log

    def ask(
        self, log_id: str, work: Callable[[OpenLog], T], is_simulation: bool, may_build: bool
    ) -> T:
        """Returns the result of work on an open log; raises as `find`, and what it raises.

        Unless it `may_build`, raises LacksIndex for a log without an index.
        """
        found = self.find(log_id, is_simulation)
        try:
            with self.using(found) as log:
                if not may_build and log.reader.lacks_index():
                    raise LacksIndex(found)
                return work(log)
        except (OSError, ThenceError):
            self.find(log_id, is_simulation)  # is it gone?
            raise

    @contextmanager
    def using(self, found: FoundLog, is_kept: bool = True) -> Iterator[OpenLog]:
        """Opens a log until the block ends, and longer if `is_kept` or while few are open."""
        key = found.key
        with self._mutex:
            shared = self._opened.get(key)
            if shared is None:
                shared = _Shared(found.new_reader())
                if is_kept or len(self._opened) < self._open_max:
                    self._opened[key] = shared
            if is_kept:
                self._opened.move_to_end(key)
            shared.users += 1
            # logs over the bound, least recently used first; those in use stay
            over = max(len(self._opened) - self._open_max, 0)
            idle = [key for key, one in self._opened.items() if not one.users][:over]
            closing = [self._opened.pop(key) for key in idle]
        _close(closing)
        try:
            yield OpenLog(
                *(found.id, found.folder, found.vocabulary, key),
                *(shared.reader, shared.counted, shared.longest),
            )
        finally:
            with self._mutex:
                shared.users -= 1
                is_kept = self._opened.get(key) is shared
            if not is_kept:
                _close([shared])

    def lacks_index(self, found: FoundLog) -> bool:
        """Reports whether the next question to a log builds its index, which takes seconds."""
        shared = self._opened.get(found.key)
        return (shared.reader if shared else found.new_reader()).lacks_index()

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


def _close(logs: list[_Shared]) -> None:
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


def first_event(folder: Path, vocabulary: Vocabulary) -> Event | None:
    """Returns the first event of a log, None if there is none yet; raises `read_failed`."""
    with reading(folder):
        contents = (line.content for line in lines(OS_DISK, folder, vocabulary))
        return next((one for one in contents if isinstance(one, Event)), None)


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
