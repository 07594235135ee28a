"""A batch that the disk breaks: what is written, told, kept, tried again, lost, and the count."""

import errno
from threading import Thread

import pytest
from tests.events import drafted, event_of, new_id
from tests.log.aftermath import opening_of
from tests.log.errors import raised, said
from tests.log.faults import WAIT_S, FillingDisk, GatedDisk
from tests.log.processes import lines
from tests.log.test_committer import Told, prepared, types
from tests.log.test_committer_bounds import until

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import AppendFailed, LogBusy, LogFull, LogReadOnly, OutcomeUnknown
from thence.log.crash.openings import STEP_MIN
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError
from thence.log.write import committer as module
from thence.log.write.batch import Waiting
from thence.replica import Log


@pytest.fixture(autouse=True)
def identity(tmp_path, monkeypatch):
    prepared(tmp_path)
    monkeypatch.setattr(module, "RETRY_S", 10 * WAIT_S)  # the test says when it is tried again


@pytest.fixture
def opened(tmp_path):
    """Open a log whose thread stands in its first sync: what is queued now is one batch."""
    gates = []

    def at_its_first_sync(disk):
        gates.append(disk.gate)
        told = Told()
        log = Log(tmp_path, PLAIN, disk=disk, tell=told)
        log.emit("first")
        assert disk.arrived.wait(WAIT_S)
        log._appender.committer._wakeup.wait(0)  # the start has left it open
        return log, told

    yield at_its_first_sync
    for gate in gates:  # a test that failed leaves nobody in its thread
        gate.set()


def made(types):
    return [drafted(new_id(), event_type, {}) for event_type in types]


def queue(log, *items):
    for item in items:
        if isinstance(item, Waiting):
            log._appender.committer.join(item)
        else:
            log._appender.committer.put(item)


def try_again(log):
    """Have what is kept tried again, with what was queued since, as happens each second."""
    flush = Waiting()
    log._appender.committer.join(flush)
    log._appender.committer._wakeup.open()
    assert flush.wait(WAIT_S)
    return flush


def ids(drafts):
    return [draft.event_id for draft in drafts]


def at_most(folder):
    """Read up to how many events a kill would lose now."""
    opening = opening_of(folder)
    return opening.accepted - opening.committed


def notices(folder):
    return [
        event.payload
        for event in thence.open(folder).read()
        if event.event_type == "log.write_failed"
    ]


def test_broken_batch_is_parted_into_what_is_written_told_and_kept(tmp_path, opened):
    disk = FillingDisk()
    log, told = opened(disk)
    a, b, c, d, e, f, g = made("abcdefg")
    one, pair, flush, last = Waiting((b,)), Waiting((d, e)), Waiting(), Waiting((g,))
    queue(log, a, one, c, pair, f, flush, last)
    disk.lines_left = 4
    disk.gate.set()
    told.wait_for("refused")
    (refused,) = told.all("refused")
    error = refused["error"]
    assert refused == {"event_ids": [f.event_id], "error": error}
    assert said(error) == (
        LogFull,
        "could not append to",
        str(tmp_path / "events.jsonl"),
        "as said",
        "free some space, then try again",
    )
    stored = (tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)
    assert all(item.wait(WAIT_S) for item in (one, pair, flush, last))
    assert (one.outcomes, one.error) == ([stored[2]], None)
    assert (pair.outcomes, pair.error) == ([stored[4]], error)
    assert (flush.outcomes, flush.error) == ([], error)
    assert (last.outcomes, last.error) == ([], error)
    assert 1 <= at_most(tmp_path) < 1 + STEP_MIN
    disk.lines_left = None
    assert try_again(log).result() == []
    assert told.words == [("refused", refused), ("resumed", {"count": 3})]
    assert types(tmp_path) == ["first", "a", "b", "c", "d", "log.write_failed", "f"]
    assert notices(tmp_path) == [{"count": 3, "reason": str(error)}]
    assert at_most(tmp_path) == 0
    assert log.close()


def test_refusals_in_a_row_count_each_event_once_and_name_the_last_reason(tmp_path, opened):
    disk = FillingDisk()
    log, told = opened(disk)
    a, b, c, d = made("abcd")
    queue(log, a)
    disk.lines_left = 0
    disk.gate.set()
    told.wait_for("refused")
    disk.error = DiskError(errno.EIO, "said next")
    pair = Waiting((b, c))
    queue(log, d, pair)
    try_again(log)
    assert pair.error is told.all("refused")[1]["error"]
    for _ in range(2):
        assert isinstance(try_again(log).error, AppendFailed)
    assert [facts["event_ids"] for facts in told.all("refused")] == [ids([a]), ids([d])]
    assert told.all("resumed") == []
    assert 2 <= at_most(tmp_path) < 2 + STEP_MIN
    disk.lines_left = None
    try_again(log).result()
    assert told.all("resumed") == [{"count": 4}]
    assert types(tmp_path) == ["first", "log.write_failed", "a", "d"]
    assert notices(tmp_path) == [{"count": 4, "reason": str(pair.error)}]
    assert str(pair.error).endswith(": said next")
    assert at_most(tmp_path) == 0
    assert log.close()
    assert log._appender.committer.failed_count == 0


