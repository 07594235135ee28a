"""The files of a log: their names, their order, their folders.

The current segment is `events.jsonl`; older ones are `events_%Y-%m-%d_%H-%M-%S-%f.jsonl` by the
UTC time of their rotation, never earlier than the newest name there is. Arrival order is: older
segments by name, then the current one.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from thence.log.files.disk import (
    WAIT_S,
    AppendLock,
    Disk,
    DiskError,
    FileId,
    FileState,
    copy_range,
    new_file,
    noise_bits,
    opened,
    process_id,
)

CURRENT = "events.jsonl"
# the large values of the events
BODIES = "bodies.jsonl"
# in the name of an older one that may not be on the device as a whole
SUSPECT = "_suspect"
_DRAFT = ".repair"
FILE_BYTES_MAX = 500 * 1024 * 1024
_MOMENT = "%Y-%m-%d_%H-%M-%S-%f"
_LISTINGS_MAX = 100
_STEP = timedelta(microseconds=1)
_SUFFIX = ".jsonl"
_OLDER = {
    name: re.compile(
        rf"{name.removesuffix(_SUFFIX)}_\d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{{6}}"
        rf"(?:{SUSPECT if name == BODIES else ''})?\.jsonl"
    )
    for name in (CURRENT, BODIES)
}


def current_path(folder: Path) -> Path:
    """Returns the path of the segment that is appended to."""
    return folder / CURRENT


def own_folder(folder: Path) -> Path:
    """Returns the folder for all files but the segments: lock, identity, quarantine."""
    return folder / ".thence"


def mirror_path(folder: Path) -> Path:
    """Returns the path of the file that a mirror of a team's log has, and no other log."""
    return own_folder(folder) / "mirror.json"


def older_names(disk: Disk, folder: Path, current: str = CURRENT) -> list[str]:
    """Lists the names of the rotated segments of a family, oldest first."""
    return [name for name in disk.names(folder) if _OLDER[current].fullmatch(name)]


def segment_sizes(disk: Disk, folder: Path) -> list[int]:
    """Returns the size of each segment in bytes."""
    return [segment.state.size for segment in present_segments(disk, folder)]


def segments(disk: Disk, folder: Path) -> list[Path]:
    """Lists the segments of a log in arrival order."""
    return [folder / segment.name for segment in present_segments(disk, folder)]


class Stale(Exception):
    """A segment, or an index, is not what it was taken for; never raised outside of this room."""


class PresentSegment(NamedTuple):
    """A segment that exists now."""

    name: str
    state: FileState


def present_segments(disk: Disk, folder: Path) -> tuple[PresentSegment, ...]:
    """Returns the present segments, in arrival order.

    The current one is checked before and after the older ones are listed, so that a rotation
    in between leaves none out and returns none twice.
    """
    path = str(folder / CURRENT)
    for _ in range(_LISTINGS_MAX):
        before = disk.path_state(path)
        listed = [
            PresentSegment(name, state)
            for name in older_names(disk, folder)
            if (state := disk.path_state(str(folder / name))) is not None
        ]
        current = disk.path_state(path)
        if (before and before.file) == (current and current.file):
            break
    if current is not None and all(other.state.file != current.file for other in listed):
        listed.append(PresentSegment(CURRENT, current))
    return tuple(listed)


def open_segment(disk: Disk, folder: Path, name: str, file: FileId) -> tuple[str, int]:
    """Opens a segment, under another name if it was rotated; returns its name and descriptor.

    Raises Stale if the file is gone.
    """
    candidates = [name]
    for candidate in candidates:
        descriptor = disk.open_existing(folder / candidate)
        if descriptor is not None:
            is_it = False
            try:
                is_it = disk.file_id(descriptor)[0] == file
            finally:
                if not is_it:
                    disk.close_quietly(descriptor)
            if is_it:
                return candidate, descriptor
        if len(candidates) == 1:  # only now: it had been renamed by then
            candidates += reversed(older_names(disk, folder))
    raise Stale("a segment is gone")


def opened_segments(
    disk: Disk, folder: Path, *, is_backwards: bool = False
) -> Iterator[tuple[str, int]]:
    """Yields the name and a descriptor of each present segment, whatever its name is by then.

    One that a prune takes in between is left out.
    """
    listed = present_segments(disk, folder)
    for segment in reversed(listed) if is_backwards else listed:
        try:
            name, descriptor = open_segment(disk, folder, segment.name, segment.state.file)
        except Stale:
            continue
        try:
            yield name, descriptor
        finally:
            disk.close_quietly(descriptor)


