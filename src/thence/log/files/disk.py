"""The calls of the operating system: no other file of the inner rooms makes any.

Every other module takes a `Disk` as an argument, so that each call can be made to fail.
A call that fails raises `DiskError`, and so does an injected fault; other modules give the
error its meaning. A signal handler may raise an OSError of its own during a call, most often
TimeoutError: such an error is not the disk's, and reaches the caller unchanged.
"""

import errno
import fcntl
import os
import re
import stat as stat_bits
import sys
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

from thence.errors import LogBusy, LogFull, LogReadOnly, OutcomeUnknown, ThenceError

READ_BYTES = 1024 * 1024
_GET_VERSION = 0x80087601  # Linux: FS_IOC_GETVERSION
_UMASKED = 0o666  # of a new file: the umask alone narrows it, so that a group can share a log

# the errors of a full disk, a quota or RLIMIT_FSIZE
FULL_ERRNOS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
DENIED_ERRNOS = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
_ABSENT_ERRNOS = frozenset((errno.ENOENT, errno.ENOTDIR))
_P = ParamSpec("_P")
_R = TypeVar("_R")


class DiskError(OSError):
    """A system call of thence that failed, with its errno and the file's name.

    DiskError is raised and caught inside thence; a user's code gets a ThenceError made of it.
    """

    @property
    def is_absence(self) -> bool:
        """True if nothing exists at the path."""
        return self.errno in _ABSENT_ERRNOS