@pytest.mark.parametrize(
    ("kept", "queued", "room", "refused", "told_counts"),
    [
        ("a", "", 1, "", [1]),
        ("a", "b", 1, "b", [1, 1]),
        ("ab", "c", 2, "c", [2, 1]),
        ("ab", "cd", 3, "cd", [2, 2]),
        ("a", "bcd", 3, "cd", [1, 2]),
        ("abc", "d", 2, "d", [3, 1]),
    ],
)
def test_retry_that_is_broken_in_its_turn_tells_of_the_new_ones_alone(
    tmp_path, opened, kept, queued, room, refused, told_counts
):
    disk = FillingDisk()
    log, told = opened(disk)
    first, later = made(kept), made(queued)
    queue(log, *first)
    disk.lines_left = 0
    disk.gate.set()
    told.wait_for("refused")
    disk.lines_left = room  # the notice is the first to find it
    queue(log, *later)
    try_again(log)
    new = [draft for draft, name in zip(later, queued, strict=True) if name in refused]
    expected = [ids(first), ids(new)] if new else [ids(first)]
    assert [facts["event_ids"] for facts in told.all("refused")] == expected
    disk.lines_left = None
    try_again(log).result()
    assert told.all("resumed") == [{"count": count} for count in told_counts]
    assert [notice["count"] for notice in notices(tmp_path)] == told_counts
    found = [name for name in types(tmp_path) if name != "log.write_failed"]
    assert found == ["first", *kept, *queued]
    assert log.close()


def test_append_by_who_is_told_of_a_refusal_is_refused_itself(tmp_path):
    def tell(word, facts):
        told(word, facts)
        if word == "refused":
            within.append(raised(lambda: log.append("within", timeout_s=0.01)).kind)

    disk, told, within = FillingDisk(), Told(), []
    disk.gate.set()
    log = Log(tmp_path, PLAIN, disk=disk, tell=tell)
    log.append("first")
    disk.lines_left = 0
    log.emit("kept")
    told.wait_for("refused")
    disk.lines_left = None
    try_again(log)
    assert within == [LogBusy]
    assert log.close()
    assert types(tmp_path) == ["first", "log.write_failed", "kept"]


def test_append_goes_behind_what_is_kept_though_its_notice_is_written(tmp_path, opened):
    disk = FillingDisk()
    log, told = opened(disk)
    kept, appended = made(["kept", "appended"])
    queue(log, kept)
    disk.lines_left = 0
    disk.gate.set()
    told.wait_for("refused")
    disk.lines_left = 1
    try_again(log)
    assert told.all("resumed") == [{"count": 1}]
    disk.lines_left = None
    appender = Thread(target=log._appender.committer.append, args=(appended, WAIT_S))
    appender.start()
    until(lambda: log._appender.committer._queue)
    log._appender.committer._wakeup.open()
    appender.join(WAIT_S)
    assert types(tmp_path) == ["first", "log.write_failed", "kept", "appended"]
    assert log.close()


@pytest.mark.parametrize("count", [1, 2])
def test_append_goes_behind_what_a_thread_that_died_left_in_the_queue(tmp_path, count):
    with Log(tmp_path, PLAIN) as log:
        left, *appended = made(["left", *"ab"[:count]])
        log._appender.committer._queue.append(left)
        if count == 1:
            log._appender.committer.append(appended[0], WAIT_S)
        else:
            log._appender.committer.append_all(appended, WAIT_S)
        assert types(tmp_path) == ["left", *"ab"[:count]]


def test_sync_that_fails_for_good_loses_the_emitted_and_says_which_by_what(tmp_path, opened):
    disk = FillingDisk()
    log, told = opened(disk)
    a, b, c, d = made("abcd")
    waiting = Waiting((b,))
    queue(log, a, waiting, c)
    disk.syncs_left = 1  # that of the first event
    disk.gate.set()
    told.wait_for("lost")
    (refused,) = told.all("refused")
    error = refused["error"]
    assert refused == {"event_ids": ids([a, c]), "error": error}
    assert told.all("lost") == [refused]
    assert (type(error), error.cause) == (OutcomeUnknown, "device error")
    assert waiting.wait(WAIT_S)
    assert (waiting.outcomes, waiting.error) == ([], error)
    assert log._appender.committer.failed_count == 2
    assert at_most(tmp_path) == 0
    queue(log, d)
    told.wait_for("lost", 2)
    last = told.all("lost")[1]
    assert last == {"event_ids": ids([d]), "error": told.all("refused")[1]["error"]}
    assert isinstance(last["error"], LogReadOnly)
    assert log._appender.committer.failed_count == 3
    assert at_most(tmp_path) == 0
    assert not log.close()
    assert log._appender.committer.queued == 0
    assert len(told.all("lost")) == 2


