"""The folder of a log that is not opened: the node that writes it, and its redactions."""

from pathlib import Path

from thence.log.storage.digest_files import read_redactions
from thence.log.storage.disk import OS_DISK
from thence.log.storage.identity import is_own, known_node_id
from thence.log.storage.segment import own_folder

__all__ = ["next_node_id", "own_folder", "redactions_of"]


def next_node_id(folder: Path) -> str | None:
    """Returns the node under which the next append goes on.

    None in a copy, on another machine, and where nothing was written yet.
    """
    return known_node_id(OS_DISK, folder) if is_own(OS_DISK, folder) else None


def redactions_of(folder: Path) -> frozenset[bytes]:
    """Returns the digests (D) of the lines of the log that were taken back for good."""
    return read_redactions(OS_DISK, folder)
