"""The queue of a log: first in, first out; full means wait or count; nothing is lost unsaid."""

import errno
import gc
from threading import Thread

import pytest
from tests.disks import GatedDisk, Scripted
from tests.log.committers import Reports, StartedThreads, held, types, until
from tests.log.faults import WAIT_S

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import LogFull, WriterClosed
from thence.log.files.disk import DiskError
from thence.log.open import Log, LogSettings

pytestmark = pytest.mark.usefixtures("prepared")

FULL = DiskError(errno.ENOSPC, "No space left on device")


def test_emitted_and_appended_events_stand_in_the_order_of_their_calls(tmp_path):
    with thence.open(tmp_path) as log:
        for number in range(300):
            if number % 7:
                log.emit("t", {"n": number})
            else:
                log.append("t", {"n": number})
        log.flush()
        assert [event.payload["n"] for event in log.read()] == list(range(300))


@pytest.mark.promise("W5")
def test_full_queue_drops_the_newest_counts_them_and_the_log_tells_between_what(tmp_path):
    log, disk, reports = held(tmp_path, max_queue_size=5, on_full="drop")
    ids = [log.emit("t", {"n": number}) for number in range(12)]
    assert log.dropped_count == 7
    assert [facts["event_id"] for facts in reports.all("dropped")] == [ids[5]]
    disk.gate.set()
    log.flush()
    after = log.emit("after")
    log.close()
    events = list(thence.open(tmp_path).read())
    assert [e.payload["n"] for e in events if e.event_type == "t"] == [0, 1, 2, 3, 4]
    (notice,) = [event for event in events if event.event_type == "log.events_dropped"]
    assert notice.payload["count"] == 7
    assert notice.payload["after_event_id"] == ids[4]
    assert notice.payload["before_event_id"] in (after, None)
    assert events[-1].event_type == "after"
    assert types(tmp_path)[-2] == "log.events_dropped"


@pytest.mark.promise("W5")
def test_each_gap_has_its_own_notice_and_the_counts_add_up(tmp_path):
    log, disk, reports = held(tmp_path, max_queue_size=100, on_full="drop")
    taken: list[str] = []

    def work():
        for number in range(2_000):
            log.emit("t", {"n": number})

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    disk.gate.set()
    for thread in threads:
        thread.join()
    dropped = log.dropped_count
    log.close()
    events = list(thence.open(tmp_path).read())
    taken = [event for event in events if event.event_type == "t"]
    notices = [event for event in events if event.event_type == "log.events_dropped"]
    assert len(taken) + dropped == 8_000
    assert sum(event.payload["count"] for event in notices) == dropped
    assert len(reports.all("dropped")) == (dropped > 0)
    present = {event.event_id for event in events}
    for notice in notices:
        for key in ("after_event_id", "before_event_id"):
            assert notice.payload[key] is None or notice.payload[key] in present


@pytest.mark.promise("W5")
def test_full_queue_that_blocks_loses_nothing_and_keeps_each_producers_order(tmp_path):
    log = Log(tmp_path, PLAIN, LogSettings(max_queue_size=3, on_full="block"))

    def work(name):
        for number in range(120):
            log.emit("t", {"n": number}, actor=name)

    threads = [Thread(target=work, args=(str(name),)) for name in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert log.dropped_count == 0
    events = list(thence.open(tmp_path).read())
    assert len(events) == 12 * 120
    for name in range(12):
        assert [e.payload["n"] for e in events if e.actor == str(name)] == list(range(120))


@pytest.mark.promise("W10")
def test_refused_batch_is_kept_told_once_and_written_when_there_is_room(tmp_path):
    disk, reports = Scripted(), Reports()
    log = Log(tmp_path, PLAIN, LogSettings(report=reports), disk=disk)
    log.append("zeroth")
    disk.error["write"] = FULL
    ids = [log.emit("t", {"n": number}) for number in range(3)]
    reports.wait_for("refused")
    with pytest.raises(LogFull):
        log.append("refused for good")
    disk.error.clear()
    log.flush()
    assert log.close()
    events = list(thence.open(tmp_path).read())
    assert [e.event_type for e in events] == ["zeroth", "log.write_failed", "t", "t", "t"]
    assert [e.event_id for e in events][2:] == ids
    assert events[1].payload["count"] == 4
    assert sorted(i for facts in reports.all("refused") for i in facts["event_ids"]) == ids
    assert [facts["count"] for facts in reports.all("resumed")] == [4]
    assert log.failed_count == 0


@pytest.mark.promise("W6")
def test_close_on_a_slow_disk_returns_false_and_drains_on(tmp_path):
    log, disk, reports = held(tmp_path)
    for _ in range(5):
        log.emit("t")
    assert log.close(timeout_s=0.01) is False
    assert reports.all("remaining") == [{"count": 6}]
    with pytest.raises(WriterClosed):
        log.emit("late")
    disk.gate.set()
    assert log.close(WAIT_S) is True
    assert types(tmp_path) == ["first", *["t"] * 5]
    assert log.failed_count == 0


def test_collector_that_comes_by_in_the_thread_itself_closes_and_drains(tmp_path):
    disk, started = GatedDisk(), StartedThreads()
    disk.after["sync_data"] = lambda _: gc.collect()
    gc.disable()
    try:
        log = Log(tmp_path, PLAIN, disk=disk)
        circle = [log]
        circle.append(circle)
        log.emit("a")
        assert disk.arrived.wait(WAIT_S)
        log.emit("b")
        del log, circle
        disk.gate.set()
        until(lambda: not started())
    finally:
        gc.enable()
    assert types(tmp_path) == ["a", "b"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_close_drains_what_a_thread_that_died_left(tmp_path):
    disk, started = Scripted(), StartedThreads()
    log = Log(tmp_path, PLAIN, disk=disk)
    log.emit("a")
    log.flush()
    disk.error["write"] = [MemoryError()]
    log.emit("b")
    until(lambda: not started())
    log.emit("c")
    assert log.close()
    assert types(tmp_path) == ["a", "b", "c"]
