"""The folder that is served: which logs lie in it, each under the name of its folder.

An id is one name in that folder and nothing else. What a name leads to is looked at anew each
time: a log counts only if its folder, its segments and what stands beside them are real files
and folders inside the root, so that no link, pipe or device is ever opened.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.vocabulary import PLAIN, SIM, Vocabulary
from thence.errors import NotALog, ThenceError
from thence.log.read.opening import opened_vocabulary
from thence.log.read.read_errors import reading
from thence.log.read.reader import lines
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import own_folder, segments

ID_BYTES_MAX = 255
NAMES_MAX = 100_000
# what a log's own folder holds that an opening for reading looks into
_OWN_FILES = ("log.json", "identity.json", "index.db", "index.db-wal", "index.db-shm", "index.lock")
# what the server reads beside the events of a run
RUN_FILES = ("config.json", "result.json")


class FoundLog(NamedTuple):
    """A log under the root: its id, its folder, whose words it speaks."""

    id: str
    folder: Path
    vocabulary: Vocabulary
    is_simulation: bool


class Root:
    """A folder of logs, or one log by itself, then known by its folder's name."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()

    def names(self) -> list[str]:
        """Lists the names that may be ids, sorted; NAMES_MAX of them at most."""
        found = {name for name in OS_DISK.names(self.folder)[:NAMES_MAX] if not _is_hidden(name)}
        if _has_log(self.folder):
            found.add(self.folder.name)
        return sorted(found)

    def logs(self) -> Iterator[FoundLog | None]:
        """Yields the logs that lie there; None for one that can't be served."""
        for name in self.names():
            try:
                folder = self._folder(name)
                if folder is not None:
                    yield _found(name, folder)
            except (OSError, ThenceError):
                yield None

    def find(self, log_id: str) -> FoundLog:
        """Returns the log of an id; raises NotALog, whatever the id holds, and ReadFailed."""
        try:
            folder = self._folder(log_id)
        except (OSError, ValueError):
            folder = None
        if folder is None:
            raise NotALog("could not find", place=repr(log_id)[:100], cause="there is no such log")
        return _found(log_id, folder)

    def read(self, folder: Path, name: str, bytes_max: int) -> bytes:
        """Returns what a plain file in a log's folder holds; nothing if it is none, or larger."""
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
        """Reports whether a log's openings are plain files, so that it may be seen who writes."""
        place = own_folder(folder) / "open"
        if _mode(str(place), stat.S_IFDIR) != stat.S_IFDIR:
            return False
        return all(_is_plain(f"{place}/{name}", True) for name in OS_DISK.names(place))

    def _folder(self, name: str) -> Path | None:
        """Returns the folder of a log by its name; None if there is none inside the root."""
        if not is_name(name):
            return None
        folder = self.folder / name
        if not _has_log(folder):
            folder = self.folder
            if name != folder.name or not _has_log(folder):
                return None
        own = str(own_folder(folder))
        if not self._holds(str(folder), own):
            return None
        files = [f"{own}/{file}" for file in _OWN_FILES]
        files += map(str, segments(OS_DISK, folder))
        return folder if all(_is_plain(file, True) for file in files) else None

    def _holds(self, folder: str, own: str) -> bool:
        """Tells whether a log's folder, below the root or the root itself, stays inside it.

        Where neither it nor the one in it is a link, it does; else it is seen where they lead.
        """
        if _mode(folder, stat.S_IFDIR) == stat.S_IFDIR == _mode(own, stat.S_IFDIR):
            return True
        root = os.path.realpath(self.folder)
        return all(Path(os.path.realpath(path)).is_relative_to(root) for path in (folder, own))


def _is_plain(path: str, is_missing_fine: bool = False) -> bool:
    """Tells whether a path is a file itself: no link, pipe, device or folder."""
    return _mode(path, stat.S_IFREG if is_missing_fine else 0) == stat.S_IFREG


def _mode(path: str, if_missing: int) -> int:
    """Returns of what kind a path itself is, as `stat` names it."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        return if_missing


def _found(name: str, folder: Path) -> FoundLog:
    """Tells whose words a log speaks; one without any event yet counts as a simulation."""
    vocabulary = opened_vocabulary(OS_DISK, folder, None, create=False)
    if vocabulary.name == PLAIN.name and not (own_folder(folder) / "log.json").exists():
        with reading(folder):
            every_line = lines(OS_DISK, folder, PLAIN)
            if not any(isinstance(line.content, Event) for line in every_line):
                vocabulary = SIM
    return FoundLog(name, folder, vocabulary, vocabulary.name == SIM.name)


def is_name(text: str) -> bool:
    """Tells whether a text can be the name of a folder, and of nothing else."""
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
