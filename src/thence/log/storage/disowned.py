"""Disowned lines: they bear this log's node_id, came from elsewhere, and are kept as relayed.

Nothing in the bytes of such a line differs from an own one. `.thence/disowned.json` holds their
digests, so that none of them decides which number the log gives out next. It is written, and
synced, before the lines are.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.digests import same_line_key
from thence.core.values.vocabulary import PLAIN
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import Disk
from thence.log.storage.redactions import replace_durably
from thence.log.storage.segment import own_folder

DISOWNED_MAX = 1_000
_NAME = "disowned.json"

# the keys of lines in hex, by node_id
_Keys = Mapping[str, Sequence[str]]


class Disowned:
    """The disowned lines of one log, read when they are first asked for; true if there are any."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._known: frozenset[str] | None = None

    def __bool__(self) -> bool:
        if self._known is None:
            keys = read_disowned(self._disk, self._folder)
            self._known = frozenset().union(*keys.values())
        return bool(self._known)

    def holds(self, line: bytes | Event) -> bool:
        """Reports whether a line is disowned."""
        if not self or self._known is None:
            return False
        event = line if isinstance(line, Event) else parse(line, PLAIN)
        return not isinstance(event, BadLine) and same_line_key(event).hex() in self._known


def read_disowned(disk: Disk, folder: Path) -> _Keys:
    """Returns the keys of disowned lines; none where the file is missing or can't be read."""
    path = own_folder(folder) / _NAME
    if disk.path_id(str(path)) is None:
        return {}
    try:
        return msgspec.json.decode(disk.read_whole(path) or b"", type=dict[str, list[str]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def disown(disk: Disk, folder: Path, node_id: str, events: Iterable[Event]) -> bool:
    """Records lines under a node as disowned, durably, at most 1,000 for a node.

    Reports whether there was room for them. Raises LogBusy, DiskError.
    """
    lock = AppendLock(disk, own_folder(folder) / "lock")
    try:
        lock.acquire()
        keys_by_node = read_disowned(disk, folder)
        before = keys_by_node.get(node_id, ())
        keys = sorted({*before, *(same_line_key(event).hex() for event in events)})
        if len(keys) > DISOWNED_MAX:
            return False
        if len(keys) > len(before):
            replace_durably(disk, own_folder(folder) / _NAME, {**keys_by_node, node_id: keys})
        return True
    finally:
        lock.release()
        lock.close()
