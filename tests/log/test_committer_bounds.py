"""The committer at its bounds and its end: what fits, who waits, what is lost or overtaken."""

import errno
from threading import Event as Signal
from threading import Semaphore, Thread

import pytest
from tests.disks import Scripted
from tests.log.committers import (
    NOTICE,
    Reports,
    committer_of,
    held,
    made,
    types,
    until,
    waiting,
)
from tests.log.errors import raised, said
from tests.log.faults import WAIT_S, FillingDisk
from tests.log.kills import session_of
from tests.log.processes import descriptors

from thence.core.vocabulary import PLAIN
from thence.errors import LogFull, WriterClosed
from thence.log.files.disk import DiskError
from thence.log.open import Log, LogSettings
from thence.log.write.batch import BATCH_BYTES_MAX, AppendFuture, DropCounter

pytestmark = pytest.mark.usefixtures("prepared")

FULL = DiskError(errno.ENOSPC, "as said")


def standing(disk):
    """Have the next write stand until the gate opens; return when it is reached, and the gate."""
    arrived, gate = Signal(), Signal()

    def stand():
        arrived.set()
        assert gate.wait(WAIT_S)

    disk.once("write", stand)
    return arrived, gate


def test_queue_is_marked_until_what_came_amid_a_batch_is_durable_too(tmp_path):
    disk = Scripted()
    committer = committer_of(tmp_path, disk)
    records = []

    def look(_):
        records.append(session_of(tmp_path))
        if len(records) == 1:  # what comes during the first sync is the next batch
            committer.join(AppendFuture((made(),)))
            committer.put(made())
            committer.put(made())

    disk.before["sync_data"] = look
    committer.put(made())
    until(lambda: len(records) >= 2)
    assert all(record.has_queue for record in records)
    committer.append((), WAIT_S)
    path = tmp_path / "events.jsonl"
    record = session_of(tmp_path)
    assert not record.has_queue
    assert (record.durable.seq, record.durable.offset) == (4, path.stat().st_size)
    assert record.durable.inode == path.stat().st_ino
    assert committer.close(WAIT_S)


@pytest.mark.parametrize("ends_by", ["emit", "append", "close"])
def test_gap_is_told_between_the_events_round_it(tmp_path, ends_by):
    log, disk, _ = held(tmp_path, max_queue_size=1, on_full="drop")
    kept = log.emit("kept")
    for _ in range(2):
        log.emit("dropped")
    disk.gate.set()
    log.flush()
    before = None
    if ends_by == "emit":
        before = log.emit("after")
        log.flush()
    if ends_by == "append":
        before = log.append_many([{"event_type": "t"}] * 2)[0].event_id
    if ends_by != "close":
        assert not session_of(tmp_path).has_queue
    assert log.close()
    (notice,) = [e.payload for e in log.read() if e.event_type == "log.events_dropped"]
    assert notice == {"count": 2, "after_event_id": kept, "before_event_id": before}
    behind = {"emit": ["after"], "append": ["t", "t"], "close": []}[ends_by]
    assert types(tmp_path) == ["first", "kept", "log.events_dropped", *behind]


def test_event_is_dropped_where_what_is_kept_for_a_retry_fills_the_bound(tmp_path):
    disk, reports = Scripted(), Reports()
    committer = committer_of(tmp_path, disk, reports, bound=1, on_full="drop")
    committer.append([made("first")], WAIT_S)
    tries, dropped = [], made("dropped")

    def refuse(*_):
        tries.append(None)
        if len(tries) == 2:
            tries.append(committer.put(dropped))
        raise FULL

    disk.before["write"] = refuse
    committer.put(made("kept"))
    reports.wait_for("dropped")
    assert reports.all("dropped") == [{"event_id": dropped.event_id}]
    assert not committer.close(0)
    assert tries[2] is False


