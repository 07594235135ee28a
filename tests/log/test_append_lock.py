"""The append lock: one writer at a time, a wait with an end, a holder with a name."""

import pytest
from tests.disks import BROKEN, Scripted, raising
from tests.log.processes import HOLD, started

import thence
from thence.errors import LogBusy
from thence.log.files.disk import OS_DISK, AppendLock, DiskError


@pytest.mark.promise("P1")
def test_holder_is_named_when_the_wait_ends_and_nothing_was_appended(tmp_path):
    log = thence.open(tmp_path)
    log.append("first")
    holder = started(HOLD, tmp_path / ".thence/lock")
    pid = holder.stdout.readline().strip()
    before = (tmp_path / "events.jsonl").read_bytes()
    with pytest.raises(LogBusy) as caught:
        log.append_many([{"event_type": "second"}] * 2, timeout_s=0.05)
    busy = caught.value
    assert (busy.place, busy.recoverable) == (str(tmp_path), True)
    assert busy.cause == f"process {pid} has held the append lock for 0.05 s"
    assert busy.hint == "wait for that process or end it, then try again"
    assert (tmp_path / "events.jsonl").read_bytes() == before
    holder.communicate("\n")
    assert log.append("third").seq == 3  # behind the notice of what was refused
    _, notice, third = log.read()
    assert (notice.event_type, notice.payload["count"]) == ("log.write_failed", 2)
    assert third.event_type == "third"


@pytest.mark.promise("W9")
def test_deleted_lock_file_locks_again_on_the_new_one(tmp_path):
    first, second, third = (AppendLock(OS_DISK, tmp_path / "lock") for _ in range(3))
    first.acquire(0)
    first.release()
    (tmp_path / "lock").unlink()
    second.acquire(0)
    with pytest.raises(LogBusy):
        first.acquire(0.01)
    second.release()
    first.acquire(0)
    with pytest.raises(LogBusy):
        third.acquire(0.01)
    for lock in (first, second, third):
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


def test_lock_that_the_system_will_not_give_back_is_given_back_by_closing_it(tmp_path):
    stubborn = Scripted(unlock=BROKEN)
    stubborn.after["close"] = raising(BROKEN)
    lock = AppendLock(stubborn, tmp_path / "lock")
    other = AppendLock(OS_DISK, tmp_path / "lock")
    for _ in range(2):
        lock.acquire(0)
        with pytest.raises(LogBusy):
            other.acquire(0)
        lock.release()
        other.acquire(0)
        other.release()
    lock.close()
    other.close()


def test_folder_deleted_under_an_open_log_is_made_again_and_a_log_that_is_gone_is_not(tmp_path):
    log = tmp_path / "log"
    (log / ".thence").mkdir(parents=True)
    lock = AppendLock(OS_DISK, log / ".thence/lock")
    (log / ".thence").rmdir()
    lock.acquire(0)
    assert (log / ".thence/lock").exists()
    lock.release()
    lock.close()
    (log / ".thence/lock").unlink()
    (log / ".thence").rmdir()
    log.rmdir()
    with pytest.raises(DiskError):
        lock.acquire(0)
    assert not log.exists()


def test_interrupted_release_gives_the_lock_back_and_passes_the_interruption_on(tmp_path):
    lock, other = (
        AppendLock(Scripted(unlock=KeyboardInterrupt()), tmp_path / "lock"),
        AppendLock(OS_DISK, tmp_path / "lock"),
    )
    lock.acquire(0)
    with pytest.raises(KeyboardInterrupt):
        lock.release()
    other.acquire(0)
    other.close()


def test_lock_file_replaced_between_the_lock_and_the_look_is_taken_anew(tmp_path):
    disk = Scripted()
    disk.once("try_lock", (tmp_path / "lock").unlink)
    lock, other = AppendLock(disk, tmp_path / "lock"), AppendLock(OS_DISK, tmp_path / "lock")
    lock.acquire(0)
    assert disk.count("try_lock") == 2
    with pytest.raises(LogBusy):
        other.acquire(0)
    for each in (lock, other):
        each.close()


def test_who_has_waited_for_long_pauses_for_longer(tmp_path, monkeypatch):
    pauses, now_ns = [], [10**9]

    def clock():
        now_ns[0] += 10_000_000
        return now_ns[0]

    disk = Scripted()
    disk.instead["try_lock"] = lambda *_: len(pauses) == 60
    monkeypatch.setattr("thence.log.files.disk.pause", pauses.append)
    monkeypatch.setattr("thence.log.files.disk.monotonic_ns", clock)
    AppendLock(disk, tmp_path / "lock").acquire(30)
    assert not any(pauses[:16])
    assert pauses[16:24] == [0.00005, 0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.005]
    assert set(pauses[24:]) == {0.005}
