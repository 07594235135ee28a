"""When the committer's thread waits, for how long, who wakes it, and when a producer lets go."""

from threading import Thread

import pytest
from tests.events import drafted, new_id
from tests.log.errors import raised
from tests.log.faults import WAIT_S, FillingDisk
from tests.log.test_committer import Told, prepared, types
from tests.log.test_committer_bounds import until

from thence.core.values.vocabulary import PLAIN
from thence.errors import LogBusy, OutcomeUnknown
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.write import committer as module
from thence.log.write.batch import Latch, Waiting
from thence.replica import Log


@pytest.fixture(autouse=True)
def identity(tmp_path):
    prepared(tmp_path)


@pytest.fixture
def disk():
    made = FillingDisk()
    yield made
    made.gate.set()  # a test that failed leaves nobody in its thread


def opened(tmp_path, disk, **options):
    told = Told()
    return Log(tmp_path, PLAIN, disk=disk, tell=told, **options), told


def made(event_type="t"):
    return drafted(new_id(), event_type, {})


class Noting(Latch):
    """Notes for how long it is waited at, and returns at once."""

    def __init__(self, before=lambda: None):
        super().__init__()
        self.asked = []
        self.before = before

    def wait(self, timeout_s):
        self.asked.append(timeout_s)
        self.before()
        return True


def test_refused_batch_is_tried_again_each_second(tmp_path, disk):
    def heal():
        if len(gate.asked) == 3:
            disk.lines_left = None

    log, told = opened(tmp_path, disk)
    gate = log._appender.committer._wakeup = Noting(heal)
    disk.gate.set()
    disk.lines_left = 0
    log.emit("t")
    told.wait_for("resumed")
    assert gate.asked[:3] == [1.0] * 3
    assert len(told.all("refused")) == 1
    assert log.close()


@pytest.mark.parametrize("call", ["emit", "append_many", "flush"])
def test_thread_that_sleeps_is_woken_by_each_call(tmp_path, disk, monkeypatch, call):
    monkeypatch.setattr(module, "_IDLE_S", 10 * WAIT_S)
    disk.gate.set()
    log, told = opened(tmp_path, disk)
    log.emit("first")
    until(lambda: log._appender.committer._is_sleeping)
    log._appender.committer._wakeup.open()  # whatever the start has left open
    until(
        lambda: (
            log._appender.committer._is_sleeping and log._appender.committer._wakeup._lock.locked()
        )
    )
    waiting = Waiting([made("u"), made("v")] if call == "append_many" else ())
    disk.arrived.clear()
    if call == "emit":
        log.emit("u")
        assert disk.arrived.wait(WAIT_S)  # in the sync
    else:
        log._appender.committer.join(waiting)
        assert waiting.wait(WAIT_S)
        assert len(waiting.result()) == len(waiting.drafts)
    until(lambda: log._appender.committer._is_sleeping)
    assert log.close()
    assert told.words == []


def test_thread_sleeps_only_with_nothing_queued_nobody_parked_and_the_log_open(tmp_path, disk):
    log, _ = opened(tmp_path, disk, max_queue_size=1)
    committer = log._appender.committer
    gate = committer._wakeup = Noting()
    committer._sleep()
    assert gate.asked == [5.0]
    assert not committer._is_sleeping
    committer._queue.append(made())
    committer._sleep()
    committer._queue.clear()
    parked = Thread(target=committer._wait_queue.wait, args=(lambda: True,))
    parked.start()
    until(lambda: not committer._wait_queue.is_empty)
    committer._sleep()
    parked.join(WAIT_S)
    assert not parked.is_alive()
    assert log.close()
    committer._sleep()
    assert gate.asked == [5.0]


def test_producer_lets_go_at_each_sixteenth_event_while_somebody_waits(tmp_path, disk, monkeypatch):
    log, _ = opened(tmp_path, disk)
    paused = []
    monkeypatch.setattr(module, "pause", lambda delay_s: paused.append((delay_s, queued())))
    monkeypatch.setattr(module, "yield_processor", lambda: paused.append("yielded"))

    def queued():
        return len(log._appender.committer._queue)

    waiting = Waiting([made("first")])
    log._appender.committer.join(waiting)
    assert disk.arrived.wait(WAIT_S)
    for _ in range(40):
        log._appender.committer.put(made())
    assert paused == [(0.000001, 1), (0.000001, 17), (0.000001, 33)]
    disk.gate.set()
    assert waiting.wait(WAIT_S)
    log._appender.committer.callers.leave()
    log.flush()
    paused.clear()
    for _ in range(40):
        log._appender.committer.put(made())
    assert paused == []
    assert log.close()


