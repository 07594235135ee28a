"""A log that has become shorter than it was: cut, or restored in place from an older copy.

It is known by the mark of a clean close, and by how far openings have noted it as durable.
Nothing is read but the ends of segments.
"""

from collections.abc import Sequence
from pathlib import Path

from thence.log.crash.marks import marked
from thence.log.crash.openings import Opening, segment_id
from thence.log.storage.disk import Disk
from thence.log.storage.segment import segments


def durable_seq(disk: Disk, folder: Path, node_id: str, found: Sequence[Opening]) -> int:
    """Returns the highest number of a node that is known to have been durable, 0 for none.

    `found` are the openings that left a file. Raises DiskError.
    """
    node = int(node_id or "0", 16)
    noted = [o.durable.seq for o in found if not o.is_copy and o.durable.node == node]
    return max(marked(disk, folder, node_id), *noted, 0)


def missing(
    disk: Disk, folder: Path, node_id: str, seq: int, found: Sequence[Opening]
) -> dict[str, str | int]:
    """Returns the facts of a notice about what is gone, none if nothing is.

    `seq` is the highest number of the node in the log. Raises DiskError.
    """
    facts: dict[str, str | int] = {}
    known = durable_seq(disk, folder, node_id, found)
    if known > seq:
        facts = {"first_seq": seq + 1, "last_seq": known}
    places = [o.durable for o in found if not o.is_copy and o.durable.offset]
    for path in segments(disk, folder) if places else ():
        inode, generation, size = segment_id(disk, path)
        here = [p.offset for p in places if (p.inode, p.generation) == (inode, generation)]
        if size < max(here, default=0):
            facts |= {"file": path.name, "offset": size, "bytes": max(here) - size}
    return {"node_id": node_id, **facts} if facts else {}
