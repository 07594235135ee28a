"""What a folder lets a log do is found by trying, and told as it is."""

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
    clock,
    file_limit,
    folder_checks,
)
from thence.log.files.disk import OS_DISK, pause
from thence.log.files.disk_errors import DiskError
from thence.log.files.segment import FILE_BYTES_MAX

TRIED = ("writable", "locks", "sync", "links")


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


def of_kind(kind):
    return answering(filesystem=kind, room=(2**40, 2**20))


def test_folder_that_is_fit_is_found_so(tmp_path):
    checks = found(OS_DISK, tmp_path)
    assert list(checks) == ["filesystem", "space", "file_limit", *TRIED]
    assert all(checks[name].ok for name in TRIED)
    assert [checks[name].detail for name in ("writable", "locks", "links")] == [
        "files can be made and written",
        "flock keeps a second writer out",
        "hard links work",
    ]
    assert checks["sync"].detail.startswith("fdatasync takes ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "open_append"])
def test_folder_that_takes_no_bytes_is_told_and_nothing_more_is_tried(tmp_path, number, call):
    checks = found(Scripted(**{call: error(number)}), tmp_path)
    assert list(checks) == ["filesystem", "space", "file_limit", "writable"]
    assert checks["writable"].detail.startswith(os.strerror(number))
    assert ("make room" in checks["writable"].hint) == (number == errno.ENOSPC)


def test_small_file_is_made_in_the_own_folder_of_a_log(tmp_path):
    disk, made = Scripted(), []
    disk.before["open_append"] = lambda path: made.append(path.parent)
    found(disk, tmp_path)
    assert set(made) == {tmp_path}
    made.clear()
    (tmp_path / ".thence").mkdir()
    found(disk, tmp_path)
    assert set(made) == {tmp_path / ".thence"}


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


ELSEWHERE = "keep the log on another filesystem: `df -hT` lists them"
UNSEEN = f"{ELSEWHERE}; two writers would not see each other here"
UNTRIED = "locks, syncs and the like were not tried"
REMOTE = "a filesystem over the network: durability is unproven there"
LOCAL = "keep the log on a local disk: `df -hlT` lists them"


@pytest.mark.parametrize(
    ("disk", "name", "detail", "hint"),
    [
        (answering(try_lock=True), "locks", "one file was locked twice", UNSEEN),
        (answering(try_lock=False), "locks", "a file without a lock can't be locked", UNSEEN),
        (answering(unlock=None), "locks", "a lock that was given back is still held", UNSEEN),
        (Scripted(try_lock=error(errno.ENOLCK)), "locks", "No locks available", ELSEWHERE),
        (Scripted(sync_data=error(errno.EIO)), "sync", "Input/output error", ELSEWHERE),
        (
            Scripted(link=error(errno.EPERM)),
            "links",
            "no hard links: Operation not permitted",
            "make new logs on another filesystem, `df -hT` lists them; an old log needs no links",
        ),
        (
            Scripted(write=error(errno.EDQUOT)),
            "writable",
            f"Disk quota exceeded; {UNTRIED}",
            "make room, or raise what limits this user: see `df -h .`, `quota` and `ulimit -f`",
        ),
        (
            Scripted(open_append=error(errno.EROFS)),
            "writable",
            f"Read-only file system; {UNTRIED}",
            "let this user write there: `chmod -R u+w FOLDER`; reading does not need it",
        ),
        (of_kind("nfs4"), "filesystem", f"nfs4, {REMOTE}", LOCAL),
        (of_kind("fuse.sshfs"), "filesystem", f"fuse.sshfs, {REMOTE}", LOCAL),
    ],
    ids=["twice", "never", "kept", "none", "sync", "links", "full", "denied", "network", "fuse"],
)
def test_what_is_lacking_is_told_with_what_to_do(tmp_path, disk, name, detail, hint):
    checks = found(disk, tmp_path)
    assert checks[name] == Check(name, False, detail, hint.replace("FOLDER", str(tmp_path)))
    assert [check.name for check in checks.values() if not check.ok] == [name]


def test_filesystem_is_told_where_it_is_known(tmp_path):
    kinds = [folder_checks(of_kind(kind), tmp_path)[0] for kind in ("ext4", "", "tmpfs")]
    assert kinds == [
        Check("filesystem", True, "ext4"),
        Check("filesystem", True, "this system doesn't report its type"),
        Check("filesystem", True, "tmpfs: in memory, nothing in it survives the machine's end"),
    ]


def test_what_can_not_be_looked_at_bears_its_name(tmp_path):
    blind = Scripted(
        filesystem=DiskError(errno.EACCES, "as said", "/proc"), room=DiskError("as said")
    )
    checks = folder_checks(blind, tmp_path)
    assert checks[:2] == [
        Check("filesystem", False, "as said: /proc", readable("/proc")),
        Check("space", False, "as said", readable("FILE")),
    ]


SCARCE = "make room, `du -sh * | sort -h` helps: 104,857,600 bytes are soon written"
TERABYTE = "1,099,511,627,776 bytes free"


@pytest.mark.parametrize(
    ("free", "files", "detail", "hint"),
    [
        (ROOM_BYTES_MIN, None, "104,857,600 bytes free", ""),
        (ROOM_BYTES_MIN, ROOM_FILES_MIN, "104,857,600 bytes free", ""),
        (ROOM_BYTES_MIN - 1, ROOM_FILES_MIN, "104,857,599 bytes free", SCARCE),
        (
            2**40,
            ROOM_FILES_MIN - 1,
            f"{TERABYTE}, but for 99 files only",
            "delete some files: see `df -i .`",
        ),
    ],
    ids=["uncounted", "least", "bytes", "files"],
)
def test_room_is_enough_from_its_limits_on(tmp_path, free, files, detail, hint):
    check = Check("space", not hint, detail, hint)
    assert found(answering(filesystem="ext4", room=(free, files)), tmp_path)["space"] == check


def test_files_may_grow_by_one_event_more_than_a_log_lets_them():
    assert FILE_BYTES_MAX == 524_288_000
    enough = FILE_BYTES_MAX + 1024 * 1024
    assert not file_limit(0).ok
    assert [file_limit(limit) for limit in (None, enough, enough - 1)] == [
        Check("file_limit", True, "files may grow as large as they like"),
        Check("file_limit", True, "files may grow to 525,336,576 bytes"),
        Check(
            "file_limit",
            False,
            "files may grow to 525,336,575 bytes only; a log's grow to 524,288,000",
            "raise it with `ulimit -f unlimited`, or set max_file_size lower",
        ),
    ]


NOON = "it is 2026-11-20 12:00:00 UTC"
NOON_NS = 1_795_176_000_000_000_000
SET = "set the machine's clock: `timedatectl set-ntp true`"
YEAR_NS = 1_735_689_600_000_000_000  # 2025 begins


def to_come(when):
    return f"{NOON}; the newest event is of {when}, which is in the future"


SOON = "2026-11-20T12:00:00.000001Z"
LATER = "2027-11-20T12:00:00.000000Z"
TOO_LATE = "2027-11-20T12:00:01.000000Z"


@pytest.mark.parametrize(
    ("wall_ns", "newest", "detail", "hint"),
    [
        (NOON_NS, "2026-11-20T12:00:00.000000Z", NOON, ""),
        (NOON_NS, SOON, to_come(SOON), ""),
        (NOON_NS, LATER, to_come(LATER), ""),
        (NOON_NS, TOO_LATE, to_come(TOO_LATE), f"{SET}; the order of events does not depend on it"),
        (NOON_NS, "", NOON, ""),
        (NOON_NS, "noon", NOON, ""),
        (NOON_NS, "2026-11-21T00:00:00", to_come("2026-11-21T00:00:00"), ""),
        (0, "", "it is 1970-01-01 00:00:00 UTC: that is past", SET),
        (YEAR_NS, "", "it is 2025-01-01 00:00:00 UTC", ""),
        (YEAR_NS - 10**9, "", "it is 2024-12-31 23:59:59 UTC: that is past", SET),
    ],
)
def test_clock_is_sane_up_to_a_year_before_the_newest_event(wall_ns, newest, detail, hint):
    assert clock(wall_ns, newest) == Check("clock", not hint, detail, hint)


def test_sync_is_timed_five_times_and_told_in_microseconds(tmp_path):
    disk = Scripted()
    disk.before["sync_data"] = lambda _: pause(0.02)
    (taken,) = re.findall(
        r"^fdatasync takes ([\d,]+) µs \(of 5\)$", found(disk, tmp_path)["sync"][2]
    )
    assert 20_000 <= int(taken.replace(",", "")) < 2_000_000
    assert disk.count("sync_data") == 5


def test_files_that_are_there_must_open_and_the_small_one_is_named_after_the_process(tmp_path):
    disk = Scripted()
    own = tmp_path / ".thence"
    own.mkdir()
    for path in (tmp_path / "events.jsonl", own / "lock"):
        path.write_bytes(b"as it was")
    found(disk, tmp_path)
    opened = [call[1] for call in disk.calls if call[0] == "open_append"]
    linked = [call[1:] for call in disk.calls if call[0] == "link"]
    assert opened[:2] == [tmp_path / "events.jsonl", own / "lock"]
    assert [path.read_bytes() for path in opened[:2]] == [b"as it was"] * 2
    small = opened[2]
    assert opened[2:] == [small] * 2
    assert re.fullmatch(rf"\.doctor\.{os.getpid()}\.[0-9a-f]{{8}}", small.name)
    assert linked == [(small, own / f"{small.name}.link")]
