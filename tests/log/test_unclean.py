"""That a killed process had events queued is reported by the next opening, once."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from tests.codes import raises_code
from tests.disks import BROKEN, ReadingDisk, Scripted
from tests.events import line_of
from tests.log.kills import HELD, LIMIT, appended, filled, killed, session_of, told, unclean
from tests.log.processes import WAIT_S, ran, started
from tests.tiers import tenth

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import IdReused
from thence.log.files.disk import OS_DISK, AppendLock, DiskError
from thence.log.files.identity import known_node_id
from thence.log.files.segment import CURRENT
from thence.log.files.sessions import WriterSession
from thence.log.open import Log
from thence.log.recovery.sessions import SessionReport


def losers(folder):
    """Return the last durable number of each writer that is told to have had events queued."""
    for facts in told(folder):
        assert facts["reason"] == "killed"
        assert (facts["durable_seq"] > 0) == (facts.get("node_id") is not None)
    return [facts["durable_seq"] for facts in told(folder)]


@pytest.mark.promise("W12")
@pytest.mark.parametrize(
    ("place", "lost"),
    [("before write", 9), ("half-way", 8), ("before sync", 7), ("after sync", 7)],
)
def test_killed_with_events_queued_is_told_with_the_last_durable_event(tmp_path, place, lost):
    killed(tmp_path, place)
    for _ in range(2):
        appended(tmp_path)
    assert losers(tmp_path) == [3]
    (event,) = [e for e in thence.open(tmp_path).read() if e.event_type == "log.gap"]
    assert event.payload["node_id"] == event.node_id
    types = [event.event_type for event in thence.open(tmp_path).read()]
    assert types.count("kept") + types.count("first") == 3 + 9 - lost
    assert told(tmp_path, "torn") == []
    assert thence.open(tmp_path).verify().findings == ()
    assert os.listdir(tmp_path / ".thence/open") == []


@pytest.mark.promise("W12")
def test_end_is_told_once_although_who_told_it_was_killed_before_it_cleared_away(tmp_path):
    killed(tmp_path, "before sync")
    (session,) = (tmp_path / ".thence/open").iterdir()
    left = session.read_bytes()
    for _ in range(2):
        appended(tmp_path)
        session.write_bytes(left)
    with thence.open(tmp_path, max_file_size=1) as log:  # the notice is in an older file now
        log.append("later")
        log.append("later")
    session.write_bytes(left)
    appended(tmp_path)
    assert losers(tmp_path) == [3]


def test_several_dead_are_told_each(tmp_path):
    killed(tmp_path, "before write", 2)
    process = started(HELD, tmp_path, "before write", 40, 0, LIMIT)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    appended(tmp_path)
    assert losers(tmp_path) == [3, 7]


@pytest.mark.whole
def test_hundred_dead_are_all_told_and_their_files_are_gone(tmp_path):
    appended(tmp_path)
    count = tenth(100, 12)
    code = """
import fcntl, os, signal, sys, thence
for _ in range(int(sys.argv[2])):
    if not (child := os.fork()):
        log = thence.open(sys.argv[1])
        fcntl.flock(lock := open(sys.argv[1] + "/.thence/lock", "a"), fcntl.LOCK_EX)
        log.emit("lost")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
"""
    ran(code, tmp_path, count)
    assert len(os.listdir(tmp_path / ".thence/open")) == count
    for _ in range(2):
        appended(tmp_path)
    assert told(tmp_path) == [{"reason": "killed"}] * count
    sources = {event.members.get("source_id") for event in thence.open(tmp_path).read()}
    assert len(sources - {None}) == count
    assert os.listdir(tmp_path / ".thence/open") == []


ROUNDS = 8
BUSY = """
import os, sys
import thence
log = thence.open(sys.argv[1])
noted = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
batch = int(sys.argv[3])
number = 0
while True:
    log.emit("t", {"number": number})
    number += 1
    os.pwrite(noted, b"%12d" % number, 0)
    if number == 1:
        print(flush=True)
    if not number % batch:
        log.append("between")
