"""The committer at its bounds: what fits, who waits, what its opening says meanwhile."""

import errno
from collections import deque
from threading import Event as Signal
from threading import Semaphore, Thread

import pytest
from tests.events import drafted
from tests.log.committers import (
    Reports,
    StartedThreads,
    committer_of,
    held,
    made,
    prepared,
    types,
    until,
    waiting,
)
from tests.log.faults import WAIT_S, FailingDisk, WatchedDisk
from tests.log.kills import session_of

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import AppendFailed, LogFull, OutcomeUnknown
from thence.log.storage.disk_errors import DiskError
from thence.log.write.append_conditions import Condition
from thence.log.write.batch import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    PendingAppend,
    answer,
    conditions_of,
    drafts_of,
    split,
    take_batch,
)
from thence.replica import Log

FULL = DiskError(errno.ENOSPC, "as said")


@pytest.fixture(autouse=True)
def identity(tmp_path):
    prepared(tmp_path)


def standing(disk):
    """Have the next write stand until the gate opens; return when it is reached, and the gate."""
    arrived, gate = Signal(), Signal()

    def stand():
        del disk.before["write"]
        arrived.set()
        assert gate.wait(WAIT_S)

    disk.before["write"] = stand
    return arrived, gate


def test_producer_waits_from_exactly_the_bound_on(tmp_path):
    log, disk, _ = held(tmp_path, max_queue_size=2)
    taken = []
    producer = Thread(target=lambda: [taken.append(log.emit("t")) for _ in range(3)])
    producer.start()
    until(lambda: waiting([producer]))
    assert len(taken) == 2
    disk.gate.set()
    producer.join(WAIT_S)
    assert log.close()
    assert types(tmp_path) == ["first", "t", "t", "t"]
    assert [event.event_id for event in log.read()][1:] == taken


def test_event_beyond_exactly_the_bound_is_dropped(tmp_path):
    log, disk, reports = held(tmp_path, max_queue_size=2, on_full="drop")
    ids = [log.emit("t") for _ in range(4)]
    assert log.dropped_count == 2
    assert reports.all("dropped") == [{"event_id": ids[2]}]
    disk.gate.set()
    assert log.close()
    assert [e.event_id for e in log.read() if e.event_type == "t"] == ids[:2]


def test_queue_is_marked_until_what_came_amid_a_batch_is_durable_too(tmp_path):
    disk = WatchedDisk()
    committer = committer_of(tmp_path, disk)
    records = []

    def look():
        records.append(session_of(tmp_path))
        if len(records) == 1:  # what comes during the first sync is the next batch
            committer.join(PendingAppend((made(),)))
            committer.put(made())
            committer.put(made())

    disk.before["sync_data"] = look
    committer.put(made())
    until(lambda: len(records) >= 2)
    assert all(record.has_queue for record in records)
    committer.append_all((), WAIT_S)
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


def test_event_is_dropped_where_what_is_kept_for_a_retry_fills_the_bound(tmp_path):
    disk, reports = WatchedDisk(), Reports()
    committer = committer_of(tmp_path, disk, reports, bound=1, on_full="drop")
    committer.append(made("first"), WAIT_S)
    tries, dropped = [], made("dropped")

    def refuse():
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
    disk = WatchedDisk()
    log = Log(tmp_path, PLAIN, disk=disk, max_queue_size=3)
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
    for thread in parked[:2]:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert waiting(parked) == parked[2:]
    healed.set()
    tries.release()
    parked[2].join(WAIT_S)
    assert log.close()
    expected = ["first", "log.write_failed", "kept", "fits", "fits", *["parked"] * 3]
    assert types(tmp_path) == expected


def test_as_many_are_let_in_as_fit_beside_what_a_turn_leaves_queued(tmp_path):
    disk = WatchedDisk()
    committer = committer_of(tmp_path, disk, bound=520)
    committer.append(made("zeroth"), WAIT_S)
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
    for thread in parked[:512]:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert waiting(parked) == parked[512:]
    assert committer.queued == 520 + 512
    next_gate.set()
    for thread in parked:
        thread.join(WAIT_S)
    assert committer.close(WAIT_S)
    assert types(tmp_path).count("parked") == 515


def test_thread_ends_with_the_program_and_starts_when_it_is_needed_but_not_twice(tmp_path):
    started = StartedThreads()
    log = thence.open(tmp_path)
    log.append("alone")
    assert started() == []
    log.emit("t")
    (thread,) = started()
    assert thread.daemon
    log.start()
    assert started() == [thread]
    log.close()
    log.start()
    assert started() == []


def test_append_goes_behind_what_was_refused_and_its_notice_counts_each_once(tmp_path):
    disk, reports = FailingDisk(), Reports()
    with Log(tmp_path, PLAIN, disk=disk, report=reports) as log:
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
    (count,) = [facts["count"] for facts in reports.all("resumed")]
    assert events[1].payload["count"] == count == 5
    assert events[1].payload["reason"].endswith(": as said")


def test_flush_waits_as_long_as_it_is_told_and_says_so(tmp_path):
    log, disk, _ = held(tmp_path)
    with pytest.raises(OutcomeUnknown, match=r"it waited 0\.01 s among \d queued"):
        log.flush(timeout_s=0.01)
    disk.gate.set()
    log.flush()
    assert log.close()


def test_close_tells_how_many_remain_and_drains_them(tmp_path):
    log, disk, reports = held(tmp_path)
    for _ in range(3):
        log.emit("t")
    assert log.close(timeout_s=0.01) is False
    assert reports.all("remaining") == [{"count": 4}]
    disk.gate.set()
    assert log.close(timeout_s=WAIT_S) is True
    assert types(tmp_path) == ["first", "t", "t", "t"]
    assert log.failed_count == 0


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
    pair, flush = PendingAppend((one, two)), PendingAppend()
    queued = [three, pair, flush, one]
    assert [split(queued, count) for count in range(5)] == [
        ([], queued),
        ([three], queued[1:]),
        ([three], queued[1:]),
        ([three, pair, flush], [one]),
        (queued, []),
    ]
    assert drafts_of(queued) == [three, one, two, one]
    assert pair.tail == one.tail + two.tail


def test_conditions_stand_at_the_last_event_of_those_they_came_with():
    one, two, three = items(3)
    condition = Condition(is_named=True)
    queued = [
        one,
        PendingAppend((two, three), condition),
        PendingAppend(),
        two,
        PendingAppend((one,), condition),
    ]
    pair = condition._replace(span=2)
    assert conditions_of(queued, 0) == {2: pair, 4: condition}
    assert conditions_of(queued, 3) == {5: pair, 7: condition}


def test_each_who_waits_gets_the_outcomes_of_its_own_events_and_what_ended_the_batch():
    one, two, three = items(3)
    first, flush, last = PendingAppend((one, two)), PendingAppend(), PendingAppend((three, one))
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
    assert not PendingAppend((one,)).wait(0.01)
