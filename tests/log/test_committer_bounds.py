"""The committer at its bounds: what fits, who waits, what its opening says meanwhile."""

import errno
import threading
from collections import deque
from threading import Event as Signal
from threading import Semaphore, Thread

import pytest
from tests.events import drafted
from tests.log.aftermath import opening_of
from tests.log.faults import WAIT_S, FailingDisk, WatchedDisk
from tests.log.test_committer import Told, held, prepared

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import AppendFailed, LogFull, OutcomeUnknown
from thence.log.storage.disk_errors import DiskError
from thence.log.write import batch
from thence.log.write import committer as module
from thence.log.write.admission import Condition
from thence.log.write.batch import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    Waiting,
    answer,
    conditions_of,
    drafts_of,
    emitted_drafts,
    split,
    take_batch,
)
from thence.replica import Log

FULL = DiskError(errno.ENOSPC, "as said")


@pytest.fixture(autouse=True)
def identity(tmp_path):
    prepared(tmp_path)


def until(is_so):
    """Look again and again until something is so."""
    for _ in range(3_000):
        if is_so():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came so")


def test_producer_waits_from_exactly_the_bound_on(tmp_path):
    log, disk, _ = held(tmp_path, max_queue_size=2)
    committer = log._appender.committer
    for _ in range(2):
        log.emit("t")
        assert committer._wait_queue.is_empty
    third = Thread(target=log.emit, args=("third",))
    third.start()
    until(lambda: not committer._wait_queue.is_empty)
    assert len(committer._queue) == 2
    disk.gate.set()
    third.join(WAIT_S)
    assert log.close()
    assert [event.event_type for event in log.read()] == ["first", "t", "t", "third"]