def test_producer_with_a_long_queue_yields_at_each_128th_event(tmp_path, disk, monkeypatch):
    log, _ = opened(tmp_path, disk)
    yielded = []
    monkeypatch.setattr(module, "pause", lambda delay_s: pytest.fail("nobody waits"))
    monkeypatch.setattr(
        module, "yield_processor", lambda: yielded.append(len(log._appender.committer._queue))
    )
    log._appender.committer.put(made("first"))
    assert disk.arrived.wait(WAIT_S)
    draft = made()
    for _ in range(1_300):
        log._appender.committer.put(draft)
    assert yielded == [1_025, 1_153, 1_281]
    disk.gate.set()
    assert log.close()


def busy(lock, tmp_path, timeout):
    return (
        LogBusy,
        "could not append to",
        str(tmp_path),
        f"{OS_DISK.lock_holder(lock._descriptor)} has held the append lock for {timeout} s",
        "wait for that process or end it, then try again",
    )


def test_append_waits_for_the_lock_as_long_as_it_is_told(tmp_path, disk):
    disk.gate.set()
    log, _ = opened(tmp_path, disk)
    log.append("zeroth")
    lock = AppendLock(OS_DISK, tmp_path / ".thence" / "lock")
    lock.acquire()
    committer = log._appender.committer
    assert raised(lambda: log.append("t", timeout_s=0.01)) == busy(lock, tmp_path, "0.01")
    assert committer._refused.count == 1
    lock.release()
    log.append("first")
    lock.acquire()
    found = raised(lambda: committer.append_all([made(), made()], 0.02))
    assert found == busy(lock, tmp_path, "0.02")
    assert committer._refused.count == 2
    lock.release()
    log.append("second")
    assert types(tmp_path)[2::2] == ["first", "second"]
    assert types(tmp_path)[1::2] == ["log.write_failed"] * 2
    assert log.close()


def test_thread_waits_for_the_lock(tmp_path, disk):
    disk.gate.set()
    log, told = opened(tmp_path, disk)
    log.append("zeroth")
    lock = AppendLock(OS_DISK, tmp_path / ".thence" / "lock")
    lock.acquire()
    waiting = Waiting([made("first")])
    log._appender.committer.join(waiting)
    until(lambda: log._appender.committer._batch)
    assert not waiting.wait(0.01)
    lock.release()
    assert waiting.wait(WAIT_S)
    assert types(tmp_path) == ["zeroth", "first"]
    assert told.words == []
    assert log.close()


def test_wait_that_is_taken_up_again_ends_with_the_events_line(tmp_path, disk):
    log, _ = opened(tmp_path, disk)
    log.emit("first")
    assert disk.arrived.wait(WAIT_S)
    left = log._appender.committer.callers.left
    with pytest.raises(OutcomeUnknown) as caught:
        log._appender.committer.append(made("second"), 0.01)
    assert log._appender.committer.callers.left == left + 1
    with pytest.raises(OutcomeUnknown) as again:
        caught.value.resume()
    assert again.value.cause == caught.value.cause == "it waited 0.01 s among 2 queued events"
    disk.gate.set()
    log.flush()
    (line,) = caught.value.resume()
    assert line == (tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)[1]
    assert log.close()


@pytest.mark.parametrize("count", [1, 2])
def test_append_amid_an_append_of_its_own_thread_is_refused_and_hinders_no_later_one(
    tmp_path, count
):
    class Interrupted(Disk):
        is_armed = False

        def sync_data(self, descriptor):
            if self.is_armed:  # as by a signal handler
                self.is_armed = False
                within.append(raised(lambda: log._appender.committer.append(made(), WAIT_S)))
                within.append(raised(lambda: log._appender.committer.append_all([made()], WAIT_S)))
            super().sync_data(descriptor)

    disk, within = Interrupted(), []
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("zeroth")
        disk.is_armed = True
        if count == 1:
            log._appender.committer.append(made("a"), WAIT_S)
        else:
            log._appender.committer.append_all([made("a"), made("b")], WAIT_S)
        assert [(found.kind, found.hint) for found in within] == [
            (LogBusy, "use emit in a signal handler: it only queues")
        ] * 2
        log.append("last")
        assert not log._appender.committer.is_running
    assert types(tmp_path) == ["zeroth", *"ab"[:count], "last"]


@pytest.mark.parametrize("count", [1, 2])
def test_append_amid_an_append_of_another_thread_goes_behind_it(tmp_path, disk, count):
    log, _ = opened(tmp_path, disk)
    one, *several = [made(name) for name in ("a", *"bc"[:count])]
    found = []

    def append(drafts):
        if count == 1:
            found.append(log._appender.committer.append(drafts[0], WAIT_S))
        else:
            found.extend(log._appender.committer.append_all(drafts, WAIT_S))

    first = Thread(target=append, args=([one],))
    first.start()
    assert disk.arrived.wait(WAIT_S)
    second = Thread(target=append, args=(several,))
    second.start()
    until(lambda: log._appender.committer._queue or log._appender.committer.is_running)
    disk.gate.set()
    for thread in (first, second):
        thread.join(WAIT_S)
    assert len(found) == 1 + count
    assert types(tmp_path) == ["a", *"bc"[:count]]
    assert log.close()
