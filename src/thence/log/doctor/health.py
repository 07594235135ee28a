"""The health of a log's folder: each operation that a log needs is tried there.

One small file is made beside the log, and removed again; nothing else is written. The module
needs only the standard library, so that it also works in a broken installation.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from statistics import median
from typing import NamedTuple

from thence.core.clock import microseconds
from thence.errors import ThenceError
from thence.log.files.disk import (
    Disk,
    durability_on,
    file_bytes_max,
    monotonic_ns,
    noise_bits,
    process_id,
)
from thence.log.files.disk_errors import FULL_ERRNOS, DiskError
from thence.log.files.segment import FILE_BYTES_MAX, current_path, own_folder

ROOM_BYTES_MIN = 100 * 1024 * 1024
ROOM_FILES_MIN = 100
YEAR_MIN = 2025
_AHEAD_US_MAX = 365 * 86_400 * 1_000_000
_FILE_BYTES_WANTED = FILE_BYTES_MAX + 1024 * 1024  # one event more than the limit
_SYNCS = 5
_BLOCK = b"thence doctor tries this disk\n" * 136
_SET_CLOCK = "set the machine's clock: `timedatectl set-ntp true`"
_FULL = "make room, or raise what limits this user: see `df -h .`, `quota` and `ulimit -f`"
_ELSEWHERE = "keep the log on another filesystem: `df -hT` lists them"


class Check(NamedTuple):
    """The result of one check. `hint` is the remedy if it is not ok, or ok with a warning."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    is_damage: bool = False


def folder_checks(disk: Disk, folder: Path) -> list[Check]:
    """Tries the operations that a log needs in its folder; the folder need not hold a log yet."""
    return [
        checked("filesystem", lambda: filesystem(disk, folder)),
        checked("space", lambda: space(disk, folder)),
        file_limit(file_bytes_max()),
        *_tried(disk, folder),
    ]


def checked(name: str, look: Callable[[], Check]) -> Check:
    """Runs a check; an error becomes its result."""
    try:
        return look()
    except DiskError as error:
        file = quote(str(error.filename or "FILE"))
        return Check(name, False, reason(error), f"let this user read it: `chmod u+rX {file}`")
    except ThenceError as error:
        # chained is what a file that was read holds in place of what thence wrote
        is_damage = not isinstance(error.__cause__, DiskError | None)
        return Check(name, False, f"{error.place}: {error.cause}", error.hint, is_damage)


def reason(error: DiskError) -> str:
    """Returns the text of a system error, with the file."""
    place = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{place}"


def filesystem(disk: Disk, folder: Path) -> Check:
    """Reports the type of the filesystem; on a network filesystem durability is unproven."""
    kind = disk.filesystem(folder)
    if durability_on(kind) == "unproven":
        detail = f"{kind}, a filesystem over the network: durability is unproven there"
        hint = "keep the log on a local disk: `df -hlT` lists them"
        return Check("filesystem", False, detail, hint)
    if durability_on(kind) == "memory":
        detail = f"{kind}: in memory, nothing in it survives the machine's end"
        return Check("filesystem", True, detail)
    return Check("filesystem", True, kind or "this system doesn't report its type")


def space(disk: Disk, folder: Path) -> Check:
    """Reports how much room is left for this user."""
    free, files = disk.room(folder)
    detail = f"{free:,} bytes free"
    if files is not None and files < ROOM_FILES_MIN:
        return Check(
            "space",
            False,
            f"{detail}, but for {files:,} files only",
            "delete some files: see `df -i .`",
        )
    hint = f"make room, `du -sh * | sort -h` helps: {ROOM_BYTES_MIN:,} bytes are soon written"
    is_enough = free >= ROOM_BYTES_MIN
    return Check("space", is_enough, detail, "" if is_enough else hint)


def file_limit(limit: int | None) -> Check:
    """Reports whether this process may write files as large as a log's."""
    if limit is None:
        return Check("file_limit", True, "files may grow as large as they like")
    if limit >= _FILE_BYTES_WANTED:
        return Check("file_limit", True, f"files may grow to {limit:,} bytes")
    detail = f"files may grow to {limit:,} bytes only; a log's grow to {FILE_BYTES_MAX:,}"
    hint = "raise it with `ulimit -f unlimited`, or set max_file_size lower"
    return Check("file_limit", False, detail, hint)


