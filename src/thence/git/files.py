"""Files of an untrusted working tree, reached without following a link.

A clone's author may have put a symbolic link in the place of any file or folder, with any target.
So each call walks from the top of the tree, one folder after the other, by descriptors. A link on
the way, or at the end, is refused with an OSError, and so is anything that is neither file nor
folder (a pipe, a device). The path of the top itself may lead through links. Paths are relative to
the top, with `/` between their parts.

All of `work` accesses working trees through this module; the git folder is the user's own.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

IS_LINK = "it is a symbolic link, which is not followed in a working tree"
IS_ODD = "it is neither a file nor a folder"
_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = _TOP | os.O_NOFOLLOW
# opening a pipe would block, and opening a terminal would make it the controlling one
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_UMASKED = 0o666
_DRAFT = ".thence-draft"


class NotFollowed(OSError):
    """A path leads through a link, or to something that is neither file nor folder."""


class TreeFiles:
    """The files of one working tree.

    Each method raises OSError: NotFollowed, and FileNotFoundError or NotADirectoryError where a
    folder on the way is missing or a file.
    """

    def __init__(self, top: Path) -> None:
        self.top = top

    def look(self, path: str) -> os.stat_result | None:
        """Returns the stat of a path, without following a link; None if nothing is there."""
        try:
            with self._parent(path) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_folder(self, path: str) -> bool:
        """Reports whether a path is a folder; a link to a folder is none."""
        stat = self.look(path)
        return stat is not None and S_ISDIR(stat.st_mode)

    def read(self, path: str) -> bytes:
        """Returns the bytes of a file."""
        with open(self.open(path, os.O_RDONLY), "rb") as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        """Returns the names in a folder, sorted; none if there is no folder."""
        return sorted(self.stats(path))

    def stats(self, path: str) -> dict[str, os.stat_result]:
        """Returns the stats of a folder's entries by name; empty if there is no folder."""
        try:
            with self._parent(f"{path}/.") as (folder, _), os.scandir(folder) as entries:
                return {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def open(self, path: str, flags: int) -> int:
        """Returns a descriptor of a file; O_CREAT among the flags makes the folders above it."""
        with self._parent(path, make=bool(flags & os.O_CREAT)) as (folder, name):
            try:
                descriptor = os.open(name, flags | _FILE, _UMASKED, dir_fd=folder)
            except OSError as error:
                raise _path_error(folder, name, path, error) from None
        mode = os.fstat(descriptor).st_mode
        if S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        if S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise NotFollowed(errno.EINVAL, IS_ODD, path)

    def append(self, path: str, data: bytes) -> None:
        """Writes at the end of a file, with one call; file and folders are made if missing."""
        descriptor = self.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def replace(self, path: str, data: bytes) -> None:
        """Replaces a file in one step; it keeps its mode. Folders are made if missing.

        Callers hold a lock: a draft that is there is of a process that was killed, and goes.
        """
        with self._parent(path, make=True) as (folder, name):
            mode = _mode_at(folder, name)
            if mode is not None and not S_ISREG(mode):
                error = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                raise _path_error(folder, name, path, error)
            draft = draft_of(name)
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
            try:
                with open(
                    os.open(draft, _NEW | _FILE, _UMASKED, dir_fd=folder), "wb", buffering=0
                ) as file:
                    if mode is not None:
                        os.fchmod(file.fileno(), S_IMODE(mode))
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise

    def unlink(self, path: str) -> None:
        """Removes a file or a link, if it is there."""
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            self._parent(path) as (folder, name),
        ):
            os.unlink(name, dir_fd=folder)

    def make_folder(self, path: str) -> None:
        """Makes a folder with those above it; one that is there stays."""
        with self._parent(f"{path}/.", make=True):
            pass

    def link(self, path: str, target: str) -> None:
        """Makes a symbolic link, for other programs: nothing here reads or writes through it."""
        with self._parent(path, make=True) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def target_of(self, path: str) -> str | None:
        """Returns the target of a link, None if the path is no link."""
        stat = self.look(path)
        if stat is None or not S_ISLNK(stat.st_mode):
            return None
        with self._parent(path) as (folder, name):
            return os.readlink(name, dir_fd=folder)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Yields a descriptor of a path's parent folder, and the last part of the path."""
        *folders, name = path.split("/")
        if not name or {"", ".", ".."} & {*folders} or name == "..":
            raise NotFollowed(errno.EINVAL, "this is not a path inside a working tree", path)
        at = os.open(self.top, _TOP)
        try:
            for depth, folder in enumerate(folders, 1):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=at)
                try:
                    inner = os.open(folder, _FOLDER, dir_fd=at)
                except OSError as error:
                    raise _path_error(at, folder, "/".join(folders[:depth]), error) from None
                os.close(at)
                at = inner
            yield at, name
        finally:
            os.close(at)


def draft_of(path: str) -> str:
    """Returns the path of the draft of a file, which is renamed to the file."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}{_DRAFT}"


def is_draft(path: str) -> bool:
    """Reports whether a path is that of a draft, which is soon gone."""
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(_DRAFT)


def _path_error(at: int, name: str, path: str, error: OSError) -> OSError:
    """Returns the error of a path: NotFollowed for a link or an irregular file."""
    mode = _mode_at(at, name)
    if mode is not None and S_ISLNK(mode):
        return NotFollowed(errno.ELOOP, IS_LINK, path)
    if mode is not None and not S_ISDIR(mode) and not S_ISREG(mode):
        return NotFollowed(errno.EINVAL, IS_ODD, path)
    error.filename = path
    return error


def _mode_at(at: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
