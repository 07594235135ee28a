"""`.kittify/events/` in the main working tree: a view of the journal that other tools append to.

Git ignores these day files. The files are only ever appended to, under flock, never renamed or
rewritten, because other tools append to them as well; `redacted_views` alone empties a file, in
place. Lines of other tools are taken into the journal before anything else is read; the journal's
new events are added behind them.
"""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import msgspec

from thence.core.event import Event
from thence.core.new_event import Position
from thence.core.ready import ready
from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.files import TreeFiles
from thence.git.locks import WRITING, locked, take
from thence.git.repository import exclude
from thence.log.open import Log
from thence.log.recovery.writers import redactions_of
from thence.work.day_lines import (
    FOLDER,
    RedactedLines,
    by_file,
    is_day_file,
    lacking,
    lines_in,
    more_of,
)
from thence.work.project.project import Project

_NAME = "view.json"
_WAIT_S = 2.0


class _FileState(msgspec.Struct, frozen=True, array_like=True):
    """A file's last known state; all up to `read_bytes` is in the journal, or was reported."""

    inode: int
    size_bytes: int
    time_ns: int
    read_bytes: int = 0

    def is_like(self, stat: os.stat_result) -> bool:
        return (self.inode, self.size_bytes, self.time_ns) == _state_of(stat)


class _View(msgspec.Struct):
    """The record of the view: its files, and the position in the journal that is `shown` in it."""

    files: dict[str, _FileState] = {}
    shown: Position = Position()


class ViewChanges:
    """The lines that others have written into the view since it was read, with their files.

    `save` records that the lines are in the journal.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._view = _load(project.home)
        self.lines: dict[bytes, str] = {}
        states, self._new = self._view.files, {}
        changed = {
            name: stat
            for name, stat in sorted(stats_of_days(project.files).items())
            if name not in states or not states[name].is_like(stat)
        }
        if changed:
            self._new = {name: self._read(name, stat) for name, stat in changed.items()}

    def save(self) -> None:
        """Records how far the files were read."""
        if self._new:
            with locked(writing_lock(self._project)):
                view = _load(self._project.home)
                view.files |= self._new
                _save(self._project.home, view)

    def _read(self, name: str, stat: os.stat_result) -> _FileState:
        before = self._view.files.get(name)
        is_longer = before and before.inode == stat.st_ino and before.read_bytes <= stat.st_size
        start = before.read_bytes if before and is_longer else 0
        with open(self._project.files.open(f"{FOLDER}/{name}", os.O_RDONLY), "rb") as file:
            file.seek(start)
            data = file.read(max(0, stat.st_size - start))
        whole = data.rfind(b"\n") + 1
        lines = lines_in(data[:whole])
        with suppress(msgspec.DecodeError):  # somebody may be writing the last one now
            msgspec.json.decode(data[whole:])
            lines += lines_in(data[whole:])
        self.lines |= dict.fromkeys(lines, f"{FOLDER}/{name}")
        return _FileState(*_state_of(stat), start + whole)


def show_events(project: Project, journal: Log) -> None:
    """Adds to the view the events of the journal that it lacks.

    On an error nothing happens: the next command does it.
    """
    with suppress(OSError, ThenceError), locked(writing_lock(project)):
        exclude(project.repo, f"{FOLDER}/".encode())
        view = _load(project.home)
        gone = view.files.keys() - stats_of_days(project.files).keys()
        for name in gone:
            del view.files[name]
        fresh = list(journal.read(None if gone else view.shown))
        events = RedactedLines(redactions_of(project.home)).of_events(fresh)
        for path, of_day in by_file(events).items():
            _add(project.files, path, of_day, view)
        view.shown = view.shown.after(events)
        _save(project.home, view)


def forget(project: Project) -> None:
    """Forgets what the view shows: the next `show_events` adds all that it lacks. Raises OSError.

    The caller holds the lock of `writing_lock`.
    """
    (project.home / _NAME).unlink(missing_ok=True)


def _add(files: TreeFiles, path: str, events: list[Event], view: _View) -> None:
    descriptor = files.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with open(descriptor, "r+b", buffering=0) as file:
        take(descriptor, files.top / path, _WAIT_S)
        before = os.fstat(descriptor)
        data = file.read()
        lines = lacking(
            data, events, lambda: (files.read(f"{FOLDER}/{name}") for name in stats_of_days(files))
        )
        if not lines:
            return
        addition = more_of(data[-1:], lines)
        rest = memoryview(addition)
        while rest:
            rest = rest[file.write(rest) :]
        after = os.fstat(descriptor)
    name = path.rpartition("/")[2]
    seen = view.files.get(name)
    is_read = seen is not None and seen.is_like(before) and seen.read_bytes == len(data)
    if (is_read or not data) and after.st_size == len(data) + len(addition):
        view.files[name] = _FileState(*_state_of(after), after.st_size)


def writing_lock(project: Project) -> Path:
    """Returns the lock under which commands write files of the main working tree.

    A command that has read the journal before a redaction has written then what is to be
    overwritten, or does not write it any more.
    """
    return project.repo.common / WRITING


def stats_of_days(files: TreeFiles) -> dict[str, os.stat_result]:
    """Returns the stats of a working tree's day files by name, links excepted. Raises OSError."""
    return {
        name: stat
        for name, stat in files.stats(FOLDER).items()
        if is_day_file(os.fsencode(name)) and S_ISREG(stat.st_mode)
    }


def _state_of(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _load(home: Path) -> _View:
    try:
        return msgspec.json.decode((home / _NAME).read_bytes(), type=ready(_View))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _View()


def _save(home: Path, view: _View) -> None:
    replace_file(home / _NAME, msgspec.json.encode(view))
