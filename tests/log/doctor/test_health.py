"""The disk of a folder is told as it is, and nothing is written there."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.disks import answering
from tests.log.processes import descriptors

from thence.errors import NotALog
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.health import (
    ROOM_BYTES_MIN,
    ROOM_FILES_MIN,
    Check,
    checked,
    disk_check,
)


def found(disk, folder):
    """Look at a folder, and hold that nothing is left behind there, nor kept open."""
    before = sorted(folder.rglob("*"))
    held = descriptors(folder)
    check = disk_check(disk, folder)
    assert sorted(folder.rglob("*")) == before
    assert descriptors(folder) == held
    assert bool(check.hint) != check.ok
    return check


def told(kind="ext4", free=2**40, files=2**20):
    return answering(filesystem=kind, room=(free, files))


def readable(file):
    return f"let this user read it: `chmod u+rX {file}`"


def test_error_while_looking_is_what_is_found():
    def refused():
        raise DiskError(errno.EACCES, os.strerror(errno.EACCES), "events.jsonl")

    def foreign():
        raise NotALog("could not open", place="x", cause="a reason", hint="a hint")

    def broken():
        raise NotALog(
            "could not open", place="x", cause="a reason", hint="a hint"
        ) from ValueError()

    denied = Check("log", False, "Permission denied: events.jsonl", readable("events.jsonl"))
    assert checked("log", refused) == denied
    assert checked("log", foreign) == Check("log", False, "x: a reason", "a hint")
    assert checked("log", broken).is_damage


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of Linux alone")  # noqa: TID251
@pytest.mark.parametrize("folder", ["/", "/proc", "/dev/shm", "."])
def test_filesystem_is_what_df_says(folder):
    told = subprocess.run(
        ["df", "--output=fstype", folder], capture_output=True, text=True, check=True
    )
    assert OS_DISK.filesystem(Path(folder)) == told.stdout.split()[-1]


TERABYTE = "1,099,511,627,776 bytes free"
REMOTE = "which is on the network: durability is unproven there"
LOCAL = "keep the log on a local disk: `df -hlT` lists them"


def test_filesystem_is_told_where_it_is_known(tmp_path):
    assert [disk_check(told(kind), tmp_path) for kind in ("ext4", "", "tmpfs")] == [
        Check("disk", True, f"{TERABYTE}, on {rest}")
        for rest in (
            "ext4",
            "a filesystem of an unknown type",
            "tmpfs, in memory: nothing in it survives the machine's end",
        )
    ]


SCARCE = "make room, `du -sh * | sort -h` helps: 104,857,600 bytes are soon written"
FEW = "delete some files: see `df -i .`"


@pytest.mark.parametrize(
    ("kind", "free", "files", "detail", "hint"),
    [
        ("ext4", ROOM_BYTES_MIN, None, "104,857,600 bytes free, on ext4", ""),
        ("ext4", ROOM_BYTES_MIN, ROOM_FILES_MIN, "104,857,600 bytes free, on ext4", ""),
        ("ext4", ROOM_BYTES_MIN - 1, ROOM_FILES_MIN, "104,857,599 bytes free, on ext4", SCARCE),
        ("ext4", 2**40, ROOM_FILES_MIN - 1, f"{TERABYTE}, on ext4; room for 99 files only", FEW),
        ("nfs4", 2**40, 2**20, f"{TERABYTE}, on nfs4, {REMOTE}", LOCAL),
        ("fuse.sshfs", 2**40, 2**20, f"{TERABYTE}, on fuse.sshfs, {REMOTE}", LOCAL),
    ],
    ids=["uncounted", "least", "bytes", "files", "network", "fuse"],
)
def test_what_is_lacking_is_told_with_what_to_do(tmp_path, kind, free, files, detail, hint):
    check = Check("disk", not hint, detail, hint)
    assert found(told(kind, free, files), tmp_path) == check
