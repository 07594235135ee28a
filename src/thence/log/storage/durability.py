"""What a sync is worth on the filesystem that a log lies on, as far as its type tells."""

from pathlib import Path
from typing import Any, Literal

from thence.log.storage.disk import Disk
from thence.log.storage.system_call import DiskError

Durability = Literal["synced", "unproven", "memory"]
MEMORY = frozenset(("tmpfs", "ramfs", "devtmpfs"))
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre")
) | frozenset(("beegfs", "gpfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs"))


def durability_on(filesystem: str) -> Durability:
    """Says what it means there that a sync returned.

    "synced": the device was asked to keep the data, and nobody sees further than that.
    "unproven": another machine, or a program, has them and may answer too early. "memory":
    they are gone with the machine's end.
    """
    if filesystem in NETWORK:
        return "unproven"
    return "memory" if filesystem in MEMORY else "synced"


def warnings(disk: Disk, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Returns what to warn of when a log is opened for appending, as word and facts."""
    try:
        filesystem = disk.filesystem(folder)
    except DiskError:
        return []
    if durability_on(filesystem) != "unproven":
        return []
    return [("unproven", {"folder": str(folder), "filesystem": filesystem})]
