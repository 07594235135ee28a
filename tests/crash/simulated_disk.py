"""A whole filesystem in memory that remembers what no sync has covered yet.

It stands wherever a `Disk` may stand. Every file keeps the contents that it has had since
its last sync, every folder the changes of its names since then: from these
`tests.crash.crash_states` makes what a power cut may leave. A file that has lost its last
name lives on for those who have it open. Folders are never renamed and never removed.

A sync that fails does what Linux does: what was under way counts as clean, so that a later
sync returns without it, unless its page was written again; whoever else had the file open
is told at their next sync, whoever opens it later never (Rebello et al., "Can Applications
Recover from fsync Failures?", ATC 2020).
"""

import errno
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import RLock

from tests.crash.images import (
    EMPTY,
    Change,
    Folder,
    Image,
    Moment,
    OpenFile,
    Versions,
    absence,
    failure,
    joined,
    parted,
    paths_in,
    put,
    without_pages,
)

from thence.log.files.disk import Disk, FileId, FileState

_DEVICE = 77


class SimulatedDisk(Disk):
    """Files in memory. `moments` holds the disk after each call that changed it, if recorded.

    `before` is called with the name of each such call before it is made; it may make others,
    as another process would. `bytes_left` is how many bytes still fit on the disk, None for
    any. So many of the next syncs of data fail as `failing` says.
    """

    def __init__(self, image: Image = EMPTY, is_recording: bool = False) -> None:
        self.before: Callable[[str], None] | None = None
        self.bytes_left: int | None = None
        self.failing = 0
        self.has_failed = False
        self.moments: list[Moment] = []
        self._is_recording = is_recording
        self._mutex = RLock()
        self._files: dict[int, Versions] = {n: (data,) for n, data in image.files.items()}
        self._folders = {
            path: (number, Folder(names, (), names))
            for path, (number, names) in image.folders.items()
        }
        self._paths = paths_in(image)
        taken = [*image.files, *(number for number, _ in image.folders.values())]
        self._numbers = count(max(taken) + 1)
        self._descriptors = count(1000)
        self._open: dict[int, OpenFile] = {}
        self._locks: dict[int, int] = {}
        self._noted: set[int] = set()
        self._unsafe: dict[int, list[tuple[Versions, bytes]]] = {}
        self._owed: set[int] = set()
        if is_recording:
            self.moments.append(self.moment("begin"))

    def moment(self, call: str = "") -> Moment:
        """Return the disk as it is now."""
        return Moment(call, dict(self._files), frozenset(self._noted), dict(self._folders))

    @property
    def is_locked(self) -> bool:
        """Whether anybody holds a lock, but for the openings, which hold their own files."""
        return not self._locks.keys() <= self._noted

    def open_append(self, path: Path) -> int:
        return self._opened_file(path, None)

    def open_lock(self, path: Path) -> int:
        return self._opened_file(path, 0)

    def open_read(self, path: Path) -> int:
        return self._descriptor(self._file_at(path), False)

    def close(self, descriptor: int) -> None:
        opened = self._opened(descriptor)
        del self._open[descriptor]
        if self._locks.get(opened.file) == descriptor:
            del self._locks[opened.file]

    def write(self, descriptor: int, data: bytes) -> int:
        self._begin("write")
        with self._mutex:
            opened = self._opened(descriptor, True)
            if self.bytes_left is not None:
                if not self.bytes_left:
                    raise failure(errno.ENOSPC)
                data = data[: self.bytes_left]
                self.bytes_left -= len(data)
            if (at := opened.position) is not None:
                opened.position = at + len(data)
            self._put(opened.file, at, data)
            self._done("write")
        return len(data)

    def write_at(self, descriptor: int, offset: int, data: bytes) -> int:
        self._begin("write_at")
        with self._mutex:
            file = self._opened(descriptor, True).file
            if self.bytes_left == 0:
                raise failure(errno.ENOSPC)
            self._noted.add(file)
            self._put(file, offset, bytes(data))
            self._done("write_at")
        return len(data)

    def read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        return self._files[self._opened(descriptor).file][-1][offset : offset + size]

    def sync_data(self, descriptor: int) -> None:
        self._begin("sync_data")
        with self._mutex:
            file = self._opened(descriptor).file
            has_failed = self.failing > 0 or descriptor in self._owed
            if has_failed:
                self._fail(file, descriptor)
            else:
                self._files[file] = self._synced(file)
                self._done("sync_data")
        if has_failed:
            self._begin("failed")
            raise failure(errno.EIO)

    def sync_folder(self, folder: Path) -> None:
        self._begin("sync_folder")
        with self._mutex:
            number, found = self._folder_at(str(folder))
            self._folders[str(folder)] = (number, Folder(found.names, (), found.names))
            self._done("sync_folder")

    def truncate(self, descriptor: int, size: int) -> None:
        self._begin("truncate")
        with self._mutex:
            opened = self._opened(descriptor)
            if not opened.is_writable:
                raise failure(errno.EINVAL)
            self._change(opened.file, self._files[opened.file][-1][:size].ljust(size, b"\0"))
            # pages that are written again behind this are pages anew
            unsafe = self._unsafe.get(opened.file, ())
            self._unsafe[opened.file] = [(before, then[:size]) for before, then in unsafe]
            self._done("truncate")

    def file_id(self, descriptor: int) -> tuple[FileId, int]:
        return self._id(self._opened(descriptor).file)

    def links(self, descriptor: int) -> int:
        file = self._opened(descriptor).file
        return sum(number == file for number in self._paths.values())

    def path_id(self, path: str) -> tuple[FileId, int] | None:
        file = self._paths.get(path)
        if file is not None:
            return self._id(file)
        found = self._folders.get(path)
        return ((_DEVICE, found[0]), 4096) if found is not None else None

    def path_state(self, path: str) -> FileState | None:
        return (found := self.path_id(path)) and FileState(*found, 0)

    def rename(self, old: Path, new: Path) -> None:
        self._begin("rename")
        with self._mutex:
            file = self._file_at(old)
            there = self.path_id(str(new))
            if str(new) in self._folders:
                raise failure(errno.EISDIR, new)
            if there is not None and there[0][1] == file:
                return  # two names of one file: both stay
            (was_in, old_name), (folder, new_name) = parted(old), parted(new)
            if was_in == folder:
                self._rename(folder, ((old_name, None), (new_name, file)))
            else:
                self._rename(folder, ((new_name, file),))
                self._rename(was_in, ((old_name, None),))
            self._done("rename")

    def link(self, old: Path, new: Path) -> None:
        self._begin("link")
        with self._mutex:
            file = self._file_at(old)
            if self.path_id(str(new)) is not None:
                raise failure(errno.EEXIST, new)
            folder, name = parted(new)
            self._rename(folder, ((name, file),))
            self._done("link")

    def copy_access(self, source: int, target: int) -> None:
        self._opened(source)
        self._opened(target)

    def unlink(self, path: Path) -> None:
        self._begin("unlink")
        with self._mutex:
            self._file_at(path)
            folder, name = parted(path)
            self._rename(folder, ((name, None),))
            self._done("unlink")

    def make_folder(self, folder: Path) -> None:
        if str(folder) in self._folders:
            return
        for path in (*reversed(folder.parents), folder):
            if str(path) not in self._folders:
                self._begin("make_folder")
                with self._mutex:
                    self._make_one(path, errno.EEXIST if path == folder else errno.ENOTDIR)

    def names(self, folder: Path) -> list[str]:
        found = self._folders.get(str(folder))
        return sorted(found[1].names) if found is not None else []

    def is_folder(self, path: Path) -> bool:
        return str(path) in self._folders

    def write_new(self, path: Path, data: bytes) -> None:
        self._begin("create")
        with self._mutex:
            if self.path_id(str(path)) is not None:
                raise failure(errno.EEXIST, path)
            descriptor = self._descriptor(self._create(path), True)
        try:
            self.write_all(descriptor, data)
            self.sync_data(descriptor)
        except BaseException:
            self.unlink(path)
            raise
        finally:
            self.close(descriptor)

    def try_lock(self, descriptor: int) -> bool:
        with self._mutex:
            file = self._opened(descriptor).file
            return self._locks.setdefault(file, descriptor) == descriptor

    def unlock(self, descriptor: int) -> None:
        with self._mutex:
            file = self._opened(descriptor).file
            if self._locks.get(file) == descriptor:
                del self._locks[file]

    def lock_holder(self, descriptor: int) -> str:
        is_locked = self._opened(descriptor).file in self._locks
        return f"process {os.getpid()}" if is_locked else "another process"

    def generation(self, descriptor: int) -> int:
        return self._opened(descriptor).file

    def room(self, folder: Path) -> tuple[int, int | None]:
        return 2**40 if self.bytes_left is None else self.bytes_left, None

    def filesystem(self, folder: Path) -> str:
        return "simulated"

    def _fail(self, file: int, descriptor: int) -> None:
        if descriptor in self._owed:
            self._owed.discard(descriptor)
            return
        self.failing -= 1
        self.has_failed = True
        holders = {number for number, opened in self._open.items() if opened.file == file}
        self._owed |= holders - {descriptor}
        *under_way, now = self._files[file]
        if under_way:
            self._unsafe.setdefault(file, []).append((tuple(under_way), now))

    def _synced(self, file: int) -> Versions:
        """Return what a sync leaves under way: nothing, or what a failed one has given up."""
        now = self._files[file][-1]
        left = [
            without_pages(before, then, now)
            for versions, then in self._unsafe.get(file, ())
            for before in versions
        ]
        return (*left, now)

    def _begin(self, call: str) -> None:
        if self.before is not None:
            self.before(call)

    def _done(self, call: str) -> None:
        if self._is_recording:
            self.moments.append(self.moment(call))

    def _put(self, file: int, at: int | None, data: bytes) -> None:
        now = self._files[file][-1]
        self._change(file, put(now, len(now) if at is None else at, data))

    def _change(self, file: int, data: bytes) -> None:
        self._files[file] += (data,)

    def _rename(self, folder: str, change: Change) -> None:
        number, (durable, pending, names) = self._folder_at(folder)
        changed = {**names, **dict(change)}
        kept = {name: file for name, file in changed.items() if file is not None}
        self._folders[folder] = (number, Folder(durable, (*pending, change), kept))
        for name, file in change:
            self._paths.pop(joined(folder, name), None)
            if file in self._files:
                self._paths[joined(folder, name)] = file

    def _create(self, path: Path) -> int:
        file = next(self._numbers)
        folder, name = parted(str(path))
        self._folder_at(folder)
        self._files[file] = (b"",)
        self._rename(folder, ((name, file),))
        self._done("create")
        return file

    def _make_one(self, path: Path, if_file: int) -> None:
        if str(path) in self._folders:
            return
        if self.path_id(str(path)) is not None:
            raise failure(if_file, path)
        number = next(self._numbers)
        folder, name = parted(path)
        self._rename(folder, ((name, number),))
        self._folders[str(path)] = (number, Folder({}, (), {}))
        self._done("make_folder")

    def _opened_file(self, path: Path, position: int | None) -> int:
        if self.path_id(str(path)) is None:
            self._begin("create")
        with self._mutex:
            is_new = self.path_id(str(path)) is None
            file = self._create(path) if is_new else self._file_at(path)
            return self._descriptor(file, True, position)

    def _descriptor(self, file: int, is_writable: bool, position: int | None = None) -> int:
        descriptor = next(self._descriptors)
        self._open[descriptor] = OpenFile(file, is_writable, position)
        return descriptor

    def _opened(self, descriptor: int, for_writing: bool = False) -> OpenFile:
        opened = self._open.get(descriptor)
        if opened is None or (for_writing and not opened.is_writable):
            raise failure(errno.EBADF)
        return opened

    def _id(self, file: int) -> tuple[FileId, int]:
        return (_DEVICE, file), len(self._files[file][-1])

    def _file_at(self, path: Path) -> int:
        file = self._paths.get(str(path))
        if file is None:
            raise absence(str(path), self._folders, self._paths)
        return file

    def _folder_at(self, path: str) -> tuple[int, Folder]:
        if path not in self._folders:
            raise absence(path, self._folders, self._paths)
        return self._folders[path]
