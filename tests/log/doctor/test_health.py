"""What a folder lets a log do is found by writing there, and told as it is."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.disks import Scripted, answering
from tests.log.processes import descriptors

from thence.errors import NotALog
from thence.log.doctor.health import (
    ROOM_BYTES_MIN,
    ROOM_FILES_MIN,
    Check,
    checked,
    folder_checks,
)
from thence.log.files.disk import OS_DISK, DiskError


def error(number):
    return DiskError(number, os.strerror(number))


def found(disk, folder):
    """Look at a folder, and hold that nothing is left behind there, nor kept open."""
    before = sorted(folder.rglob("*"))
    held = descriptors(folder)
    checks = {check.name: check for check in folder_checks(disk, folder)}
    assert sorted(folder.rglob("*")) == before
    assert descriptors(folder) == held
    assert all(bool(check.hint) != check.ok and check.detail for check in checks.values())
    return checks


def told(kind="ext4", free=2**40, files=2**20):
    return answering(filesystem=kind, room=(free, files))


def test_folder_that_is_fit_is_found_so(tmp_path):
    checks = found(OS_DISK, tmp_path)
    assert list(checks) == ["disk", "writing"]
    assert checks["writing"] == Check("writing", True, "a file can be made, written and synced")


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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of Linux alone")
@pytest.mark.parametrize("folder", ["/", "/proc", "/dev/shm", "."])
def test_filesystem_is_what_df_says(folder):
    told = subprocess.run(
        ["df", "--output=fstype", folder], capture_output=True, text=True, check=True
    )
    assert OS_DISK.filesystem(Path(folder)) == told.stdout.split()[-1]


TERABYTE = "1,099,511,627,776 bytes free"
ELSEWHERE = "keep the log on another filesystem: `df -hT` lists them"
FULL = "make room, or raise what limits this user: see `df -h .`, `quota` and `ulimit -f`"
DENIED = "let this user write there: `chmod -R u+w FOLDER`; reading does not need it"
REMOTE = "which lies over the network: durability is unproven there"
LOCAL = "keep the log on a local disk: `df -hlT` lists them"


@pytest.mark.parametrize(
    ("disk", "name", "detail", "hint"),
    [
        (Scripted(sync_data=error(errno.EIO)), "writing", "Input/output error", ELSEWHERE),
        (Scripted(write=error(errno.EDQUOT)), "writing", "Disk quota exceeded", FULL),
        (Scripted(open_append=error(errno.ENOSPC)), "writing", "No space left on device", FULL),
        (Scripted(open_append=error(errno.EROFS)), "writing", "Read-only file system", DENIED),
        (told("nfs4"), "disk", f"{TERABYTE}, on nfs4, {REMOTE}", LOCAL),
        (told("fuse.sshfs"), "disk", f"{TERABYTE}, on fuse.sshfs, {REMOTE}", LOCAL),
    ],
    ids=["sync", "quota", "full", "denied", "network", "fuse"],
)
def test_what_is_lacking_is_told_with_what_to_do(tmp_path, disk, name, detail, hint):
    checks = found(disk, tmp_path)
    assert checks[name] == Check(name, False, detail, hint.replace("FOLDER", str(tmp_path)))
    assert [check.name for check in checks.values() if not check.ok] == [name]


def test_filesystem_is_told_where_it_is_known(tmp_path):
    assert [folder_checks(told(kind), tmp_path)[0] for kind in ("ext4", "", "tmpfs")] == [
        Check("disk", True, f"{TERABYTE}, on {rest}")
        for rest in (
            "ext4",
            "a filesystem of an unknown type",
            "tmpfs, in memory: nothing in it survives the machine's end",
        )
    ]


def test_what_can_not_be_looked_at_bears_its_name(tmp_path):
    blind = Scripted(filesystem=DiskError(errno.EACCES, "as said", "/proc"))
    assert folder_checks(blind, tmp_path)[0] == Check(
        "disk", False, "as said: /proc", readable("/proc")
    )


SCARCE = "make room, `du -sh * | sort -h` helps: 104,857,600 bytes are soon written"
FEW = "delete some files: see `df -i .`"


@pytest.mark.parametrize(
    ("free", "files", "detail", "hint"),
    [
        (ROOM_BYTES_MIN, None, "104,857,600 bytes free, on ext4", ""),
        (ROOM_BYTES_MIN, ROOM_FILES_MIN, "104,857,600 bytes free, on ext4", ""),
        (ROOM_BYTES_MIN - 1, ROOM_FILES_MIN, "104,857,599 bytes free, on ext4", SCARCE),
        (2**40, ROOM_FILES_MIN - 1, f"{TERABYTE}, on ext4; room for 99 files only", FEW),
    ],
    ids=["uncounted", "least", "bytes", "files"],
)
def test_room_is_enough_from_its_limits_on(tmp_path, free, files, detail, hint):
    check = Check("disk", not hint, detail, hint)
    assert found(told(free=free, files=files), tmp_path)["disk"] == check


@pytest.mark.parametrize("has_own", [False, True])
def test_files_that_are_there_must_open_and_the_small_one_is_named_after_the_process(
    tmp_path, has_own
):
    own = tmp_path / ".thence"
    there = [tmp_path / "events.jsonl", own / "lock"] if has_own else []
    if has_own:
        own.mkdir()
    for path in there:
        path.write_bytes(b"as it was")
    disk = Scripted()
    found(disk, tmp_path)
    *existing, small = [call[1] for call in disk.calls if call[0] == "open_append"]
    assert existing == there
    assert [path.read_bytes() for path in there] == [b"as it was"] * len(there)
    assert small.parent == (own if has_own else tmp_path)
    assert re.fullmatch(rf"\.doctor\.{os.getpid()}\.[0-9a-f]{{8}}", small.name)