def system_call(function: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
    """Makes one call and returns its result; the call's error becomes a DiskError.

    A signal handler that runs during the call may raise an OSError too, most often
    TimeoutError. Such an error is raised unchanged.
    """
    try:
        return function(*arguments, **named)
    except OSError as error:
        if not _is_ours(error):
            raise
        names = () if error.filename is None else (error.filename, None, error.filename2)
        raise DiskError(error.errno, error.strerror, *names) from error


def _is_ours(error: OSError) -> bool:
    """Reports whether the call itself raised: a handler's traceback has a frame of its own."""
    raised = error.__traceback__
    return error.errno is not None and raised is not None and raised.tb_next is None


def append_error(path: Path, error: OSError) -> ThenceError:
    """Returns the error for a call that failed and left nothing behind."""
    kind, code = ThenceError, "append_failed"
    hint = "check the device, then try again"
    if error.errno in FULL_ERRNOS:
        kind, code, hint = LogFull, "log_full", "free some space, then try again"
    elif error.errno in DENIED_ERRNOS:
        kind, code, hint = LogReadOnly, "log_read_only", "give this user the right to write there"
    place, cause = error.filename or path, error.strerror or error
    failure = kind("could not append to", place=place, cause=cause, hint=hint, code=code)
    failure.__cause__ = error
    return failure


def half_line_error(path: Path, error: OSError) -> OutcomeUnknown:
    """Returns the error for half a line that could not be cut off."""
    return OutcomeUnknown(
        "could not take back half a line at the end of",
        place=path,
        cause=error.strerror or error,
        hint="retry(), or open the log again: the next append moves the half line aside",
    )


def sync_error(path: Path, error: OSError | ThenceError) -> OutcomeUnknown:
    """Returns the error for events that could be synced neither here nor in the next segment."""
    return OutcomeUnknown(
        "could not sync the events just written to",
        place=path,
        cause=getattr(error, "strerror", None) or error,
        hint="check the device, then retry(); the next append tries it again too",
    )


def retry_error(folder: Path, error: ThenceError) -> OutcomeUnknown:
    """Returns the error for a retry that failed too."""
    return OutcomeUnknown(
        "could not retry an append to",
        place=folder,
        cause=error.cause or error,
        hint=f"{error.hint}, by retry() again" if error.hint else "retry() again",
    )


@contextmanager
def appending(place: Path) -> Iterator[None]:
    """Raises a DiskError of the enclosed block as an append would."""
    try:
        yield
    except DiskError as error:
        raise append_error(place, error) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raises a DiskError of the enclosed block as `read_failed`."""
    try:
        yield
    except DiskError as error:
        hint = "check the device, then try again"
        if error.errno in DENIED_ERRNOS:
            hint = "give this user the right to read there"
        raise ThenceError(
            "could not read the log",
            place=error.filename or folder,
            cause=error.strerror or error,
            hint=hint,
            code="read_failed",
        ) from error


monotonic_ns = time.monotonic_ns
wall_ns = time.time_ns
pause = time.sleep

# the form of blanks, tabs, newlines and backslashes in the system's table of mounts
_OCTAL = re.compile(rb"\\([0-7]{3})")

_URL_DIGITS = bytes.maketrans(b"+/", b"-_")

_Place = TypeVar("_Place", str, Path)

# device and inode: they identify a file whatever its name
FileId = tuple[int, int]
NOWHERE: FileId = (0, 0)
# in place of a descriptor; the system refuses it
CLOSED = -1


class FileState(NamedTuple):
    """The state of a file, which differs after the file was written to.

    `changed_ns` is the mtime, which the filesystem may keep in steps of milliseconds.
    """

    file: FileId
    size: int
    changed_ns: int


NOTHING = FileState(NOWHERE, 0, 0)


class Disk:
    """The calls that reach files; one instance serves any number of logs and threads."""

    def open_append(self, path: Path) -> int:
        """Opens for reading and appending, made if missing; returns the descriptor."""
        return _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def open_read(self, path: Path) -> int:
        """Opens for reading; returns the descriptor."""
        return _opened(path, os.O_RDONLY)

    def open_existing(self, path: Path) -> int | None:
        """Opens for reading like `open_read`; None if there is no file."""
        try:
            return self.open_read(path)
        except DiskError as error:
            if not error.is_absence:
                raise
            return None

    def close(self, descriptor: int) -> None:
        """Closes a descriptor."""
        system_call(os.close, descriptor)

    def close_quietly(self, descriptor: int) -> None:
        """Closes a descriptor and ignores an error: it is closed all the same. CLOSED is none."""
        if descriptor != CLOSED:
            with suppress(DiskError):
                self.close(descriptor)

    def write(self, descriptor: int, data: bytes) -> int:
        """Writes with one call; returns how many bytes were written, maybe fewer than given."""
        return system_call(os.write, descriptor, data)

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Writes all of it, with as many calls as it takes."""
        written = 0
        while written < len(data):
            written += self.write(descriptor, data[written:])

    def write_at(self, descriptor: int, offset: int, data: bytes | bytearray) -> int:
        """Overwrites the bytes at an offset with one call; returns how many were written."""
        return system_call(os.pwrite, descriptor, data, offset)

    def read_at(self, descriptor: int, offset: int, size: int) -> bytes:
        """Reads at most `size` bytes at an offset; fewer at the end of the file."""
        return system_call(os.pread, descriptor, size, offset)

    def sync_data(self, descriptor: int) -> None:
        """Returns when the file's data and size are on the device."""
        if sys.platform == "darwin":  # fdatasync stops at the drive's cache there
            system_call(fcntl.fcntl, descriptor, fcntl.F_FULLFSYNC)
        else:
            system_call(os.fdatasync, descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Returns when the names in a folder are on the device."""
        descriptor = system_call(os.open, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            system_call(os.fsync, descriptor)
        finally:
            system_call(os.close, descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cuts a file to a size in bytes."""
        system_call(os.ftruncate, descriptor, size)

    def file_id(self, descriptor: int) -> tuple[FileId, int]:
        """Returns the device and inode of an open file, with its size in bytes."""
        status = system_call(os.fstat, descriptor)
        return (status.st_dev, status.st_ino), status.st_size

    def links(self, descriptor: int) -> int:
        """Returns how many names an open file has, 0 once it was unlinked."""
        return system_call(os.fstat, descriptor).st_nlink

    def path_id(self, path: str) -> tuple[FileId, int] | None:
        """Returns device and inode of the file at a path, and its size in bytes; None if absent.

        The path is a text: a Path would double the cost of the call.
        """
        try:
            status = system_call(os.stat, path)
        except DiskError as error:
            if not error.is_absence:
                raise
            return None
        return (status.st_dev, status.st_ino), status.st_size

    def path_state(self, path: str) -> FileState | None:
        """Returns the present state of the file at a path; None if there is none."""
        status = _unless_absent(os.stat, path)
        if status is None:
            return None
        return FileState((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file another name, and replaces a file that has this name."""
        system_call(os.rename, old, new)

    def link(self, old: Path, new: Path) -> None:
        """Gives a file a second name; DiskError with EEXIST if that name exists."""
        system_call(os.link, old, new)

    def copy_access(self, source: int, target: int) -> None:
        """Gives an open file the mode, and where it may the owner, of another."""
        status = system_call(os.fstat, source)
        system_call(os.fchmod, target, stat_bits.S_IMODE(status.st_mode))
        try:
            system_call(os.fchown, target, status.st_uid, status.st_gid)
        except DiskError as error:
            if error.errno not in DENIED_ERRNOS:
                raise

    def unlink(self, path: Path) -> None:
        """Removes a name."""
        system_call(os.unlink, path)

    def make_folder(self, folder: Path) -> None:
        """Makes a folder with its parents; existing folders are left as they are."""
        try:
            system_call(os.mkdir, folder)
        except DiskError as error:
            if error.errno == errno.ENOENT and not self.is_folder(folder.parent):
                self.make_folder(folder.parent)
                self.make_folder(folder)
            elif not self.is_folder(folder):
                raise

    def names(self, folder: Path) -> list[str]:
        """Lists the names in a folder, sorted; an absent folder has none."""
        return sorted(_unless_absent(os.listdir, folder) or ())

    def is_folder(self, path: Path) -> bool:
        """Reports whether a path is a folder."""
        status = _unless_absent(os.stat, path)
        return status is not None and stat_bits.S_ISDIR(status.st_mode)

    def read_whole(self, path: Path) -> bytes | None:
        """Reads a small file whole; None if it is absent."""
        with opened_existing(self, path) as descriptor:
            if descriptor is None:
                return None
            parts = []
            offset = 0
            while part := self.read_at(descriptor, offset, READ_BYTES):
                parts.append(part)
                offset += len(part)
            return b"".join(parts)

    def write_new(self, path: Path, data: bytes) -> None:
        """Makes a file with this content, synced; DiskError with EEXIST if the name exists."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = system_call(os.open, path, flags, _UMASKED)
        try:
            self.write_all(descriptor, data)
            system_call(os.fsync, descriptor)
        except BaseException:
            self.unlink(path)
            raise
        finally:
            system_call(os.close, descriptor)

    def open_lock(self, path: Path) -> int:
        """Opens a lock file, made if missing; returns the descriptor."""
        return system_call(os.open, path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _UMASKED)

    def try_lock(self, descriptor: int) -> bool:
        """Takes the exclusive flock of an open file if it is free; reports whether it did."""
        try:
            system_call(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except DiskError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise
            return False
        return True

    def unlock(self, descriptor: int) -> None:
        """Releases a flock."""
        system_call(fcntl.flock, descriptor, fcntl.LOCK_UN)

    def generation(self, descriptor: int) -> int:
        """Returns the generation of a file's inode, 0 if unknown.

        The generation distinguishes a file from another that had the same inode before.
        """
        try:
            answer = system_call(fcntl.ioctl, descriptor, _GET_VERSION, bytes(8))
        except DiskError:  # this filesystem keeps none
            return 0
        return int.from_bytes(answer[:4], sys.byteorder)

    def room(self, folder: Path) -> tuple[int, int | None]:
        """Returns how many bytes and files this user may still add; None: files uncounted."""
        status = system_call(os.statvfs, folder)
        return status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None

    def filesystem(self, folder: Path) -> str:
        """Returns the type of the filesystem that a folder lies on; empty if unknown."""
        real_path = os.fsencode(os.path.realpath(folder))
        innermost, longest = b"", 0
        for line in (self.read_whole(Path("/proc/self/mountinfo")) or b"").splitlines():
            mounted, kind = (part.split() for part in line.partition(b" - ")[::2])
            if len(mounted) < 5 or not kind:  # a table in another form
                continue
            plain = _OCTAL.sub(lambda code: bytes((int(code[1], 8),)), mounted[4])
            point = plain.rstrip(b"/") + b"/"
            if (real_path + b"/").startswith(point) and len(point) >= longest:
                innermost, longest = kind[0], len(point)
        return innermost.decode("ascii", "replace")

    def lock_holder(self, descriptor: int) -> str:
        """Returns a text that names the process holding a flock, as far as it is known."""
        inode = system_call(os.fstat, descriptor).st_ino
        try:
            table = self.read_whole(Path("/proc/locks")) or b""
        except DiskError:
            return "another process"
        for line in table.decode("ascii").splitlines():
            words = line.split()
            if "FLOCK" in words and words[-3].endswith(f":{inode}"):
                return f"process {words[-4]}"
        return "another process"


def _unless_absent(function: Callable[[_Place], _R], path: _Place) -> _R | None:
    """Makes one call; returns None where nothing exists at the path."""
    try:
        return system_call(function, path)
    except DiskError as error:
        if not error.is_absence:
            raise
        return None


def _opened(path: Path, flags: int) -> int:
    """Opens a regular file; opening a pipe would block, and a pipe stores no bytes."""
    descriptor = system_call(os.open, path, flags | os.O_CLOEXEC | os.O_NONBLOCK, _UMASKED)
    if stat_bits.S_ISREG(system_call(os.fstat, descriptor).st_mode):
        return descriptor
    system_call(os.close, descriptor)
    raise DiskError(errno.EINVAL, "it is not a regular file", str(path))


OS_DISK = Disk()


WAIT_S = 30.0
# a holder usually releases the lock within microseconds: the waiter first yields, then pauses
# briefly, then, when something must have stopped the holder, longer
_YIELDS = 16
_PAUSE_MIN_S = 0.00005
_PAUSE_MAX_S = 0.0004
_PAUSE_LONG_S = 0.005
_LONG_NS = 100_000_000


class AppendLock:
    """The append lock of one open log: one writer at a time, among threads and processes.

    It is `flock` on `.thence/lock`, never `lockf`, whose locks vanish when any descriptor of the
    file closes. Thence never deletes the file. If somebody else does, the inode at the path
    differs, and the lock is taken again on the new file. The caller excludes its own threads by a
    mutex.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._path_text = str(path)
        self._descriptor: int | None = None
        self._file = NOWHERE

    def acquire(self, timeout_s: float = WAIT_S) -> None:
        """Takes the lock within the timeout, else raises LogBusy with the holder's name."""
        start_ns = 0
        delay_s = 0.0
        for attempt in count():
            descriptor = self._open() if self._descriptor is None else self._descriptor
            if self._disk.try_lock(descriptor):
                current = self._disk.path_id(self._path_text)
                if current is not None and current[0] == self._file:
                    return
                self.release()
                self.close()
                continue
            start_ns = start_ns or monotonic_ns()
            waited_ns = monotonic_ns() - start_ns
            if waited_ns >= timeout_s * 1e9:
                raise LogBusy(
                    "could not append to",
                    place=self._path.parent.parent,
                    cause=f"{self._disk.lock_holder(descriptor)} has held the append lock"
                    f" for {timeout_s:g} s",
                    hint="wait for that process or end it, then try again",
                )
            if attempt >= _YIELDS:
                longest_s = _PAUSE_MAX_S if waited_ns < _LONG_NS else _PAUSE_LONG_S
                delay_s = min(max(delay_s * 2, _PAUSE_MIN_S), longest_s)
            pause(delay_s)

    def release(self) -> None:
        """Releases the lock if it is held.

        If the system call fails, or a signal handler raises in between, the file is closed,
        which releases the lock too.
        """
        if self._descriptor is not None:
            try:
                self._disk.unlock(self._descriptor)
            except DiskError:
                self.close()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Closes the lock file. In a forked child this leaves the parent's lock alone."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close_quietly(descriptor)

    def _open(self) -> int:
        try:
            self._descriptor = self._disk.open_lock(self._path)
        except DiskError as error:
            if not error.is_absence or not self._disk.is_folder(self._path.parent.parent):
                raise
            # somebody deleted `.thence/` while the log was open
            self._disk.make_folder(self._path.parent)
            self._descriptor = self._disk.open_lock(self._path)
        self._file, _ = self._disk.file_id(self._descriptor)
        return self._descriptor


@contextmanager
def opened(disk: Disk, path: Path) -> Iterator[int]:
    """Gives a descriptor that reads a file."""
    descriptor = disk.open_read(path)
    try:
        yield descriptor
    finally:
        disk.close_quietly(descriptor)


@contextmanager
def opened_existing(disk: Disk, path: Path) -> Iterator[int | None]:
    """Gives a descriptor that reads a file like `opened`; None if there is no file."""
    descriptor = disk.open_existing(path)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            disk.close_quietly(descriptor)


@contextmanager
def new_file(disk: Disk, path: Path) -> Iterator[int]:
    """Gives a descriptor of a new file, which is synced at the end, or removed on an error."""
    target = disk.open_append(path)
    try:
        yield target
        disk.sync_data(target)
    except BaseException:
        disk.unlink(path)
        raise
    finally:
        disk.close(target)


def copy_range(disk: Disk, source: int, start: int, end: int, target: int) -> None:
    """Copies a byte range of an open file to the end of another; the file may end earlier."""
    while start < end and (data := disk.read_at(source, start, min(READ_BYTES, end - start))):
        disk.write_all(target, data)
        start += len(data)


def noise_bits(bits: int) -> int:
    """Returns random bits from the operating system."""
    return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)


def noise_texts(count: int) -> list[bytes]:
    """Returns texts of 128 random bits each, as 22 characters of base64url.

    They are drawn in one call, which lets other threads run.
    """
    noise = os.urandom(16 * count)
    parts = [noise[at : at + 16] for at in range(0, len(noise), 16)]
    return [b2a_base64(part).translate(_URL_DIGITS)[:22] for part in parts]


def process_id() -> int:
    """Returns the number of this process, another one after a fork."""
    return os.getpid()


def variable(name: str) -> str | None:
    """Returns an environment variable of this process; an empty one counts as unset."""
    return os.environ.get(name) or None


def cache_folder() -> Path | None:
    """Returns the folder for this user's cached files; None if it isn't known."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def config_folder() -> Path | None:
    """Returns the folder for this user's settings and logins; None if it isn't known."""
    return _user_folder("XDG_CONFIG_HOME", ".config")


def _user_folder(name: str, in_home: str) -> Path | None:
    named, home = variable(name), variable("HOME")
    if named is None and home is None:
        return None
    return Path(named or Path(home or "", in_home), "thence")


def host_name() -> str:
    """Returns the name of this host."""
    return os.uname().nodename


def user_name() -> str:
    """Returns the number of the user this process runs as, which needs no user database."""
    return str(os.getuid())


def machine_id() -> str:
    """Returns the id of this installation of the system, empty where none is known."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        text = OS_DISK.read_whole(Path(path))
        if text:
            return text.decode("ascii", "replace").strip()
    return ""


def yield_processor() -> None:
    """Lets another thread run, without a pause."""
    time.sleep(0)


def on_fork(before: Callable[[], None], child: Callable[[], None]) -> None:
    """Registers one function to be called before each fork, and one in the forked child."""
    os.register_at_fork(before=before, after_in_child=child)


Durability = Literal["synced", "unproven", "memory"]
MEMORY = frozenset(("tmpfs", "ramfs", "devtmpfs"))
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre")
) | frozenset(("beegfs", "gpfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs"))


def durability_on(filesystem: str) -> Durability:
    """Returns what a sync that returned means on a filesystem of this type.

    "synced": the device was asked to keep the data; thence can check no more than that.
    "unproven": another machine, or a program, has the data and may answer too early. "memory":
    the data are lost when the machine stops.
    """
    if filesystem in NETWORK:
        return "unproven"
    return "memory" if filesystem in MEMORY else "synced"


def warnings(disk: Disk, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Returns the warnings, each as word and facts, for a log that is opened for appending."""
    try:
        filesystem = disk.filesystem(folder)
    except DiskError:
        return []
    if durability_on(filesystem) != "unproven":
        return []
    return [("unproven", {"folder": str(folder), "filesystem": filesystem})]
