"""The digests of the lines of a log whose bodies were redacted for good.

They are kept in `redactions.json`, JSON, in the log's own folder; no whole line of these is taken
in again, from wherever it comes.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from thence.core.redaction import digests as digests_of
from thence.core.redaction import redacted
from thence.errors import InvalidEvent
from thence.log.files.append_lock import locked
from thence.log.files.disk import Disk, noise_bits, process_id
from thence.log.files.segment import own_folder

_REDACTIONS = "redactions.json"


def read_redactions(disk: Disk, folder: Path) -> frozenset[bytes]:
    """Returns the digests of the redacted lines; none where the file can't be read."""
    path = own_folder(folder) / _REDACTIONS
    if disk.path_id(str(path)) is None:
        return frozenset()
    try:
        texts = msgspec.json.decode(disk.read_whole(path) or b"", type=list[str])
        return frozenset(map(bytes.fromhex, texts))
    except (msgspec.MsgspecError, ValueError):
        return frozenset()


def record_redactions(disk: Disk, folder: Path, digests: Iterable[bytes]) -> None:
    """Adds digests of redacted lines, durably. Raises LogBusy, DiskError."""
    with locked(disk, folder):
        before = read_redactions(disk, folder)
        after = before.union(digests)
        if len(after) > len(before):
            path = own_folder(folder) / _REDACTIONS
            draft = path.with_name(f"{_REDACTIONS}.{process_id()}.{noise_bits(32):08x}")
            data = msgspec.json.encode(sorted(map(bytes.hex, after)))
            disk.write_new(draft, data + b"\n")
            disk.rename(draft, path)
            disk.sync_folder(path.parent)


def without_body(line: bytes, redactions: frozenset[bytes]) -> bytes:
    """Returns a line as it may be kept: redacted if it is one of the redactions."""
    if not redactions:
        return line
    try:
        return redacted(line) if digests_of(line).line in redactions else line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line  # it is no event, or has no digest
