"""The effect of a sync by the type of a log's filesystem, with a warning where it is unproven."""

from pathlib import Path
from typing import Any, Literal

from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError

Durability = Literal["synced", "unproven", "memory"]
MEMORY = frozenset(("tmpfs", "ramfs", "devtmpfs"))
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre")
) | frozenset(("beegfs", "gpfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs"))


def durability_on(filesystem: str) -> Durability:
    """Returns what a sync that returned means on a filesystem of this type.

    "synced": the device was asked to keep the data; thence can check no more than that.
    "unproven": another machine, or a program, has the data and may answer too early. "memory":
    the data are lost when the machine stops.
    """
    if filesystem in NETWORK:
        return "unproven"
    return "memory" if filesystem in MEMORY else "synced"


def warnings(disk: Disk, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Returns the warnings, each as word and facts, for a log that is opened for appending."""
    try:
        filesystem = disk.filesystem(folder)
    except DiskError:
        return []
    if durability_on(filesystem) != "unproven":
        return []
    return [("unproven", {"folder": str(folder), "filesystem": filesystem})]
