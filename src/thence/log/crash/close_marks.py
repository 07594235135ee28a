"""The marks of a log: empty files whose names hold the last number at a clean close.

A clean close leaves `.thence/marks/<node_id>-<seq>`; for each node the highest number counts. A
tool that restores a folder in place restores contents, but removes no names.
"""

import re
from contextlib import suppress
from pathlib import Path

from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.segment import own_folder

_NAME = re.compile(r"([0-9a-f]{12})-(\d{1,19})")


def leave_mark(disk: Disk, folder: Path, node_id: str, seq: int) -> None:
    """Records that all events of a node up to a number are durable. Raises DiskError."""
    marks = own_folder(folder) / "marks"
    names = disk.names(marks)
    known = _numbers(names, node_id)
    if seq > max(known, default=0):
        path = marks / f"{node_id}-{seq}"
        disk.make_folder(marks)
        disk.close(disk.open_lock(path))
    for older in sorted(known)[: None if seq > max(known, default=0) else -1]:
        with suppress(DiskError):  # another process closes the log too
            disk.unlink(marks / f"{node_id}-{older}")


def marked_seq(disk: Disk, folder: Path, node_id: str) -> int:
    """Returns the highest number of a node that a mark names, 0 if there is none."""
    return max(_numbers(disk.names(own_folder(folder) / "marks"), node_id), default=0)


def _numbers(names: list[str], node_id: str) -> set[int]:
    found = filter(None, map(_NAME.fullmatch, names))
    return {int(name[2]) for name in found if name[1] == node_id}
