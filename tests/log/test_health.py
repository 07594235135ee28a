"""What a folder lets a log do is found by trying, and told as it is."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.log.faults import FailingDisk
from tests.log.processes import open_files

from thence.errors import NotALog
from thence.inspection.health import Check, checked, clock, file_limit, folder_checks
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.segment import FILE_BYTES_MAX

TRIED = ("writable", "locks", "sync", "links")
NOON_NS = 1_795_000_000_000_000_000  # 2026-11-18
DAY_NS = 86_400 * 10**9


def error(number):
    return DiskError(number, os.strerror(number))


def found(disk, folder):
    """Look at a folder, and hold that nothing is left behind there, nor kept open."""
    before = sorted(folder.rglob("*"))
    held = open_files()
    checks = {check.name: check for check in folder_checks(disk, folder)}
    assert sorted(folder.rglob("*")) == before
    assert open_files() == held
    assert all(bool(check.hint) != check.ok and check.detail for check in checks.values())
    return checks


class OneLockDisk(Disk):
    """Answers every try for a lock alike, as filesystems do that have none."""

    def __init__(self, answer):
        self.answer = answer

    def try_lock(self, descriptor):
        return self.answer


class KeptLockDisk(Disk):
    """Never gives a lock back."""

    def unlock(self, descriptor):
        pass


class LinklessDisk(Disk):
    """Has no hard links."""

    def link(self, old, new):
        raise error(errno.EPERM)


class ToldDisk(Disk):
    """Tells another table of mounts, or of room."""

    def __init__(self, kind="ext4", free=2**40, files=2**20):
        self.kind, self.free, self.files = kind, free, files

    def filesystem(self, folder):
        return self.kind

    def room(self, folder):
        return self.free, self.files


class MountsDisk(Disk):
    """Has a table of mounts of its own."""

    def __init__(self, *mounts):
        self.lines = [f"36 35 98:0 / {point} rw shared:1 - {kind} x rw" for point, kind in mounts]

    def read_whole(self, path):
        assert str(path) == "/proc/self/mountinfo"
        return "\n".join(self.lines).encode()


def test_folder_that_is_fit_is_found_so(tmp_path):
    checks = found(OS_DISK, tmp_path)
    assert list(checks) == ["filesystem", "space", "file_limit", *TRIED]
    assert all(checks[name].ok for name in TRIED)
    assert checks["sync"].detail.startswith("fdatasync takes ")


@pytest.mark.parametrize(
    ("disk", "name", "told"),
    [
        (OneLockDisk(True), "locks", "locked twice"),
        (OneLockDisk(False), "locks", "can't be locked"),
        (KeptLockDisk(), "locks", "still held"),
        (FailingDisk(sync_data=error(errno.EIO)), "sync", "Input/output error"),
        (LinklessDisk(), "links", "no hard links: Operation not permitted"),
    ],
)
def test_what_a_filesystem_lacks_is_told_and_the_rest_is_tried(tmp_path, disk, name, told):
    checks = found(disk, tmp_path)
    assert told in checks[name].detail
    assert [check.name for check in checks.values() if not check.ok] == [name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "open_append"])
def test_folder_that_takes_no_bytes_is_told_and_nothing_more_is_tried(tmp_path, number, call):
    checks = found(FailingDisk(**{call: error(number)}), tmp_path)
    assert list(checks) == ["filesystem", "space", "file_limit", "writable"]
    assert checks["writable"].detail.startswith(os.strerror(number))
    assert ("make room" in checks["writable"].hint) == (number == errno.ENOSPC)


def test_small_file_is_made_in_the_own_folder_of_a_log(tmp_path):
    made = []

    class NotingDisk(Disk):
        def open_append(self, path):
            made.append(path.parent)
            return super().open_append(path)

    found(NotingDisk(), tmp_path)
    assert set(made) == {tmp_path}
    made.clear()
    (tmp_path / ".thence").mkdir()
    found(NotingDisk(), tmp_path)
    assert set(made) == {tmp_path / ".thence"}


@pytest.mark.parametrize(
    ("kind", "ok", "told"),
    [
        ("ext4", True, "ext4"),
        ("", True, "doesn't report"),
        ("tmpfs", True, "in memory"),
        ("nfs4", False, "durability is unproven"),
        ("fuse.sshfs", False, "durability is unproven"),
    ],
)
def test_filesystem_over_the_network_is_unproven(tmp_path, kind, ok, told):
    check = found(ToldDisk(kind), tmp_path)["filesystem"]
    assert (check.ok, told in check.detail) == (ok, True)


@pytest.mark.parametrize(
    ("free", "files", "ok"),
    [(2**40, 2**20, True), (2**40, None, True), (2**20, 2**20, False), (2**40, 3, False)],
)
def test_room_is_told_in_bytes_and_files(tmp_path, free, files, ok):
    check = found(ToldDisk(free=free, files=files), tmp_path)["space"]
    assert check.ok is ok
    assert f"{free:,} bytes free" in check.detail


@pytest.mark.parametrize(
    ("limit", "ok"),
    [(None, True), (2**40, True), (FILE_BYTES_MAX, False), (0, False)],
)
def test_files_must_be_allowed_to_grow_as_large_as_a_segment(limit, ok):
    assert file_limit(limit).ok is ok


@pytest.mark.parametrize(
    ("wall_ns", "newest", "ok", "told"),
    [
        (NOON_NS, "", True, "it is 2026-11-18"),
        (NOON_NS, "2020-01-01T00:00:00.000000Z", True, "it is 2026-11-18"),
        (NOON_NS, "noon", True, "it is 2026-11-18"),
        (NOON_NS, "2026-11-19T00:00:00", True, "it is 2026-11-18"),
        (NOON_NS, "2026-11-19T00:00:00.000000Z", True, "which is to come"),
        (NOON_NS, "2028-01-01T00:00:00.000000Z", False, "which is to come"),
        (NOON_NS - 900 * DAY_NS, "", False, "that is past"),
        (0, "2026-11-19T00:00:00.000000Z", False, "that is past"),
    ],
)
def test_clock_is_compared_with_the_newest_event(wall_ns, newest, ok, told):
    check = clock(wall_ns, newest)
    assert (check.ok, bool(check.hint)) == (ok, not ok)
    assert told in check.detail


def test_error_while_looking_is_what_is_found():
    def refused():
        raise DiskError(errno.EACCES, os.strerror(errno.EACCES), "events.jsonl")

    def foreign():
        raise NotALog("could not open", place="x", cause="a reason", hint="a hint")

    def broken():
        raise NotALog(
            "could not open", place="x", cause="a reason", hint="a hint"
        ) from ValueError()

    denied = Check("log", False, "Permission denied: events.jsonl", "let this user read it")
    assert checked("log", refused) == denied
    assert checked("log", foreign) == Check("log", False, "x: a reason", "a hint")
    assert checked("log", broken).is_damage


def test_innermost_mount_tells_the_filesystem_of_a_folder(tmp_path):
    inside = tmp_path / "a b" / "c"
    inside.mkdir(parents=True)
    point = str(tmp_path / "a b").replace(" ", "\\040")
    disk = MountsDisk(("/", "ext4"), (point, "tmpfs"), (point, "nfs4"), (f"{point}/cc", "xfs"))
    assert disk.filesystem(inside) == "nfs4"
    assert disk.filesystem(tmp_path) == "ext4"
    (tmp_path / "by").symlink_to(inside)
    assert disk.filesystem(tmp_path / "by") == "nfs4"
    assert MountsDisk().filesystem(tmp_path) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of Linux alone")
@pytest.mark.parametrize("folder", ["/", "/proc", "/dev/shm", "."])
def test_filesystem_is_what_df_says(folder):
    told = subprocess.run(
        ["df", "--output=fstype", folder], capture_output=True, text=True, check=True
    )
    assert OS_DISK.filesystem(Path(folder)) == told.stdout.split()[-1]
