"""Files outside every log: locks that end with their holder, replacement, and private reading.

Inside a log `thence.log.files.disk` makes all calls, so that each can be made to fail. A lock
is `flock`, never `lockf`, whose locks vanish when any descriptor of the file closes. A failed
call raises a ThenceError; no function makes a folder.
"""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from thence.errors import ThenceError

REPLACE_WAIT_S = 30.0
_PAUSE_MIN_S = 0.001
_PAUSE_MAX_S = 0.05
# no link is followed, no child inherits the file, and a pipe in its place holds nobody
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_HINTS = (
    ((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, then try again"),
    ((errno.EACCES, errno.EPERM, errno.EROFS), "give this user the right to read and write there"),
    ((errno.ELOOP,), "see where the link leads (ls -l), then remove it"),
    ((errno.ENOENT, errno.ENOTDIR), "create the folder, then try again"),
    ((errno.EINVAL,), "see what it is (ls -l), then move it away"),
)


class FileBusy(ThenceError):
    """Error: another process held the lock of a file outside a log; nothing was done."""


def file_lock(
    path: Path,
    wait_s: float = 0.0,
    pause: Callable[[float], object] = time.sleep,
    mode: int = 0o666,
) -> FileIO:
    """Locks a file and returns it open; the lock ends when it is closed, or with the process.

    The file is made if it is missing, with a mode that the umask narrows. A process that inherits
    the descriptor holds the lock too. The wait is in seconds; `pause` sleeps for as many, and
    ends the wait by returning True, as the `wait` of a threading.Event does. If somebody removes
    or replaces the file, the lock is taken again on the one at the path. A symbolic link is
    refused. Raises FileBusy, and ThenceError if the file can't be locked at all.
    """
    with _failures("could not lock", path):
        return _lock(path, wait_s, pause, mode)


def is_locked(path: Path) -> bool:
    """Reports whether anybody holds the lock of a file, who may be this process.

    It makes no file, and takes a free lock for a moment. Raises ThenceError.
    """
    with _failures("could not look at the lock", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return False
        with FileIO(descriptor) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def read_private(path: Path, size_bytes_max: int) -> tuple[bytes, bool] | None:
    """Returns the bytes of a file of this user, and whether others may read or write it.

    Returns None if there is no file. A symbolic link, what is no regular file, and a file of
    another user are refused: somebody else would choose what is read. Raises ThenceError.
    """
    with _failures("could not read", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with FileIO(descriptor) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            if status.st_uid != os.geteuid():
                raise OSError(errno.EPERM, f"it belongs to another user ({status.st_uid})")
            return file.read(size_bytes_max), bool(status.st_mode & 0o077)


def replace_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replaces a file, or makes it: after a crash it has the old content or the new, on the device.

    Processes that replace it at once take turns, by a lock of the draft beside it, `.NAME.part`,
    which the next replacement uses if this process is killed. The umask narrows the mode. A
    symbolic link is refused. Raises ThenceError, and FileBusy after 30 s.
    """
    draft = path.parent / f".{path.name}.part"
    with (
        _failures("could not write", path),
        _lock(draft, REPLACE_WAIT_S, time.sleep, mode) as file,
    ):
        try:
            if path.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            file.truncate(0)  # of a process that was killed, and may have been more open
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & ~mode:
                os.fchmod(file.fileno(), mode)
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[file.write(remaining) :]
            os.fsync(file.fileno())
            os.rename(draft, path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a draft, which gets the file's name when all of it is on the device.

    Raises OSError with the name of the file where the draft can't be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        # that of a write names no file, that of another call the draft
        if isinstance(error, OSError) and error.filename in (None, str(draft)):
            code = error.errno or 0
            raise OSError(code, os.strerror(code) if code else str(error), str(path)) from error
        raise


def _lock(path: Path, wait_s: float, pause: Callable[[float], object], mode: int) -> FileIO:
    """Returns the file at the path, locked. Raises OSError, and FileBusy behind the wait."""
    end_s = time.monotonic() + wait_s
    pause_s = _PAUSE_MIN_S
    while True:
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, mode), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
                    return file
            file.close()  # it is no longer the one at the path
        except BlockingIOError:
            file.close()
            if time.monotonic() >= end_s or pause(pause_s) is True:
                how_long = f"has held it for {wait_s:g} s" if wait_s else "holds it"
                raise FileBusy(
                    "could not lock",
                    place=path,
                    cause=f"another process {how_long}",
                    hint="wait for that process or end it, then try again",
                ) from None
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
        except BaseException:
            file.close()
            raise


@contextmanager
def _failures(operation: str, path: Path) -> Iterator[None]:
    """Raises an OSError of the enclosed block as a ThenceError."""
    try:
        yield
    except OSError as error:
        hint = next((hint for errnos, hint in _HINTS if error.errno in errnos), "check the device")
        is_link = error.errno == errno.ELOOP
        cause = "it is a symbolic link" if is_link else error.strerror or error
        raise ThenceError(operation, place=path, cause=cause, hint=hint) from error