def test_as_many_are_let_in_as_fit_beside_what_is_kept_for_a_retry(tmp_path):
    disk = Scripted()
    log = Log(tmp_path, PLAIN, LogSettings(max_queue_size=3), disk=disk)
    log.append("first")
    arrived, tries = Semaphore(0), Semaphore(0)
    healed = Signal()

    def refuse(*_):
        arrived.release()
        assert healed.is_set() or tries.acquire(timeout=WAIT_S)
        if not healed.is_set():
            raise FULL

    disk.before["write"] = refuse
    log.emit("kept")
    assert arrived.acquire(timeout=WAIT_S)
    tries.release()
    assert arrived.acquire(timeout=WAIT_S)  # the thread stands amid its second try
    for _ in range(2):
        log.emit("fits")
    parked = [Thread(target=log.emit, args=("parked",)) for _ in range(3)]
    for count, thread in enumerate(parked, 1):
        thread.start()
        until(lambda count=count: len(waiting(parked)) == count)
    tries.release()
    assert arrived.acquire(timeout=WAIT_S)
    until(lambda: sum(thread.is_alive() for thread in parked) == 1)
    until(lambda: len(waiting(parked)) == 1)
    healed.set()
    tries.release()
    for thread in parked:
        thread.join(WAIT_S)
    assert log.close()
    expected = ["first", "log.write_failed", "kept", "fits", "fits", *["parked"] * 3]
    assert types(tmp_path) == expected