def test_event_beyond_exactly_the_bound_is_dropped(tmp_path):
    log, disk, told = held(tmp_path, max_queue_size=2, on_full="drop")
    committer = log._appender.committer
    assert [committer.put(drafted(f"d{n}", "t", {})) for n in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert committer.drops.count == 2
    assert told.all("dropped") == [{"event_id": "d2"}]
    disk.gate.set()
    assert log.close()


def test_batch_under_way_is_announced_with_what_was_emitted_of_it(tmp_path):
    disk = WatchedDisk()
    log = Log(tmp_path, PLAIN, disk=disk)
    waiting, first, last = items(3)
    found = []

    def look():
        found.append(opening_of(tmp_path))
        if len(found) == 1:  # what comes during the first sync is the next batch
            log._appender.committer.join(Waiting((waiting,)))
            log._appender.committer.put(first)
            log._appender.committer.put(last)

    disk.before["sync_data"] = look
    log.emit("zeroth")
    until(lambda: len(found) >= 2)
    log.flush()
    path = tmp_path / "events.jsonl"
    size = path.read_bytes().index(b"\n") + 1
    batch = found[1].batch
    assert (batch.first, batch.events, batch.emitted) == (2, 3, 2)
    assert (batch.inode, batch.offset) == (path.stat().st_ino, size)
    assert found[1].committed == 1
    assert found[1].accepted >= 3
    now = opening_of(tmp_path)
    assert (now.accepted, now.committed) == (3, 3)
    assert (now.durable.seq, now.durable.offset) == (4, path.stat().st_size)
    assert now.durable.inode == path.stat().st_ino
    log.close()


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
        pair = items(2)
        assert len(log._appender.committer.append_all(pair, WAIT_S)) == 2
        before = pair[0].event_id
    if ends_by != "close":
        opening = opening_of(tmp_path)
        assert opening.accepted == opening.committed > 0
    assert log.close()
    (notice,) = [e.payload for e in log.read() if e.event_type == "log.events_dropped"]
    assert notice == {"count": 2, "after_event_id": kept, "before_event_id": before}


def test_event_is_dropped_where_what_is_kept_for_a_retry_fills_the_bound(tmp_path):
    disk, told = FailingDisk(), Told()
    log = Log(tmp_path, PLAIN, disk=disk, tell=told, max_queue_size=1, on_full="drop")
    log.append("first")
    disk.faults["write"] = FULL
    log.emit("kept")
    told.wait_for("refused")
    until(lambda: log._appender.committer._held == 1)
    dropped = log.emit("dropped")
    assert told.all("dropped") == [{"event_id": dropped}]
    assert not log.close(0)


def test_as_many_are_let_in_as_fit_beside_what_is_kept_for_a_retry(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 10 * WAIT_S)  # the test says when it is tried again
    disk = WatchedDisk()
    log = Log(tmp_path, PLAIN, disk=disk, max_queue_size=3)
    committer = log._appender.committer
    log.append("first")
    arrived, tries = Semaphore(0), Semaphore(0)
    healed = Signal()

    def refuse():
        arrived.release()
        assert healed.is_set() or tries.acquire(timeout=WAIT_S)
        if not healed.is_set():
            raise FULL

    disk.before["write"] = refuse
    log.emit("kept")
    assert arrived.acquire(timeout=WAIT_S)
    committer._wakeup.open()
    tries.release()
    assert arrived.acquire(timeout=WAIT_S)  # the thread stands amid its second try
    assert committer._held == 1
    for _ in range(2):
        log.emit("fits")
    parked = [Thread(target=log.emit, args=("parked",)) for _ in range(3)]
    for count, thread in enumerate(parked, 1):
        thread.start()
        until(lambda count=count: len(committer._wait_queue._latches) == count)
    tries.release()
    assert arrived.acquire(timeout=WAIT_S)
    assert len(committer._wait_queue._latches) == 1
    until(lambda: len(committer._queue) == 2)
    healed.set()
    tries.release()
    for thread in parked:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert log.close()
    types = [event.event_type for event in log.read()]
    assert types == ["first", "log.write_failed", "kept", "fits", "fits", *["parked"] * 3]


def test_as_many_are_let_in_as_fit_beside_what_a_turn_leaves_queued(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "BATCH_EVENTS_MAX", 1)
    monkeypatch.setattr(batch, "_TAKE_EVENTS", 1)
    disk = WatchedDisk()
    log = Log(tmp_path, PLAIN, disk=disk, max_queue_size=3)
    committer = log._appender.committer
    log.append("zeroth")
    arrived, gate = Signal(), Signal()
    left = []

    def stand():
        disk.before["write"] = lambda: left.append(len(committer._wait_queue._latches))
        arrived.set()
        assert gate.wait(WAIT_S)

    disk.before["write"] = stand
    log.emit("first")
    assert arrived.wait(WAIT_S)
    for _ in range(3):
        log.emit("fits")
    parked = [Thread(target=log.emit, args=("parked",)) for _ in range(3)]
    for count, thread in enumerate(parked, 1):
        thread.start()
        until(lambda count=count: len(committer._wait_queue._latches) == count)
    gate.set()
    for thread in parked:
        thread.join(WAIT_S)
    assert log.close()
    assert left[0] == 2  # of the three in the queue one was taken
    assert len(list(log.read())) == 8


def test_producer_that_finds_room_after_all_does_not_wait(tmp_path):
    log = Log(tmp_path, PLAIN, max_queue_size=1)
    (draft,) = items(1)
    waits = Thread(target=log._appender.committer._make_room, args=(draft,), daemon=True)
    waits.start()
    waits.join(WAIT_S)
    assert not waits.is_alive()
    assert log.close()


def test_thread_is_named_ends_with_the_program_and_starts_when_it_is_needed(tmp_path):
    log = thence.open(tmp_path)
    log.append("alone")
    assert not log._appender.committer.is_running
    log.emit("t")
    thread = log._appender.committer._thread
    assert (thread.name, thread.daemon) == ("thence-committer", True)
    log._appender.committer.start()
    assert log._appender.committer._thread is thread
    log.close()
    assert not log._appender.committer.is_running
    log._appender.committer.start()
    assert log._appender.committer._thread is thread


def test_append_goes_behind_what_was_refused_and_its_notice_counts_each_once(tmp_path):
    disk, told = FailingDisk(), Told()
    with Log(tmp_path, PLAIN, disk=disk, tell=told) as log:
        log.append("zeroth")
        disk.faults["write"] = FULL
        for _ in range(2):
            with pytest.raises(LogFull):
                log.append("refused")
        with pytest.raises(LogFull):
            log.append_many({"event_type": "many"} for _ in range(3))
        disk.faults.clear()
        log.append("after")
        log.append("later")
        events = list(log.read())
    types = [event.event_type for event in events]
    assert types == ["zeroth", "log.write_failed", "after", "later"]
    (count,) = [facts["count"] for facts in told.all("resumed")]
    assert events[1].payload["count"] == count == 5
    assert events[1].payload["reason"].endswith(": as said")


def test_flush_waits_as_long_as_it_is_told_and_says_so(tmp_path):
    log, disk, _ = held(tmp_path)
    with pytest.raises(OutcomeUnknown, match=r"it waited 0\.01 s among \d queued"):
        log._appender.committer.append_all((), 0.01)
    disk.gate.set()
    assert log._appender.committer.append_all((), WAIT_S) == []
    assert log.close()


def test_close_tells_how_many_remain_and_drains_them(tmp_path):
    log, disk, told = held(tmp_path)
    for _ in range(3):
        log.emit("t")
    assert log.close(timeout_s=0.01) is False
    assert told.all("remaining") == [{"count": 4}]
    disk.gate.set()
    assert log.close(timeout_s=WAIT_S) is True
    assert log._appender.committer.queued == 0
    assert log._appender.committer.failed_count == 0


def items(count, size=1):
    return [drafted(f"id{n}", "t", {"payload": {"x": "x" * size}}) for n in range(count)]


@pytest.mark.parametrize(
    ("queued", "count"),
    [
        (0, 0),
        (1, 1),
        (513, 513),
        (BATCH_EVENTS_MAX, BATCH_EVENTS_MAX),
        (BATCH_EVENTS_MAX + 1, BATCH_EVENTS_MAX),
        (2 * BATCH_EVENTS_MAX, BATCH_EVENTS_MAX),
    ],
)
def test_turn_takes_so_many_events_and_leaves_the_rest(queued, count):
    (one,) = items(1)
    queue = deque([one] * queued)
    assert len(take_batch(queue)) == count
    assert len(queue) == queued - count


def test_turn_ends_when_its_bytes_are_many():
    (large,) = items(1, 20_000)
    queue = deque([large] * 2_048)
    found = take_batch(queue)
    assert BATCH_BYTES_MAX <= sum(len(item.tail) for item in found) < 2 * BATCH_BYTES_MAX
    assert len(found) + len(queue) == 2_048


def test_items_are_parted_behind_those_that_are_written_whole():
    one, two, three = items(3)
    pair, flush = Waiting((one, two)), Waiting()
    queued = [three, pair, flush, one]
    assert [split(queued, count) for count in range(5)] == [
        ([], queued),
        ([three], queued[1:]),
        ([three], queued[1:]),
        ([three, pair, flush], [one]),
        (queued, []),
    ]
    assert drafts_of(queued) == [three, one, two, one]
    assert emitted_drafts(queued) == [three, one]
    assert pair.tail == one.tail + two.tail


def test_conditions_stand_at_the_last_event_of_those_they_came_with():
    one, two, three = items(3)
    condition = Condition(is_named=True)
    queued = [one, Waiting((two, three), condition), Waiting(), two, Waiting((one,), condition)]
    pair = condition._replace(span=2)
    assert conditions_of(queued, 0) == {2: pair, 4: condition}
    assert conditions_of(queued, 3) == {5: pair, 7: condition}


def test_each_who_waits_gets_the_outcomes_of_its_own_events_and_what_ended_the_batch():
    one, two, three = items(3)
    first, flush, last = Waiting((one, two)), Waiting(), Waiting((three, one))
    refused, broken = AppendFailed("refused"), AppendFailed("broken")
    answer([first, three, flush, last], [b"1", b"2", b"3", b"4"], broken)
    assert [(item.outcomes, item.error) for item in (first, flush, last)] == [
        ([b"1", b"2"], broken),
        ([], broken),
        ([b"4"], broken),
    ]
    with pytest.raises(AppendFailed, match="broken") as caught:
        flush.result()
    assert caught.value is not broken  # others of the batch share it
    answer([first], [b"1", refused], None)
    with pytest.raises(AppendFailed, match="refused"):
        first.result()
    answer([first], [b"1", b"2"], None)
    assert first.result() == [b"1", b"2"]
    assert first.wait(WAIT_S)
    assert not Waiting((one,)).wait(0.01)