def has_bodies(disk: Disk, folder: Path) -> bool:
    """Reports whether a log keeps large values."""
    is_there = disk.path_id(str(folder / BODIES)) is not None
    return is_there or bool(older_names(disk, folder, BODIES))


def begin_next(
    disk: Disk, folder: Path, wall_ns: int, current: str = CURRENT, mark: str = ""
) -> tuple[str, int]:
    """Makes the current segment an older one and begins an empty one, its name on the device.

    The older one's name ends in `mark`. Returns the name and the descriptor of the new one. Call
    it under the append lock.
    """
    name = rotated_name(wall_ns, older_names(disk, folder, current), current)
    name = name.replace(_SUFFIX, f"{mark}{_SUFFIX}")
    disk.rename(folder / current, folder / name)
    fresh = disk.open_append(folder / current)
    try:
        disk.sync_folder(folder)
    except BaseException:  # the next append opens it again, which syncs the folder
        disk.close(fresh)
        raise
    return name, fresh


def begin_with(disk: Disk, folder: Path, older: str, data: bytes) -> int:
    """Makes a file with this content, synced, the current segment; returns its descriptor.

    The one before gets the name `older`, or goes if that is empty. Call it under the append lock.
    """
    draft = _new_draft(disk, own_folder(folder), folder / CURRENT)
    fresh = disk.open_append(draft)
    try:
        disk.write_all(fresh, data)
        disk.sync_data(fresh)
        if older:
            disk.sync_folder(folder)  # where that fails, each try would leave a segment
            disk.rename(folder / CURRENT, folder / older)
            disk.sync_folder(folder)  # the draft takes the name of no file that has no other yet
        disk.rename(draft, folder / CURRENT)
        disk.sync_folder(folder)
    except BaseException:
        disk.close(fresh)
        with suppress(DiskError):
            disk.unlink(draft)
        raise
    return fresh


def rotated_name(wall_ns: int, names: list[str], current: str = CURRENT) -> str:
    """Returns the name for the current segment when it becomes an older one.

    `names` are those of the older segments, sorted. The name is made of the wall time, or of
    one microsecond after the newest name if the wall clock is before that.
    """
    moment = datetime.fromtimestamp(wall_ns // 1000 / 1_000_000, UTC)
    for name in reversed(names):
        try:
            behind = moment_in(name) + _STEP
        except (ValueError, OverflowError):
            continue  # no rotation made this name: no such day exists, or no later one
        moment = max(moment, behind)
        break
    return f"{current.removesuffix(_SUFFIX)}_{moment.strftime(_MOMENT)}{_SUFFIX}"


def moment_in(name: str) -> datetime:
    """Returns the time in an older segment's name; raises ValueError if no day is as written.

    It does not use strptime: a fork while another thread is in strptime leaves its lock taken
    in the child.
    """
    _, day, time, *_ = re.split(r"[_.]", name)
    hour, minute, second, microsecond = time.split("-")
    return datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}.{microsecond}+00:00")


@contextmanager
def locked(disk: Disk, folder: Path, timeout_s: float = WAIT_S) -> Iterator[None]:
    """Holds the append lock of the log in a folder. Raises LogBusy, DiskError."""
    lock = AppendLock(disk, own_folder(folder) / "lock")
    try:
        lock.acquire(timeout_s)
        yield
    finally:
        lock.release()
        lock.close()


class Edit(NamedTuple):
    """A byte range of a segment that `instead` replaces, which may be empty."""

    start: int
    end: int
    instead: bytes


def rewrite(disk: Disk, own: Path, path: Path, edits: Iterable[Edit]) -> None:
    """Replaces a file by one with edits in their order; all other bytes stay as they were.

    The file is written anew beside the old one, synced, and takes its name in one step: after a
    kill at any moment it is either rewritten or as it was. `own` is the folder `.thence` of the
    log. The caller holds the append lock.
    """
    draft = _new_draft(disk, own, path)
    with opened(disk, path) as source, new_file(disk, draft) as target:
        disk.copy_access(source, target)
        offset = 0
        for edit in edits:
            copy_range(disk, source, offset, edit.start, target)
            disk.write_all(target, edit.instead)
            offset = edit.end
        # an edit at the end includes a newline that may be missing
        copy_range(disk, source, offset, disk.file_id(source)[1], target)
    disk.rename(draft, path)
    disk.sync_folder(path.parent)


def _new_draft(disk: Disk, own: Path, path: Path) -> Path:
    """Returns a name for a file that is to take the place of another, after removing others."""
    for name in disk.names(own):
        if name.endswith(_DRAFT):  # left by a killed process
            disk.unlink(own / name)
    return own / f"{path.name}-{process_id()}-{noise_bits(32):08x}{_DRAFT}"
