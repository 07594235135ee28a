"""What doctor finds of a folder is told in these words, at these limits."""

import errno
import os
import re

import pytest
from tests.log.faults import FailingDisk
from tests.log.test_health import (
    KeptLockDisk,
    LinklessDisk,
    OneLockDisk,
    ToldDisk,
    error,
    found,
)

from thence.inspection.health import (
    ROOM_BYTES_MIN,
    ROOM_FILES_MIN,
    Check,
    clock,
    file_limit,
    folder_checks,
    reason,
)
from thence.log.storage.disk import OS_DISK, Disk, pause
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.segment import FILE_BYTES_MAX

ELSEWHERE = "keep the log on another filesystem"
UNTRIED = "locks, syncs and the like were not tried"


class RefusedLockDisk(Disk):
    """Has no locks at all, as a mount without its lock daemon."""

    def try_lock(self, descriptor):
        raise error(errno.ENOLCK)


def test_folder_that_is_fit_is_told_so(tmp_path):
    checks = found(OS_DISK, tmp_path)
    told = [checks[name] for name in ("writable", "locks", "links")]
    assert told == [
        Check("writable", True, "files can be made and written"),
        Check("locks", True, "flock keeps a second writer out"),
        Check("links", True, "hard links work"),
    ]


@pytest.mark.parametrize(
    ("disk", "name", "detail", "hint"),
    [
        (
            OneLockDisk(True),
            "locks",
            "one file was locked twice",
            f"{ELSEWHERE}: two writers would not see each other here",
        ),
        (
            OneLockDisk(False),
            "locks",
            "a file that nobody has can't be locked",
            f"{ELSEWHERE}: two writers would not see each other here",
        ),
        (
            KeptLockDisk(),
            "locks",
            "a lock that was given back is still held",
            f"{ELSEWHERE}: two writers would not see each other here",
        ),
        (RefusedLockDisk(), "locks", "No locks available", ELSEWHERE),
        (FailingDisk(sync_data=error(errno.EIO)), "sync", "Input/output error", ELSEWHERE),
        (
            LinklessDisk(),
            "links",
            "no hard links: Operation not permitted",
            "make new logs on another filesystem; a log that is there needs no links",
        ),
        (
            FailingDisk(write=error(errno.EDQUOT)),
            "writable",
            f"Disk quota exceeded; {UNTRIED}",
            "make room, or raise what limits this user (quota, ulimit -f)",
        ),
        (
            FailingDisk(open_append=error(errno.EROFS)),
            "writable",
            f"Read-only file system; {UNTRIED}",
            "let this user write there; reading needs it not",
        ),
        (
            ToldDisk("nfs4"),
            "filesystem",
            "nfs4, a filesystem over the network: durability is unproven there",
            "keep the log on a local disk",
        ),
    ],
    ids=[
        "twice",
        "never",
        "kept",
        "none",
        "sync",
        "links",
        "full",
        "denied",
        "network",
    ],
)
def test_what_is_lacking_is_told_with_what_to_do(tmp_path, disk, name, detail, hint):
    assert found(disk, tmp_path)[name] == Check(name, False, detail, hint)


def test_filesystem_is_told_where_it_is_known(tmp_path):
    kinds = [folder_checks(ToldDisk(kind), tmp_path)[0] for kind in ("ext4", "", "tmpfs")]
    assert kinds == [
        Check("filesystem", True, "ext4"),
        Check("filesystem", True, "this system doesn't report its type"),
        Check("filesystem", True, "tmpfs: in memory, nothing in it survives the machine's end"),
    ]


def test_what_can_not_be_looked_at_bears_its_name(tmp_path):
    class Blind(Disk):
        def filesystem(self, folder):
            raise DiskError(errno.EACCES, "as said", "/proc")

        def room(self, folder):
            raise DiskError("as said")

    checks = folder_checks(Blind(), tmp_path)
    assert checks[:2] == [
        Check("filesystem", False, "as said: /proc", "let this user read it"),
        Check("space", False, "as said", "let this user read it"),
    ]


@pytest.mark.parametrize(
    ("free", "files", "check"),
    [
        (ROOM_BYTES_MIN, None, Check("space", True, "104,857,600 bytes free")),
        (ROOM_BYTES_MIN, ROOM_FILES_MIN, Check("space", True, "104,857,600 bytes free")),
        (
            ROOM_BYTES_MIN - 1,
            ROOM_FILES_MIN,
            Check(
                "space",
                False,
                "104,857,599 bytes free",
                "make room: less than 104,857,600 bytes are soon written",
            ),
        ),
        (
            2**40,
            ROOM_FILES_MIN - 1,
            Check(
                "space",
                False,
                "1,099,511,627,776 bytes free, but for 99 files only",
                "delete some files",
            ),
        ),
    ],
    ids=["uncounted", "least", "bytes", "files"],
)
def test_room_is_enough_from_its_limits_on(tmp_path, free, files, check):
    assert found(ToldDisk(free=free, files=files), tmp_path)["space"] == check


