"""A log that has become shorter than it was: cut, or restored in place from an older copy.

Such a log is detected by the mark of a clean close, and by the durable positions in the files
of openings. Only the ends of segments are read.
"""

from collections.abc import Sequence
from pathlib import Path

from thence.log.crash.marks import marked_seq
from thence.log.crash.openings import Opening, segment_id
from thence.log.storage.disk import Disk
from thence.log.storage.segment import segments


def durable_seq(disk: Disk, folder: Path, node_id: str, found: Sequence[Opening]) -> int:
    """Returns the highest number of a node that is known to have been durable, 0 for none.

    `found` are the openings that left a file. Raises DiskError.
    """
    node = int(node_id or "0", 16)
    recorded = [o.durable.seq for o in found if not o.is_copy and o.durable.node == node]
    return max(marked_seq(disk, folder, node_id), *recorded, 0)


def missing(
    disk: Disk, folder: Path, node_id: str, seq: int, found: Sequence[Opening]
) -> dict[str, str | int]:
    """Returns the facts of a notice about missing events, none if nothing is missing.

    `seq` is the highest number of the node in the log. Raises DiskError.
    """
    facts: dict[str, str | int] = {}
    known = durable_seq(disk, folder, node_id, found)
    if known > seq:
        facts = {"first_seq": seq + 1, "last_seq": known}
    positions = [o.durable for o in found if not o.is_copy and o.durable.offset]
    for path in segments(disk, folder) if positions else ():
        inode, generation, size = segment_id(disk, path)
        here = [p.offset for p in positions if (p.inode, p.generation) == (inode, generation)]
        if size < max(here, default=0):
            facts |= {"file": path.name, "offset": size, "bytes": max(here) - size}
    return {"node_id": node_id, **facts} if facts else {}
