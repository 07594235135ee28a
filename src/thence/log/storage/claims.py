"""Claims: lines under this log's own node_id that came from elsewhere and are kept as relayed.

Nobody can tell such a line from an own one by its bytes. `.thence/claims.json` holds the digests
of those under the present node, so that none of them decides which number the log gives out
next. It is written, and synced, before the lines are.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.digests import same_line_key
from thence.core.values.vocabulary import PLAIN
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import Disk, noise_bits, process_id
from thence.log.storage.segment import own_folder

CLAIMS_MAX = 1_000


class _Claims(msgspec.Struct, frozen=True):
    """The content of `.thence/claims.json`: keys of lines in hex."""

    lines: frozenset[str] = frozenset()


class Claims:
    """The claims of one log, read when a line is first asked for."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._known: frozenset[str] | None = None

    def __bool__(self) -> bool:
        if self._known is None:
            self._known = read_claims(self._disk, self._folder)
        return bool(self._known)

    def holds(self, line: bytes | Event) -> bool:
        """Reports whether a line is a claim."""
        if not self or self._known is None:
            return False
        event = line if isinstance(line, Event) else parse(line, PLAIN)
        return not isinstance(event, BadLine) and same_line_key(event).hex() in self._known


def read_claims(disk: Disk, folder: Path) -> frozenset[str]:
    """Returns the keys of the claims, none where the file is missing or can't be read."""
    path = own_folder(folder) / "claims.json"
    if disk.path_id(str(path)) is None:
        return frozenset()
    try:
        return msgspec.json.decode(disk.read_whole(path) or b"", type=_Claims).lines
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return frozenset()


def add_claims(disk: Disk, folder: Path, events: Iterable[Event]) -> bool:
    """Records claims durably; False if the log would have more than 1,000. Raises DiskError."""
    lock = AppendLock(disk, own_folder(folder) / "lock")
    try:
        lock.acquire()
        known = read_claims(disk, folder)
        claims = known.union(same_line_key(event).hex() for event in events)
        if len(claims) > CLAIMS_MAX:
            return False
        if claims != known:
            path = own_folder(folder) / "claims.json"
            draft = path.with_name(f"claims.json.{process_id()}.{noise_bits(32):08x}")
            data = msgspec.json.encode(_Claims(claims), order="deterministic")
            disk.write_new(draft, data + b"\n")
            disk.rename(draft, path)
            disk.sync_folder(path.parent)
        return True
    finally:
        lock.release()
        lock.close()
