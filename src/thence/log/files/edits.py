"""The edits of a segment under the append lock: some bytes replaced, all others as they were.

A file is written anew beside the old one, synced, and takes its name in one step: after a kill at
any moment it is either rewritten or as it was.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from thence.log.files.disk import Disk, opened
from thence.log.files.process_state import new_id
from thence.log.files.tail import copy_range, new_file

_DRAFT = ".repair"


class Edit(NamedTuple):
    """A byte range of a segment that `instead` replaces, which may be empty."""

    start: int
    end: int
    instead: bytes


def rewrite(disk: Disk, own: Path, path: Path, edits: Iterable[Edit]) -> None:
    """Replaces a file by one with edits in their order.

    `own` is the folder `.thence` of the log. The caller holds the append lock.
    """
    for name in disk.names(own):
        if name.endswith(_DRAFT):  # left by a killed process
            disk.unlink(own / name)
    draft = own / f"{path.name}-{new_id()}{_DRAFT}"
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
