"""The state of a log's sync in a word or two, for the end of a command.

It reads small files beside the log and the end of its segment: neither the network nor a database,
and it changes nothing.
"""

from pathlib import Path

from thence.errors import SyncError
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import current_path
from thence.sync.file_lock import FileLock
from thence.sync.target import (
    CONNECTED,
    PRESENCE,
    RoundStatus,
    connection_now,
    read_status,
    read_target,
    sync_folder,
)

# of what waits; more of it is not counted
COUNTED_BYTES_MAX = 4 * 1024 * 1024


def sync_word(folder: Path) -> str | None:
    """Returns `Connected` or how many lines wait, else the connection's word; None without sync."""
    try:
        target = read_target(folder)
        if target is None or not target.is_enabled:
            return None
        last = read_status(folder)
        is_running = FileLock(sync_folder(folder) / PRESENCE).is_held()
        word = connection_now(folder, last, is_service_running=is_running)
        waiting = 0 if word == CONNECTED else _waiting(folder, last)
    except (SyncError, OSError):
        return None
    if waiting is None:
        return "waiting"
    return f"{waiting:,} waiting" if waiting else word


def _waiting(folder: Path, last: RoundStatus | None) -> int | None:
    """Returns how many lines wait for a round, None if they were not counted."""
    descriptor = OS_DISK.open_existing(current_path(folder))
    if descriptor is None:
        return 0
    try:
        (_, segment), size_bytes = OS_DISK.file_id(descriptor)
        mark = last.mark if last else None
        start = mark.size_bytes if mark else 0
        is_other = mark is not None and start and mark.segment != segment
        if is_other or not 0 <= size_bytes - start <= COUNTED_BYTES_MAX:
            return None
        lines = OS_DISK.read_at(descriptor, start, size_bytes - start).count(b"\n")
    finally:
        OS_DISK.close(descriptor)
    return lines if mark is None else mark.left + max(0, lines - mark.taken)