def test_as_many_are_let_in_as_fit_beside_what_a_turn_leaves_queued(tmp_path):
    disk = Scripted()
    committer = committer_of(tmp_path, disk, bound=520)
    committer.append([made("zeroth")], WAIT_S)
    large = made(size=BATCH_BYTES_MAX // 512)
    arrived, gate = standing(disk)
    committer.put(large)
    assert arrived.wait(WAIT_S)
    for _ in range(520):  # a turn takes 512 of them
        committer.put(large)
    parked = [Thread(target=committer.put, args=(made("parked"),)) for _ in range(515)]
    for thread in parked:
        thread.start()
        until(lambda thread=thread: waiting([thread]))
    arrived, next_gate = standing(disk)
    gate.set()
    assert arrived.wait(WAIT_S)
    until(lambda: sum(thread.is_alive() for thread in parked) == 3)
    assert committer.queued == 520 + 512
    next_gate.set()
    for thread in parked:
        thread.join(WAIT_S)
    assert committer.close(WAIT_S)
    assert types(tmp_path).count("parked") == 515


def refusing(tmp_path, report=None, **options):
    """Make a committer on a disk that takes nothing any more, once something else was written."""
    disk, reports = FillingDisk(), Reports()
    disk.gate.set()
    committer = committer_of(tmp_path, disk, report or reports, **options)
    committer.append([made("first")], WAIT_S)
    disk.lines_left = 0
    return committer, disk, reports


def is_closed_error(error, folder):
    return error.kind is WriterClosed and error.place == str(folder) and "closed" in error.cause


@pytest.mark.promise("W10")
def test_what_is_refused_until_the_end_is_lost_with_its_reason(tmp_path):
    committer, _, reports = refusing(tmp_path)
    draft = made()
    committer.put(draft)
    reports.wait_for("refused")
    assert committer.close(timeout_s=0) is False
    until(lambda: not committer.is_running)
    (lost,) = reports.all("lost")
    assert lost == {"event_ids": [draft.event_id], "error": lost["error"]}
    assert said(lost["error"])[::3] == (LogFull, "as said")
    assert committer.failed_count == 1
    assert committer.queued == 0
    assert committer.close(timeout_s=0) is False
    assert len(reports.all("lost")) == 1
    assert types(tmp_path) == ["first"]


def test_close_has_what_is_refused_tried_again_until_its_time_is_over(tmp_path):
    committer, disk, reports = refusing(tmp_path)
    tries = []

    def heal_at_the_second_try_after_the_close(_):
        tries.append(is_closing)
        if tries.count(True) == 2:
            disk.lines_left = None

    is_closing = False
    disk.at_refusal = heal_at_the_second_try_after_the_close
    committer.put(made())
    reports.wait_for("refused")
    is_closing = True
    assert committer.close(timeout_s=WAIT_S) is True
    assert tries.count(True) == 2
    assert reports.all("lost") == []
    assert types(tmp_path) == ["first", "log.write_failed", "t"]


def test_log_without_a_thread_closes_in_its_callers_and_starts_none_after(tmp_path):
    committer, disk, _ = refusing(tmp_path)
    disk.lines_left = None
    assert descriptors(tmp_path) != []
    assert committer.close(WAIT_S) is True
    assert descriptors(tmp_path) == []
    committer.start()
    assert not committer.is_running
    assert committer.close(WAIT_S) is True
    late = made("late")
    for use in (
        lambda: committer.join(AppendFuture((late,))),
        lambda: committer.put(late),
        lambda: committer.append([late], WAIT_S),
    ):
        assert is_closed_error(raised(use), tmp_path)
    assert types(tmp_path) == ["first"]


def test_close_in_the_thread_itself_leaves_it_to_drain(tmp_path):
    closings = []

    def report(word, facts):
        reports(word, facts)
        if word == "refused":
            closings.append(committer.close(timeout_s=WAIT_S))
            disk.lines_left = None

    reports = Reports()
    committer, disk, _ = refusing(tmp_path, report)
    committer.put(made())
    reports.wait_for("resumed")
    until(lambda: not committer.is_running)
    assert closings == [False]
    assert committer.close(WAIT_S) is True
    assert types(tmp_path) == ["first", "log.write_failed", "t"]


def test_producer_that_waits_at_the_end_is_told_that_the_log_is_closed(tmp_path):
    committer, disk, _ = refusing(tmp_path, bound=1)
    committer.put(made("kept"))
    until(lambda: disk.refused >= 2)  # what is tried again counts for the bound
    found = []
    producer = Thread(target=lambda: found.append(raised(lambda: committer.put(made("waits")))))
    producer.start()
    until(lambda: waiting([producer]))
    committer.close(timeout_s=0)
    producer.join(WAIT_S)
    assert [is_closed_error(error, tmp_path) for error in found] == [True]
    until(lambda: not committer.is_running)
    assert committer.failed_count == 1
    assert types(tmp_path) == ["first"]


def test_put_that_close_overtakes_is_written_by_who_put_it(tmp_path):
    committer, disk, _ = refusing(tmp_path)
    disk.lines_left = None
    closings = []

    def overtake(*_):  # as a signal handler may
        disk.after.clear()
        closings.append(committer.close(WAIT_S))

    disk.after["write_at"] = overtake
    assert committer.put(made("last"))
    assert closings == [True]
    assert types(tmp_path) == ["first", "last"]
    assert committer.queued == 0
    assert is_closed_error(raised(lambda: committer.put(made("late"))), tmp_path)


def test_put_that_close_overtakes_is_written_though_the_thread_has_ended(tmp_path):
    def overtaking(kind, facts, *rest):
        if kind == "events_dropped":  # as a signal handler may, when the put reports the gap
            closings.append(committer.close(WAIT_S))
        return NOTICE(kind, facts, *rest)

    closings = []
    committer, disk, _ = refusing(tmp_path, bound=1, on_full="drop", notice=overtaking)
    disk.lines_left = None
    disk.gate.clear()
    disk.arrived.clear()
    committer.put(made("second"))
    assert disk.arrived.wait(WAIT_S)
    assert [committer.put(made(name)) for name in ("third", "dropped")] == [True, False]
    disk.gate.set()
    until(lambda: not committer.queued)
    assert committer.put(made("last"))
    assert closings == [True]
    assert not committer.is_running
    assert types(tmp_path) == ["first", "second", "third", "log.events_dropped", "last"]
    assert committer.queued == 0


def test_append_that_close_overtakes_is_written_by_who_appends(tmp_path):
    class Overtaken(DropCounter):
        def __getattribute__(self, name):
            if name == "run" and is_armed:
                is_armed.clear()
                assert committer.close(WAIT_S) is True
            return super().__getattribute__(name)

    committer, disk, _ = refusing(tmp_path)
    disk.lines_left = None
    committer.put(made("second"))
    committer.append((), WAIT_S)
    is_armed = [True]
    committer.drops = Overtaken(NOTICE)
    last = AppendFuture((made("last"),))
    committer.join(last)
    assert last.wait(0)
    assert len(last.result()) == 1
    assert types(tmp_path) == ["first", "second", "last"]
