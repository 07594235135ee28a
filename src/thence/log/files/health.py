"""The health of a log's folder: the disk that it lies on.

Nothing is written. The module needs only the standard library, so that it also works in a broken
installation.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from thence.errors import ThenceError
from thence.log.files.disk import Disk, DiskError, durability_on

ROOM_BYTES_MIN = 100 * 1024 * 1024
ROOM_FILES_MIN = 100


class Check(NamedTuple):
    """The result of one check. `hint` is the remedy if it is not ok, or ok with a warning."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    is_damage: bool = False


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


def disk_check(disk: Disk, folder: Path) -> Check:
    """Reports the filesystem of a folder and the room that is left; it need not hold a log yet.

    Over a network durability is unproven. Raises DiskError.
    """
    kind = disk.filesystem(folder)
    free, files = disk.room(folder)
    detail = f"{free:,} bytes free, on {kind or 'a filesystem of an unknown type'}"
    if durability_on(kind) == "unproven":
        detail += ", which is on the network: durability is unproven there"
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