def clock(wall_ns: int, newest: str) -> Check:
    """Compares the wall clock with the newest event's timestamp, empty if there is none.

    The clock orders nothing; a wrong one makes times that mislead people.
    """
    wall = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    detail = f"it is {wall:%Y-%m-%d %H:%M:%S} UTC"
    if wall.year < YEAR_MIN:
        return Check("clock", False, f"{detail}: that is past", _SET_CLOCK)
    newest_us = microseconds(newest)
    ahead_us = 0 if newest_us is None else newest_us - wall_ns // 1_000
    if ahead_us <= 0:
        return Check("clock", True, detail)
    detail += f"; the newest event is of {newest}, which is in the future"
    hint = f"{_SET_CLOCK}; the order of events does not depend on it"
    is_sane = ahead_us <= _AHEAD_US_MAX
    return Check("clock", is_sane, detail, "" if is_sane else hint)


def _tried(disk: Disk, folder: Path) -> list[Check]:
    """Makes the small file and tries the operations of an append with it.

    The file's name is removed as soon as it is not needed, so that a kill leaves no file.
    """
    own = own_folder(folder)
    name = f".doctor.{process_id()}.{noise_bits(32):08x}"
    path = (own if disk.is_folder(own) else folder) / name
    descriptors: list[int] = []
    try:
        for existing in (current_path(folder), own / "lock"):
            if disk.path_id(str(existing)) is not None:
                disk.close(disk.open_append(existing))
        descriptors.append(disk.open_append(path))
        try:
            descriptors.append(disk.open_append(path))
            disk.write_all(descriptors[0], _BLOCK)
            links = _links(disk, path)
        finally:
            disk.unlink(path)
        return [
            Check("writable", True, "files can be made and written"),
            _try("locks", lambda: _locks(disk, *descriptors)),
            _try("sync", lambda: _syncs(disk, descriptors[0])),
            links,
        ]
    except DiskError as error:
        detail = f"{reason(error)}; locks, syncs and the like were not tried"
        is_full = error.errno in FULL_ERRNOS
        denied = f"let this user write there: `chmod -R u+w {quote(str(folder))}`"
        hint = _FULL if is_full else f"{denied}; reading does not need it"
        return [Check("writable", False, detail, hint)]
    finally:
        for descriptor in descriptors:
            disk.close(descriptor)


def _try(name: str, look: Callable[[], Check]) -> Check:
    """Tries one operation; a refusal means that the filesystem lacks it."""
    try:
        return look()
    except DiskError as error:
        return Check(name, False, reason(error), _ELSEWHERE)


def _locks(disk: Disk, first: int, second: int) -> Check:
    """Tries the lock of one file by two descriptors."""
    hint = f"{_ELSEWHERE}; two writers would not see each other here"
    if not disk.try_lock(first):
        return Check("locks", False, "a file without a lock can't be locked", hint)
    try:
        if disk.try_lock(second):
            return Check("locks", False, "one file was locked twice", hint)
    finally:
        disk.unlock(first)
    if not disk.try_lock(second):
        return Check("locks", False, "a lock that was given back is still held", hint)
    disk.unlock(second)
    return Check("locks", True, "flock keeps a second writer out")


def _syncs(disk: Disk, descriptor: int) -> Check:
    times = []
    for _ in range(_SYNCS):
        disk.write_all(descriptor, _BLOCK)
        before = monotonic_ns()
        disk.sync_data(descriptor)
        times.append(monotonic_ns() - before)
    return Check("sync", True, f"fdatasync takes {median(times) // 1000:,} µs (of {_SYNCS})")


def _links(disk: Disk, path: Path) -> Check:
    other = path.with_name(f"{path.name}.link")
    try:
        disk.link(path, other)
    except DiskError as error:
        hint = "make new logs on another filesystem, `df -hT` lists them; an old log needs no links"
        return Check("links", False, f"no hard links: {reason(error)}", hint)
    disk.unlink(other)
    return Check("links", True, "hard links work")
