"""When the committer's thread waits, for how long, who wakes it, and when a producer lets go."""

import sys

import pytest
from tests.disks import Scripted
from tests.log.committers import (
    Reports,
    StartedThreads,
    committer_of,
    made,
    types,
    until,
    waiting,
)
from tests.log.faults import WAIT_S, FillingDisk

from thence.log.files.disk import OS_DISK, AppendLock
from thence.log.write.batch import AppendFuture

pytestmark = pytest.mark.usefixtures("prepared")


@pytest.fixture
def disk():
    made = FillingDisk()
    yield made
    made.gate.set()  # a test that failed leaves nobody in its thread


@pytest.fixture
def sleeps_for_ever(monkeypatch):
    """Have a thread that is not woken sleep on."""
    monkeypatch.setattr("thence.log.write.committer._IDLE_S", 10_000.0)


@pytest.fixture
def switch_interval():
    """Set for how long a thread that computes keeps the interpreter if it does not let go."""
    usual_s = sys.getswitchinterval()
    yield sys.setswitchinterval
    sys.setswitchinterval(usual_s)


@pytest.mark.parametrize("call", ["put", "append", "flush"])
def test_thread_that_sleeps_is_woken_by_each_call(tmp_path, disk, call, sleeps_for_ever):
    disk.gate.set()
    started, reports = StartedThreads(), Reports()
    committer = committer_of(tmp_path, disk, reports)
    for _ in range(3):  # the start may hasten the two first
        committer.put(made())
        until(lambda: not committer.queued and waiting(started()))
        if call == "put":
            committer.put(made())
            until(lambda: not committer.queued)
        else:
            item = AppendFuture([made(), made()] if call == "append" else ())
            committer.join(item)
            assert item.wait(WAIT_S)
            assert len(item.result()) == len(item.drafts)
    assert committer.close(WAIT_S)
    assert reports.words == []


def test_thread_that_falls_asleep_misses_nothing_that_is_queued_meanwhile(
    tmp_path, switch_interval, sleeps_for_ever
):
    disk = Scripted()
    disk.instead["sync_data"] = lambda *_: None  # there is nothing to wait for
    committer = committer_of(tmp_path, disk)
    switch_interval(0.000001)
    for _ in range(5_000):
        item = AppendFuture([made()])
        committer.join(item)
        assert item.wait(WAIT_S)
    assert committer.close(WAIT_S)


def quick_disk():
    """Returns at once from what a put calls, so that a producer itself lets go or nobody does."""
    disk = FillingDisk()
    disk.instead["write_at"] = lambda real, descriptor, offset, data: len(data)
    return disk


def test_producer_lets_go_again_and_again_while_somebody_waits(tmp_path, switch_interval):
    disk, draft, fewest = quick_disk(), made(), sys.maxsize
    committer = committer_of(tmp_path, disk, bound=1_000_000)
    switch_interval(60)
    for _ in range(50):
        if fewest < 512:  # without a caller the thread gets its turn from 1,024 queued events on
            break
        disk.arrived.clear()
        disk.gate.clear()
        item, count = AppendFuture([made()]), 0
        committer.join(item)
        committer.waiters.add(item)
        assert disk.arrived.wait(WAIT_S)
        disk.gate.set()
        while not item.is_done and count < 10_000:
            committer.put(draft)
            count += 1
        assert item.wait(WAIT_S)
        committer.waiters.discard(item)
        committer.append((), WAIT_S)
        fewest = min(fewest, count)
    assert fewest < 512
    assert committer.close(WAIT_S)


def test_producer_with_a_long_queue_lets_the_thread_take_it(tmp_path, switch_interval):
    disk, draft, shortest = quick_disk(), made(), sys.maxsize
    committer = committer_of(tmp_path, disk, bound=1_000_000)
    switch_interval(60)
    for _ in range(50):
        if shortest < 10_000:
            break
        disk.arrived.clear()
        disk.gate.clear()
        committer.put(draft)
        assert disk.arrived.wait(WAIT_S)
        disk.gate.set()
        longest = 0
        for _ in range(20_000):
            committer.put(draft)
            longest = max(longest, committer.queued)
        committer.append((), WAIT_S)
        shortest = min(shortest, longest)
    assert shortest < 10_000
    assert committer.close(WAIT_S)


def lock_of(folder):
    """Take the append lock as another process may, and return it with the holder's name."""
    path = folder / ".thence" / "lock"
    lock = AppendLock(OS_DISK, path)
    lock.acquire()
    descriptor = OS_DISK.open_lock(path)
    holder = OS_DISK.lock_holder(descriptor)
    OS_DISK.close(descriptor)
    return lock, holder


def test_thread_waits_for_the_lock(tmp_path):
    disk, reports = Scripted(), Reports()
    committer = committer_of(tmp_path, disk, reports)
    committer.append([made("zeroth")], WAIT_S)
    lock, _ = lock_of(tmp_path)
    disk.calls.clear()
    item = AppendFuture([made("first")])
    committer.join(item)
    until(lambda: disk.count("try_lock") >= 20)
    assert not item.wait(0)
    assert committer.queued == 1
    lock.release()
    assert item.wait(WAIT_S)
    assert types(tmp_path) == ["zeroth", "first"]
    assert reports.words == []
    assert committer.close(WAIT_S)