def test_files_may_grow_by_one_event_more_than_a_log_lets_them():
    assert FILE_BYTES_MAX == 524_288_000
    enough = FILE_BYTES_MAX + 1024 * 1024
    assert [file_limit(limit) for limit in (None, enough, enough - 1)] == [
        Check("file_limit", True, "files may grow as large as they like"),
        Check("file_limit", True, "files may grow to 525,336,576 bytes"),
        Check(
            "file_limit",
            False,
            "files may grow to 525,336,575 bytes only; a log's grow to 524,288,000",
            "raise it (ulimit -f), or set max_file_size lower",
        ),
    ]


NOON = "it is 2026-11-20 12:00:00 UTC"
NOON_NS = 1_795_176_000_000_000_000
YEAR_NS = 1_735_689_600_000_000_000  # 2025 begins


@pytest.mark.parametrize(
    ("wall_ns", "newest", "check"),
    [
        (NOON_NS, "2026-11-20T12:00:00.000000Z", Check("clock", True, NOON)),
        (
            NOON_NS,
            "2026-11-20T12:00:00.000001Z",
            Check(
                "clock",
                True,
                f"{NOON}; the newest event is of 2026-11-20T12:00:00.000001Z, which is to come",
            ),
        ),
        (
            NOON_NS,
            "2027-11-20T12:00:00.000000Z",
            Check(
                "clock",
                True,
                f"{NOON}; the newest event is of 2027-11-20T12:00:00.000000Z, which is to come",
            ),
        ),
        (
            NOON_NS,
            "2027-11-20T12:00:01.000000Z",
            Check(
                "clock",
                False,
                f"{NOON}; the newest event is of 2027-11-20T12:00:01.000000Z, which is to come",
                "set the machine's clock; the order of events does not depend on it",
            ),
        ),
        (NOON_NS, "", Check("clock", True, NOON)),
        (YEAR_NS, "", Check("clock", True, "it is 2025-01-01 00:00:00 UTC")),
        (
            YEAR_NS - 10**9,
            "",
            Check(
                "clock",
                False,
                "it is 2024-12-31 23:59:59 UTC: that is past",
                "set the machine's clock",
            ),
        ),
    ],
    ids=["now", "soon", "a year", "later", "none", "2025", "2024"],
)
def test_clock_is_sane_up_to_a_year_before_the_newest_event(wall_ns, newest, check):
    assert clock(wall_ns, newest) == check


def test_sync_is_timed_five_times_and_told_in_microseconds(tmp_path):
    class SlowDisk(Disk):
        syncs = 0

        def sync_data(self, descriptor):
            self.syncs += 1
            pause(0.02)

    disk = SlowDisk()
    (taken,) = re.findall(
        r"^fdatasync takes ([\d,]+) µs \(of 5\)$", found(disk, tmp_path)["sync"][2]
    )
    assert 20_000 <= int(taken.replace(",", "")) < 2_000_000
    assert disk.syncs == 5


def test_files_that_are_there_must_open_and_the_small_one_is_named_after_the_process(tmp_path):
    opened, linked = [], []

    class NotingDisk(Disk):
        def open_append(self, path):
            opened.append(path)
            return super().open_append(path)

        def link(self, old, new):
            linked.append((old, new))
            super().link(old, new)

    own = tmp_path / ".thence"
    own.mkdir()
    for path in (tmp_path / "events.jsonl", own / "lock"):
        path.write_bytes(b"as it was")
    found(NotingDisk(), tmp_path)
    assert opened[:2] == [tmp_path / "events.jsonl", own / "lock"]
    assert [path.read_bytes() for path in opened[:2]] == [b"as it was"] * 2
    small = opened[2]
    assert opened[2:] == [small] * 2
    assert re.fullmatch(rf"\.doctor\.{os.getpid()}\.[0-9a-f]{{8}}", small.name)
    assert linked == [(small, own / f"{small.name}.link")]


def test_file_that_the_system_names_is_told_with_the_reason():
    assert reason(DiskError(errno.EIO, "as said", "/a")) == "as said: /a"
    assert reason(DiskError(errno.EIO, "as said")) == "as said"
    assert reason(DiskError("numberless")) == "numberless"
