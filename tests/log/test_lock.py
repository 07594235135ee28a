"""The append lock: one writer at a time, a wait with an end, a holder with a name."""

import errno
import os

import pytest
from tests.log.processes import in_child, started

import thence
from thence.errors import LogBusy
from thence.log.disk import OS_DISK, Disk
from thence.log.lock import AppendLock

HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print(os.getpid(), flush=True)
sys.stdin.readline()
"""


@pytest.mark.promise("P1")
def test_holder_is_named_when_the_wait_ends_and_nothing_was_appended(tmp_path):
    log = thence.open(tmp_path)
    log.append("first")
    holder = started(HOLD, tmp_path / ".thence/lock")
    pid = holder.stdout.readline().strip()
    before = (tmp_path / "events.jsonl").read_bytes()
    with pytest.raises(LogBusy, match=f"process {pid} has held the append lock") as caught:
        log.append("second", timeout_s=0.05)
    assert caught.value.recoverable
    assert (tmp_path / "events.jsonl").read_bytes() == before
    holder.communicate("\n")
    assert log.append("third").seq == 3  # behind the notice that one append was refused
    assert [event.event_type for event in log.read()] == ["first", "log.write_failed", "third"]


def test_lock_that_becomes_free_during_the_wait_is_taken(tmp_path):
    log = thence.open(tmp_path)
    holder = started(HOLD, tmp_path / ".thence/lock")
    holder.stdout.readline()
    log.emit("a")
    holder.stdin.write("\n")
    holder.stdin.flush()
    log.flush()
    holder.communicate()
    assert [event.event_type for event in log.read()] == ["a"]


def test_lock_of_a_killed_holder_is_free(tmp_path):
    holder = started(HOLD, tmp_path / "lock")
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    lock = AppendLock(OS_DISK, tmp_path / "lock")
    lock.acquire(0)
    with pytest.raises(LogBusy):
        AppendLock(OS_DISK, tmp_path / "lock").acquire(0)
    lock.close()


@pytest.mark.promise("W9")
def test_deleted_lock_file_locks_again_on_the_new_one(tmp_path):
    first, second = (AppendLock(OS_DISK, tmp_path / "lock") for _ in range(2))
    first.acquire(0)
    first.release()
    (tmp_path / "lock").unlink()
    second.acquire(0)
    with pytest.raises(LogBusy):
        first.acquire(0.01)
    second.release()
    first.acquire(0)
    assert os.path.samestat(os.fstat(first._descriptor), os.stat(tmp_path / "lock"))
    for lock in (first, second):
        lock.release()
        lock.close()


def test_release_and_close_without_the_lock_do_nothing(tmp_path):
    lock = AppendLock(OS_DISK, tmp_path / "lock")
    lock.release()
    lock.close()
    assert not (tmp_path / "lock").exists()
    lock.acquire(0)
    lock.close()
    lock.close()
    AppendLock(OS_DISK, tmp_path / "lock").acquire(0)
    assert (tmp_path / "lock").exists()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_child_that_closes_its_files_leaves_the_lock_of_its_parent_alone(tmp_path):
    lock, other = (AppendLock(OS_DISK, tmp_path / "lock") for _ in range(2))
    lock.acquire(0)
    in_child(lock.close)
    with pytest.raises(LogBusy):
        other.acquire(0)
    lock.release()
    other.acquire(0)
    for each in (lock, other):
        each.close()


def test_lock_that_the_system_will_not_give_back_is_given_back_by_closing_it(tmp_path):
    class Stubborn(Disk):
        def unlock(self, descriptor):
            raise OSError(errno.EIO, "device error")

        def close(self, descriptor):
            super().close(descriptor)
            raise OSError(errno.EIO, "device error")

    lock = AppendLock(Stubborn(), tmp_path / "lock")
    other = AppendLock(OS_DISK, tmp_path / "lock")
    for _ in range(2):
        lock.acquire(0)
        lock.release()
        other.acquire(0)
        other.release()
    lock.close()
    other.close()
