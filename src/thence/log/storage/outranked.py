"""Outranked lines: under their id stands another line, which a seal proves to be its node's.

`.thence/outranked.json` holds their digests. They stay in the log, and are served only where no
other line of their id is.
"""

from collections.abc import Iterable
from pathlib import Path

from thence.core.event import Event
from thence.core.values.digests import same_line_key
from thence.log.storage.disk import Disk
from thence.log.storage.redactions import add_digests, read_digests
from thence.log.storage.segment import own_folder

_NAME = "outranked.json"

Rank = tuple[bool, bool, bytes]


class Ranking:
    """The ranking of lines that share an id in one log; the file is read when it is first asked."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._outranked: frozenset[bytes] | None = None

    def __call__(self, event: Event) -> Rank:
        """Returns the sort key by which the line to serve comes first of an id's lines."""
        if self._outranked is None:
            self._outranked = read_outranked(self._disk, self._folder)
        is_outranked = bool(self._outranked) and same_line_key(event) in self._outranked
        return (is_outranked, *event.preference)


def read_outranked(disk: Disk, folder: Path) -> frozenset[bytes]:
    """Returns the digests of the outranked lines of a log."""
    return read_digests(disk, own_folder(folder) / _NAME)


def outranked_state(disk: Disk, folder: Path) -> object:
    """Returns what changes whenever lines are recorded as outranked, by any process."""
    return disk.path_id(str(own_folder(folder) / _NAME))


def record_outranked(disk: Disk, folder: Path, digests: Iterable[bytes]) -> None:
    """Records digests of lines as outranked, durably. Raises LogBusy, DiskError."""
    add_digests(disk, folder, _NAME, digests)
