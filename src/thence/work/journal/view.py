"""`.kittify/events/` in the main working tree: a view of the journal, and a door into it.

Where events are shared by the board's branch git ignores these day files. They are only ever
appended to, under flock, never renamed or drawn anew, for other tools append to them as well. What
these have written there is taken into the journal before anything else is looked at; what the
journal got is added behind it. Where day files are tracked they belong to git: nothing is added,
and they are read while a branch is checked out whose commits are read too.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import msgspec

from thence.core.event import Event
from thence.core.values.position import Position
from thence.errors import ThenceError
from thence.replica import Log
from thence.work.day_lines import (
    FOLDER,
    by_file,
    is_day_file,
    lacking,
    more_of,
    places_in,
    with_lines,
)
from thence.work.journal import seen_blobs
from thence.work.journal.sharing import is_tree
from thence.work.passed_over import SharedFilePosition
from thence.work.project.project import Project
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.locks import held, take
from thence.work.vcs.repository import current_branch

_NAME = "view.json"
_LOCK = "view.lock"
_WAIT_S = 2.0
_IGNORED = f"{FOLDER}/\n".encode()
_EXCLUDE = "info/exclude"


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was seen; all up to `read_bytes` is in the journal, or was reported."""

    inode: int
    size_bytes: int
    time_ns: int
    read_bytes: int = 0

    def is_like(self, found: os.stat_result) -> bool:
        return (self.inode, self.size_bytes, self.time_ns) == _looks(found)


class _View(msgspec.Struct):
    """What is known of the view: `shown` is in it, when the journal's last file was of a size."""

    files: dict[str, _Seen] = {}
    shown: Position = Position()
    journal: tuple[str, int] = ("", 0)


class ViewChanges:
    """What others have written into the view since it was read: lines, with their places.

    `keep` remembers that they are in the journal.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known = _known(project.home)
        self._found = _day_files(project.files)
        self.lines: dict[bytes, SharedFilePosition] = {}
        files = self._known.files
        changed = {
            name
            for name, found in self._found.items()
            if name not in files or not files[name].is_like(found)
        }
        self._new = {}
        if changed and _is_read(project):
            for name in sorted(changed):
                self._new[name] = self._read(name, self._found[name])

    def keep(self) -> None:
        """Remembers how far the files were read."""
        if self._new:
            with held(self._project.home / _LOCK):
                known = _known(self._project.home)
                known.files |= self._new
                _keep(self._project.home, known)

    def _read(self, name: str, found: os.stat_result) -> _Seen:
        before = self._known.files.get(name)
        is_longer = before and before.inode == found.st_ino and before.read_bytes <= found.st_size
        start = before.read_bytes if before and is_longer else 0
        with open(self._project.files.open(f"{FOLDER}/{name}", os.O_RDONLY), "rb") as file:
            data = file.read(found.st_size)
        end = data.rfind(b"\n") + 1
        for line, place in places_in(data, f"{FOLDER}/{name}"):
            if place.offset < start:
                continue
            with suppress(msgspec.DecodeError):
                if place.offset >= end:  # somebody may be writing it now
                    msgspec.json.decode(line)
                self.lines.setdefault(line, place)
        return _Seen(*_looks(found), max(start, end))


def _is_read(project: Project) -> bool:
    """Tells whether lines in the working tree count: a branch under review brings none."""
    branches = seen_blobs.known(project).targets
    if project.repo is None or not is_tree(project, *branches):
        return True
    return current_branch(project.repo._replace(top=project.root)) in branches


def show_events(project: Project, journal: Log, fresh: Sequence[Event] = ()) -> None:
    """Adds to the view what it lacks of the journal.

    That is all that is `fresh`, as a caller who has appended it knows, unless the journal grew
    by more; then it is read. Where that fails nothing happens: the next command does it.
    """
    with suppress(OSError, ThenceError):
        if is_tree(project, *seen_blobs.known(project).targets):
            return
        ignore(project, is_ignored=True)
        with held(project.home / _LOCK):
            known = _known(project.home)
            gone = known.files.keys() - _day_files(project.files).keys()
            for name in gone:
                del known.files[name]
            last = _last(journal)
            grown = sum(len(event.line) + 1 for event in fresh)
            if gone or last != (known.journal[0], known.journal[1] + grown):
                fresh = list(journal.read(None if gone else known.shown))
            events = list(fresh)
            for path, found in by_file(events).items():
                _add(project.files, path, found, known)
            known.shown = known.shown.after(events)
            known.journal = last
            _keep(project.home, known)


def ignore(project: Project, *, is_ignored: bool) -> None:
    """Has git ignore the view, or see it, in this repository. Raises OSError."""
    assert project.repo is not None
    path = project.repo.common / _EXCLUDE
    data = path.read_bytes() if path.exists() else b""
    kept = data
    if is_ignored:
        kept = with_lines(data, _IGNORED)
    elif _IGNORED in data.splitlines(keepends=True):
        kept = b"".join(line for line in data.splitlines(keepends=True) if line != _IGNORED)
    if kept != data:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(kept)


def _add(files: TreeFiles, path: str, events: list[Event], known: _View) -> None:
    descriptor = files.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with open(descriptor, "r+b", buffering=0) as file:
        take(descriptor, files.top / path, _WAIT_S)
        before = os.fstat(descriptor)
        data = file.read()
        lines = lacking(data, events, lambda: map(files.read, _paths(files)))
        if not lines:
            return
        more = memoryview(more_of(data[-1:], lines))
        while more:
            more = more[file.write(more) :]
        after = os.fstat(descriptor)
    name = path.rpartition("/")[2]
    seen = known.files.get(name)
    is_read = seen is not None and seen.is_like(before) and seen.read_bytes == len(data)
    if (is_read or not data) and after.st_size == len(data) + len(more_of(data[-1:], lines)):
        known.files[name] = _Seen(*_looks(after), after.st_size)


def _day_files(files: TreeFiles) -> dict[str, os.stat_result]:
    return dict(_plain_files(files))


def _plain_files(files: TreeFiles) -> Iterator[tuple[str, os.stat_result]]:
    for name, found in files.looks(FOLDER).items():
        if is_day_file(os.fsencode(name)) and S_ISREG(found.st_mode):
            yield name, found


def _last(journal: Log) -> tuple[str, int]:
    """Returns the name and size of the file that the journal is appended to."""
    file = journal.current_file
    return file.name, file.stat().st_size


def _paths(files: TreeFiles) -> list[str]:
    return [f"{FOLDER}/{name}" for name in _day_files(files)]


def _looks(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _known(home: Path) -> _View:
    try:
        return msgspec.json.decode((home / _NAME).read_bytes(), type=_View)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _View()


def _keep(home: Path, known: _View) -> None:
    path = home / _NAME
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(known))
    draft.replace(path)
