"""The end of a committer: what is lost, who is told, what close overtakes and is written still."""

from threading import Thread

import pytest
from tests.log.committers import (
    NOTICE,
    Reports,
    committer_of,
    made,
    prepared,
    types,
    until,
    waiting,
)
from tests.log.errors import raised, said
from tests.log.faults import WAIT_S, FillingDisk
from tests.log.processes import descriptors

from thence.errors import LogFull, WriterClosed
from thence.log.write.batch import PendingAppend, WaiterCount


@pytest.fixture(autouse=True)
def identity(tmp_path):
    prepared(tmp_path)


class OvertakenDisk(FillingDisk):
    """Calls `overtake` once, within the next put that reserves a number for its event."""

    overtake = None

    def write_at(self, descriptor, offset, data):
        written = super().write_at(descriptor, offset, data)
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            overtake()
        return written


def refusing(tmp_path, report=None, **options):
    """Make a committer on a disk that takes nothing any more, once something else was written."""
    disk, reports = OvertakenDisk(), Reports()
    disk.gate.set()
    committer = committer_of(tmp_path, disk, report or reports, **options)
    committer.append(made("first"), WAIT_S)
    disk.lines_left = 0
    return committer, disk, reports


def is_closed_error(error, folder):
    return error.kind is WriterClosed and error.place == str(folder) and "closed" in error.cause


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
        lambda: committer.join(PendingAppend((late,))),
        lambda: committer.put(late),
        lambda: committer.append(late, WAIT_S),
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
    disk.overtake = lambda: closings.append(committer.close(WAIT_S))  # as a signal handler may
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
    class Overtaken(WaiterCount):
        def come(self):
            super().come()
            assert committer.close(WAIT_S) is True

    committer, disk, _ = refusing(tmp_path)
    disk.lines_left = None
    committer.put(made("second"))
    committer.append_all((), WAIT_S)
    committer.callers = Overtaken()
    last = PendingAppend((made("last"),))
    committer.join(last)
    assert last.wait(0)
    assert len(last.result()) == 1
    assert types(tmp_path) == ["first", "second", "last"]


def test_ended_log_is_never_full(tmp_path):
    committer, disk, _ = refusing(tmp_path, bound=1)
    disk.lines_left = None
    item = made()
    assert not committer._is_full()
    committer._queue.append(item)
    assert committer._is_full()
    committer._queue.clear()
    committer.close(WAIT_S)
    committer._queue.append(item)
    assert not committer._is_full()