"""


@pytest.mark.promise("W12", tier="person")
def test_killed_at_any_moment_loses_no_queued_event_untold(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(ROUNDS):
        folder, noted = tmp_path / str(number), tmp_path / f"{number}.noted"
        process = started(BUSY, folder, noted, chance.choice([3, 50, 1_000, 10**9]))
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.random() * 0.3)
        process.kill()
        process.communicate()
        appended(folder)
        events = list(thence.open(folder).read())
        kept = [event.payload["number"] for event in events if event.event_type == "t"]
        assert kept == list(range(len(kept)))
        lost = int(noted.read_bytes()) - len(kept)
        assert (lost > 0) <= len(told(folder)) <= 1


SPACES = [["unshare", *flags, "-p", "-f", "--kill-child"] for flags in ([], ["-U", "-r"])]


def test_writer_killed_in_another_pid_namespace_is_told(tmp_path):
    """Where this process may make no namespace, its death is that of any other process."""
    code = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
log.append("t")
log._committer._commits._lock.acquire()
for _ in range(50):
    log.emit("lost")
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGSTOP if os.getpid() == 1 else signal.SIGKILL)
sys.stdin.readline()
"""
    spaces = [space for space in SPACES if not subprocess.run([*space, "true"]).returncode]
    words = [*(spaces[0] if spaces else []), sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as process:
        assert (process.stdout.readline() == "1\n") == bool(spaces)
        if spaces:
            appended(tmp_path)
            assert told(tmp_path) == []  # it lives, though nobody here can ask for its number
        process.kill()
    deadline_s = time.monotonic() + WAIT_S
    while not told(tmp_path) and time.monotonic() < deadline_s:  # it dies after its maker
        appended(tmp_path)
    appended(tmp_path)
    assert losers(tmp_path) == [1]


def test_killed_before_anything_was_written_is_told_without_a_place(tmp_path):
    code = """
import fcntl, os, signal, sys, thence
log = thence.open(sys.argv[1])
fcntl.flock(lock := open(sys.argv[1] + "/.thence/lock", "a"), fcntl.LOCK_EX)
[log.emit("t") for _ in range(5)]
os.kill(os.getpid(), signal.SIGKILL)
"""
    started(code, tmp_path).communicate()
    appended(tmp_path)
    assert told(tmp_path) == [{"reason": "killed"}]


def test_killed_with_nothing_queued_is_not_told(tmp_path):
    code = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
log.emit("t")
log.flush()
log.append("t")
os.kill(os.getpid(), signal.SIGKILL)
"""
    started(code, tmp_path).communicate()
    assert not session_of(tmp_path).is_held
    with thence.open(tmp_path) as log:
        log.append("t")
        assert session_of(tmp_path).is_held
    assert [event.seq for event in thence.open(tmp_path).read()] == [1, 2, 3]
    assert told(tmp_path) == []


def test_events_that_were_told_as_failed_are_not_told_as_lost(tmp_path):
    full = Scripted()
    with Log(tmp_path, PLAIN, disk=full) as log:
        log.append("t")
        full.error["sync_data"] = DiskError(errno.EIO, "broken")
        for _ in range(5):
            log.emit("t")
        log.close(1.0)
        assert log.failed_count == 5
    appended(tmp_path)
    assert told(tmp_path) == []


def test_second_kill_before_the_notice_is_durable_leaves_it_to_the_third(tmp_path):
    killed(tmp_path, "before sync")

    def refuse(descriptor, data):
        if b"log.gap" in data:
            raise BROKEN

    disk = Scripted()
    disk.before["write"] = refuse
    with Log(tmp_path, PLAIN, disk=disk) as log, raises_code("append_failed"):
        log.append("refused")
    assert told(tmp_path) == []
    appended(tmp_path)
    assert len(told(tmp_path)) == 1


UNKNOWN = {"reason": "unknown end"}


@pytest.mark.parametrize("spoil", ["absent", "empty", "short", "random", "zeros", "longer"])
def test_without_what_its_session_noted_an_end_is_unknown_and_told_once(tmp_path, spoil):
    killed(tmp_path, "before sync")
    (path,) = (tmp_path / ".thence/open").iterdir()
    contents = {"empty": b"", "short": b"x" * 99, "random": bytes(range(256)) * 16}
    contents["longer"] = b"thence-o".ljust(132, b"\1")
    if spoil == "absent":
        path.unlink()
    else:
        path.write_bytes(contents.get(spoil, b"\0" * 4096))
    for _ in range(3):
        appended(tmp_path)
    assert told(tmp_path) == [UNKNOWN]


def test_new_log_and_one_without_an_identity_have_nothing_to_tell(tmp_path):
    appended(tmp_path)
    shutil.rmtree(tmp_path / ".thence")
    appended(tmp_path)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "events.jsonl").write_bytes(line_of())
    appended(foreign)
    for folder in (tmp_path, foreign):
        assert {e.event_type for e in thence.open(folder).read()} <= {"next", "noted"}


@pytest.mark.parametrize("by", ["cp", "copytree", "its living process"])
def test_copy_tells_nothing_of_the_sessions_of_its_original(tmp_path, by):
    original, copy = tmp_path / "a", tmp_path / "b"
    if by == "its living process":
        with thence.open(original) as log:
            log.emit("t")
            log.flush()
            (lock := AppendLock(OS_DISK, original / ".thence/lock")).acquire()  # it stays queued
            log.emit("t")
            shutil.copytree(original, copy)
            appended(copy)
            assert os.listdir(copy / ".thence/open") == []
            assert session_of(original).is_held
            lock.release()
    else:
        killed(original, "before sync")
        if by == "cp":
            subprocess.run(["cp", "-a", original, copy], check=True)
        else:
            shutil.copytree(original, copy)
        appended(copy)
        assert os.listdir(copy / ".thence/open") == []
        appended(original)
        assert len(told(original)) == 1
    assert told(copy) == []


def test_file_of_a_session_with_another_inode_is_removed_without_a_report(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("t")  # durable: a first commit looks at such files, a half-written copy too
        (path,) = (tmp_path / ".thence/open").iterdir()
        shutil.copy(path, path.with_name("01M81KR8KX0000000H0GGAAGZR"))
        path.with_name("01M81KR8KX0000000H0GGAAGZS").touch()  # and one never finished
    appended(tmp_path)
    assert told(tmp_path) == []
    assert os.listdir(tmp_path / ".thence/open") == []


def test_scan_that_the_disk_refuses_keeps_nobody_from_appending(tmp_path):
    killed(tmp_path, "before sync")

    def refuse(path):
        if path.name == "events.jsonl":
            raise BROKEN

    disk = Scripted()
    disk.before["open_read"] = refuse
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("t")
    assert told(tmp_path) == []
    appended(tmp_path)
    assert len(told(tmp_path)) == 1


def test_of_a_clean_log_only_the_end_is_read(tmp_path):
    filled(tmp_path, 3_000)
    appended(tmp_path)
    disk = ReadingDisk()
    report = SessionReport(disk, tmp_path, PLAIN, WriterSession(disk, tmp_path))
    assert report.begin() == (known_node_id(OS_DISK, tmp_path), "")
    assert list(report.failed_tails()) == report.notices(3_001) == []
    assert disk.read_bytes < (tmp_path / CURRENT).stat().st_size / 2
    report.finish()
    assert report.is_finished


def test_session_that_was_refused_leaves_nothing_behind(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("t", event_id="chosen")
    with thence.open(tmp_path) as log, pytest.raises(IdReused):
        log.append("another", event_id="chosen")
    assert os.listdir(tmp_path / ".thence/open") == []


def test_dead_of_a_log_that_has_other_writers_is_told_beside_them(tmp_path):
    with thence.open(tmp_path) as living:
        living.append("t")
        killed(tmp_path, "before sync")
        appended(tmp_path)
        unclean(tmp_path)
        living.append("t")
    assert len(losers(tmp_path)) == 1
