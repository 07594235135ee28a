"""The health of a log's folder: its disk, and whether a log can be written there.

One small file is made beside the log, and removed again; nothing else is written. The module
needs only the standard library, so that it also works in a broken installation.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from thence.errors import ThenceError
from thence.log.files.disk import (
    DENIED_ERRNOS,
    FULL_ERRNOS,
    Disk,
    DiskError,
    durability_on,
    noise_bits,
    process_id,
)
from thence.log.files.segment import current_path, own_folder

ROOM_BYTES_MIN = 100 * 1024 * 1024
ROOM_FILES_MIN = 100
_BLOCK = b"thence doctor tries this disk\n" * 136
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
    """Checks the disk of a folder, and writes to it; the folder need not hold a log yet."""
    return [
        checked("disk", lambda: _disk(disk, folder)),
        checked("writing", lambda: _writing(disk, folder)),
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


def joined(name: str, parts: Sequence[Check]) -> Check:
    """Returns the check that consists of parts; its detail begins with its faults."""
    ordered = sorted(parts, key=lambda part: part.ok)
    detail = "; ".join(part.detail for part in ordered)
    hint = "; ".join(dict.fromkeys(part.hint for part in ordered if part.hint))
    return Check(name, ordered[0].ok, detail, hint, any(part.is_damage for part in parts))


def reason(error: DiskError) -> str:
    """Returns the text of a system error, with the file."""
    place = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{place}"


def _disk(disk: Disk, folder: Path) -> Check:
    """Reports the filesystem and the room that is left; over a network durability is unproven."""
    kind = disk.filesystem(folder)
    free, files = disk.room(folder)
    detail = f"{free:,} bytes free, on {kind or 'a filesystem of an unknown type'}"
    if durability_on(kind) == "unproven":
        detail += ", which lies over the network: durability is unproven there"
        return Check("disk", False, detail, "keep the log on a local disk: `df -hlT` lists them")
    if durability_on(kind) == "memory":
        detail += ", in memory: nothing in it survives the machine's end"
    if files is not None and files < ROOM_FILES_MIN:
        detail += f"; room for {files:,} files only"
        return Check("disk", False, detail, "delete some files: see `df -i .`")
    if free < ROOM_BYTES_MIN:
        hint = f"make room, `du -sh * | sort -h` helps: {ROOM_BYTES_MIN:,} bytes are soon written"
        return Check("disk", False, detail, hint)
    return Check("disk", True, detail)


def _writing(disk: Disk, folder: Path) -> Check:
    """Opens what an append writes to, and makes, writes and syncs a small file.

    The file's name is removed before it is written, so that a kill leaves no file.
    """
    own = own_folder(folder)
    name = f".doctor.{process_id()}.{noise_bits(32):08x}"
    path = (own if disk.is_folder(own) else folder) / name
    try:
        for existing in (current_path(folder), own / "lock"):
            if disk.path_id(str(existing)) is not None:
                disk.close(disk.open_append(existing))
        descriptor = disk.open_append(path)
        try:
            disk.unlink(path)
            disk.write_all(descriptor, _BLOCK)
            disk.sync_data(descriptor)
        finally:
            disk.close(descriptor)
    except DiskError as error:
        hint = _FULL if error.errno in FULL_ERRNOS else _ELSEWHERE
        if error.errno in DENIED_ERRNOS:
            hint = f"let this user write there: `chmod -R u+w {quote(str(folder))}`"
            hint += "; reading does not need it"
        return Check("writing", False, reason(error), hint)
    return Check("writing", True, "a file can be made, written and synced")
