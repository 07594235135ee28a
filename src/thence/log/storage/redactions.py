"""The redactions of a log: digests (D) of lines whose bodies were taken back for good.

`.thence/redactions.json` holds them, so that no whole line of these is taken in again, from
wherever it comes.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from thence.core.values.digests import digests as digests_of
from thence.core.values.digests import redacted
from thence.errors import InvalidEvent
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import Disk, noise_bits, process_id
from thence.log.storage.segment import own_folder

_NAME = "redactions.json"


def read_redactions(disk: Disk, folder: Path) -> frozenset[bytes]:
    """Returns the digests of lines that were taken back; none where the file can't be read."""
    return read_digests(disk, own_folder(folder) / _NAME)


def record_redactions(disk: Disk, folder: Path, taken_back: Iterable[bytes]) -> None:
    """Records digests of lines as taken back, durably. Raises LogBusy, DiskError."""
    add_digests(disk, folder, _NAME, taken_back)


def read_digests(disk: Disk, path: Path) -> frozenset[bytes]:
    """Returns the digests in a file, none where it can't be read."""
    if disk.path_id(str(path)) is None:
        return frozenset()
    try:
        digests = msgspec.json.decode(disk.read_whole(path) or b"", type=list[str])
        return frozenset(map(bytes.fromhex, digests))
    except (msgspec.MsgspecError, ValueError):
        return frozenset()


def add_digests(disk: Disk, folder: Path, name: str, digests: Iterable[bytes]) -> None:
    """Adds digests to a file in a log's own folder, durably. Raises LogBusy, DiskError."""
    lock = AppendLock(disk, own_folder(folder) / "lock")
    try:
        lock.acquire()
        path = own_folder(folder) / name
        previous = read_digests(disk, path)
        total = previous.union(digests)
        if len(total) > len(previous):
            replace_durably(disk, path, sorted(digest.hex() for digest in total))
    finally:
        lock.release()
        lock.close()


def without_body(line: bytes, redactions: frozenset[bytes]) -> bytes:
    """Returns a line as it may be kept: redacted if it is one of the redactions."""
    if not redactions:
        return line
    try:
        return redacted(line) if digests_of(line).line in redactions else line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line  # it is no event, or has no digest


def replace_durably(disk: Disk, path: Path, value: object) -> None:
    """Writes a file of JSON beside the old one, which it replaces; both steps are synced."""
    draft = path.with_name(f"{path.name}.{process_id()}.{noise_bits(32):08x}")
    disk.write_new(draft, msgspec.json.encode(value) + b"\n")
    disk.rename(draft, path)
    disk.sync_folder(path.parent)
