"""Whether a run that left no result goes on, came to its end, or was cut off.

Nothing is written, and nobody who writes is held up.
"""

from pathlib import Path
from typing import Literal

from thence.log.disk import Disk
from thence.log.openings import openings
from thence.log.segment import own_folder

Outcome = Literal["running", "completed", "interrupted"]


def outcome(disk: Disk, folder: Path) -> Outcome:
    """Returns what the log of a run says of its end where no result.json does.

    It is running while a living process holds an opening of the log. It was interrupted if a
    process that held one was killed, if a simulation began it (it would have left a result),
    or if nothing of it is known. Else its writer has closed it: it is completed. Raises
    DiskError.
    """
    found = list(openings(disk, folder))
    if any(opening.is_held for opening in found):
        return "running"
    is_closed = not found and _is_there(disk, own_folder(folder) / "log.json")
    if is_closed and not _is_there(disk, folder / "config.json"):
        return "completed"
    return "interrupted"


def _is_there(disk: Disk, path: Path) -> bool:
    return disk.path_id(str(path)) is not None
