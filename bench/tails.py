"""The ends of the files in a folder after each kill: half lines, and what became of them."""

import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FileId = tuple[int, int]


class Tail(NamedTuple):
    """Half a line at the end of a file."""

    offset: int
    data: bytes


class Tails:
    """What stood behind the last newline of each file below a folder, kill after kill.

    A file is known by device and inode, so that rotation by renaming keeps its tail. `torn`
    counts the half lines, `glued` those that were written on behind without a newline.
    Hidden files and folders hold no records.
    """

    def __init__(self, folder: Path) -> None:
        self.torn = 0
        self.glued = 0
        self._folder = folder
        self._open: dict[FileId, Tail] = {}
        self._all: dict[FileId, dict[int, bytes]] = {}

    def look(self) -> None:
        """Takes the tails as a kill left them; what the last one left may be glued by now."""
        now: dict[FileId, Tail] = {}
        for path in files(self._folder):
            file = identity(path)
            old, tail = self._open.get(file), tail_of(path)
            if old is not None and is_glued(path, old):
                self.glued += 1
            if tail is None:
                continue
            self.torn += tail != old
            is_same_line = old is not None and tail.offset == old.offset
            if old is None or not (is_same_line and tail.data.startswith(old.data)):
                now[file] = tail
                self._all.setdefault(file, {})[tail.offset] = tail.data
            else:  # not decided yet: its line has no end
                now[file] = old
        self._open = now

    def lines(self) -> Iterator[tuple[bytes, bool]]:
        """Yields each line, and whether it is whole: not torn, not glued, JSON if others are."""
        for path in files(self._folder):
            tails = self._all.get(identity(path), {})
            *whole, rest = path.read_bytes().split(b"\n")
            is_json_log = bool(whole) and is_json(whole[0])
            offset = 0
            for line in whole:
                torn = tails.get(offset)
                is_broken = torn is not None and line.startswith(torn) and not is_json(line)
                yield line, not (is_broken or (is_json_log and not is_json(line)))
                offset += len(line) + 1
            yield rest, False


def files(folder: Path) -> Iterator[Path]:
    """Yields the regular files below a folder that are not hidden, in the order of names."""
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden:
            yield path


def identity(path: Path) -> FileId:
    """Returns what a file keeps when it is renamed."""
    found = path.stat()
    return found.st_dev, found.st_ino


def tail_of(path: Path) -> Tail | None:
    """Returns what follows the last newline; None if nothing does."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            offset = data.rfind(b"\n") + 1
            return Tail(offset, data[offset:]) if offset < len(data) else None


def is_glued(path: Path, tail: Tail) -> bool:
    """Tells whether a line begins with what was the end, goes on, and says nothing whole.

    A whole JSON line there begins with the same bytes by chance: the half line was cut off.
    """
    with path.open("rb") as file:
        file.seek(tail.offset)
        line = file.readline()
    goes_on = line.startswith(tail.data) and len(line) > len(tail.data) + 1
    return goes_on and line.endswith(b"\n") and not is_json(line)


def is_json(line: bytes) -> bool:
    """Tells whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