def test_sync_that_fails_for_good_with_callers_alone_loses_nothing_unsaid(tmp_path, opened):
    disk = FillingDisk()
    log, told = opened(disk)
    one, other, late = (Waiting((draft,)) for draft in made("abc"))
    queue(log, one, other)
    disk.syncs_left = 1
    disk.gate.set()
    for item in (one, other):
        assert item.wait(WAIT_S)
        with pytest.raises(OutcomeUnknown):
            item.result()
    queue(log, late)
    assert late.wait(WAIT_S)
    assert isinstance(late.error, LogReadOnly)
    assert told.all("refused") == told.all("lost") == []
    assert log.close()


class HalvingDisk(GatedDisk):
    """While `is_halving` the second line of a write loses its newline, and nothing is cut back."""

    def __init__(self):
        super().__init__()
        self.is_halving = False
        self.is_full = False

    def write(self, descriptor, data):
        if self.is_full:
            raise DiskError(errno.ENOSPC, "as said")
        if self.is_halving:
            self.is_full = True
            data = data[: data.index(b"\n", data.index(b"\n") + 1)]
        return super().write(descriptor, data)

    def truncate(self, descriptor, size):
        if self.is_halving:
            raise DiskError(errno.EIO, "as said")
        super().truncate(descriptor, size)


@pytest.mark.parametrize("waits", ["", "b", "c"])
def test_line_that_may_be_there_or_not_is_there_once_after_the_retry(tmp_path, opened, waits):
    disk = HalvingDisk()
    log, told = opened(disk)
    for name, draft in zip("abcd", made("abcd"), strict=True):
        queue(log, Waiting((draft,)) if name in waits else draft)
    disk.is_halving = True
    disk.gate.set()
    told.wait_for("refused")
    assert type(told.all("refused")[0]["error"]) is OutcomeUnknown
    disk.is_halving = disk.is_full = False
    try_again(log).result()
    found = [event_of(line) for line in lines(tmp_path)]  # a reader would pass over a second one
    names = [event.event_type for event in found if not event.event_type.startswith("log.")]
    assert names == ["first", "a", "b", *(name for name in "cd" if name not in waits)]
    assert log.close()


class OvertakenDisk(Disk):
    """Once `is_armed` the next sync fails, the segment set aside by another process meanwhile."""

    def __init__(self, folder, has_copied):
        self.folder = folder
        self.has_copied = has_copied
        self.is_armed = False

    def sync_data(self, descriptor):
        if self.is_armed:
            self.is_armed = False
            path = self.folder / "events.jsonl"
            data = path.read_bytes()
            path.rename(self.folder / "events_2026-11-20_07-13-05-000000.jsonl")
            path.write_bytes(data if self.has_copied else b"")
            raise DiskError(errno.EIO, "device error")
        super().sync_data(descriptor)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("has_copied", [False, True])
def test_events_in_a_segment_that_another_set_aside_are_durable_if_they_were_copied(
    tmp_path, has_copied, count
):
    disk = OvertakenDisk(tmp_path, has_copied)
    log = Log(tmp_path, PLAIN, disk=disk)
    log.append("first")
    drafts = made("ab"[:count])

    def append():
        if count == 1:
            return [log._appender.committer.append(drafts[0], WAIT_S)]
        return log._appender.committer.append_all(drafts, WAIT_S)

    disk.is_armed = True
    if has_copied:
        assert append() == [line + b"\n" for line in lines(tmp_path)[-count:]]
    else:
        with pytest.raises(OutcomeUnknown) as caught:
            append()
        assert caught.value.cause == "device error"
    log.close()


@pytest.mark.parametrize("waits", [False, True])
def test_log_is_not_searched_for_what_was_refused_whole(tmp_path, opened, waits):
    disk = FillingDisk()
    log, told = opened(disk)
    a, b = made("ab")
    queue(log, *([Waiting((a,))] if waits else [a]), b)
    disk.lines_left = 0
    disk.gate.set()
    told.wait_for("refused")
    disk.opened.clear()
    disk.lines_left = None
    try_again(log).result()
    queue(log, *made("c"))
    log.flush()
    assert disk.opened == []
    assert len(lines(tmp_path)) == 4 + (not waits)
    assert log.close()
