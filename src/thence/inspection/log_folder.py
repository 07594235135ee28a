"""The folder of a log that is not opened: its content, and the node that wrote it."""

from pathlib import Path

import msgspec

from thence.log.storage.digest_files import read_redactions
from thence.log.storage.disk import OS_DISK, machine_id
from thence.log.storage.identity import Identity, is_own, known_node_id
from thence.log.storage.segment import own_folder, segments

__all__ = ["has_events", "is_of_this_machine", "next_node_id", "own_folder", "redactions_of"]
IDENTITY = "identity.json"


def has_events(folder: Path) -> bool:
    """Reports whether a segment of the log holds anything; raises OSError."""
    path_ids = (OS_DISK.path_id(str(path)) for path in segments(OS_DISK, folder))
    return any(path_id is not None and path_id[1] for path_id in path_ids)


def next_node_id(folder: Path) -> str | None:
    """Returns the node under which the next append goes on.

    None in a copy, on another machine, and where nothing was written yet.
    """
    return known_node_id(OS_DISK, folder) if is_own(OS_DISK, folder) else None


def redactions_of(folder: Path) -> frozenset[bytes]:
    """Returns the digests (D) of the lines of the log that were taken back for good."""
    return read_redactions(OS_DISK, folder)


def is_of_this_machine(folder: Path, identity: bytes) -> bool:
    """Reports whether this machine wrote a log; where it has no id, whether the log is no copy.

    `identity` holds the bytes of `.thence/identity.json`.
    """
    try:
        wrote = msgspec.json.decode(identity, type=Identity).machine_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return wrote == machine_id() != "" or is_own(OS_DISK, folder) is True
