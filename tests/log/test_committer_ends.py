"""The end of a committer: what is lost, who is told, what close overtakes and is written still."""

from threading import Thread

import pytest
from tests.events import drafted, new_id
from tests.log.errors import raised, said
from tests.log.faults import WAIT_S, FillingDisk
from tests.log.processes import descriptors
from tests.log.test_committer import Told, prepared, types
from tests.log.test_committer_bounds import until

from thence.core.values.vocabulary import PLAIN
from thence.errors import LogFull, WriterClosed
from thence.log.write import committer as module
from thence.log.write.batch import Callers, Latch, Waiting
from thence.replica import Log


@pytest.fixture(autouse=True)
def identity(tmp_path, monkeypatch):
    prepared(tmp_path)
    monkeypatch.setattr(module, "RETRY_S", 10 * WAIT_S)  # the test says when it is tried again


def refusing(tmp_path, tell=None, **options):
    """Open a log on a disk that takes nothing any more, once something else was written."""
    disk, told = FillingDisk(), Told()
    disk.gate.set()
    log = Log(tmp_path, PLAIN, disk=disk, tell=tell or told, **options)
    log.append("first")
    disk.lines_left = 0
    return log, disk, told


def closed_words(folder):
    return (
        WriterClosed,
        "could not append to",
        str(folder),
        "it was closed before",
        "open it again, or close it later",
    )


def test_what_is_refused_until_the_end_is_lost_with_its_reason(tmp_path):
    log, _, told = refusing(tmp_path)
    ids = [log.emit("t")]
    told.wait_for("refused")
    assert log.close(timeout_s=0) is False
    log._appender.committer._thread.join(WAIT_S)
    (lost,) = told.all("lost")
    assert lost == {"event_ids": ids, "error": lost["error"]}
    assert said(lost["error"])[::3] == (LogFull, "as said")
    assert log._appender.committer.failed_count == 1
    assert log._appender.committer.queued == 0
    assert log.close() is False
    assert len(told.all("lost")) == 1
    assert types(tmp_path) == ["first"]


def test_close_has_what_is_refused_tried_again_until_its_time_is_over(tmp_path):
    log, disk, told = refusing(tmp_path)
    tries = []

    class TriedAgain(Latch):
        """Lets the thread try at once; the disk has room at the second try after the close."""

        def wait(self, timeout_s):
            if log._appender.committer._is_closed:
                tries.append(timeout_s)
                if len(tries) == 3:
                    disk.lines_left = None
                return True
            return super().wait(timeout_s)

    log._appender.committer._wakeup = TriedAgain()
    log.emit("t")
    told.wait_for("refused")
    assert log.close(timeout_s=WAIT_S) is True
    assert tries == [module.RETRY_S] * len(tries)
    assert len(tries) >= 3
    assert told.all("lost") == []
    assert types(tmp_path) == ["first", "log.write_failed", "t"]


def test_log_without_a_thread_closes_in_its_callers_and_starts_none_after(tmp_path):
    log, disk, _ = refusing(tmp_path)
    disk.lines_left = None
    assert descriptors(tmp_path) != []
    assert log.close() is True
    assert descriptors(tmp_path) == []
    log._appender.committer.start()
    assert log._appender.committer._thread is None
    assert log.close() is True
    late = drafted(new_id(), "late", {})
    for use in (
        lambda: log._appender.committer.join(Waiting((late,))),
        lambda: log._appender.committer.put(late),
        lambda: log._appender.committer.append(late, WAIT_S),
    ):
        assert raised(use) == closed_words(tmp_path)


def test_close_in_the_thread_itself_leaves_it_to_drain(tmp_path):
    closings = []

    def tell(word, facts):
        told(word, facts)
        if word == "refused":
            closings.append(log.close(timeout_s=WAIT_S))
            disk.lines_left = None

    told = Told()
    log, disk, _ = refusing(tmp_path, tell)
    log.emit("t")
    told.wait_for("resumed")
    log._appender.committer._thread.join(WAIT_S)
    assert closings == [False]
    assert log.close() is True
    assert types(tmp_path) == ["first", "log.write_failed", "t"]


def test_producer_that_waits_at_the_end_is_told_that_the_log_is_closed(tmp_path):
    log, _, told = refusing(tmp_path, max_queue_size=1)
    log.emit("kept")
    told.wait_for("refused")
    until(lambda: log._appender.committer._held == 1)
    found = []
    thread = Thread(target=lambda: found.append(raised(lambda: log.emit("waits"))))
    thread.start()
    until(lambda: not log._appender.committer._wait_queue.is_empty)
    log.close(timeout_s=0)
    thread.join(WAIT_S)
    assert found == [closed_words(tmp_path)]
    log._appender.committer._thread.join(WAIT_S)
    assert log._appender.committer.failed_count == 1
    assert types(tmp_path) == ["first"]


@pytest.mark.parametrize("has_thread", [False, True])
def test_put_that_close_overtakes_is_written_by_who_put_it(tmp_path, has_thread):
    log, disk, _ = refusing(tmp_path, max_queue_size=1)
    disk.lines_left = None
    if has_thread:
        log.emit("second")
        log.flush()
    opening = log._appender.writer.opening
    next_number = opening.next_number

    def overtaken():
        opening.next_number = next_number
        assert log.close() is True
        return next_number()

    opening.next_number = overtaken  # as by a signal handler that closes
    log._appender.committer.put(drafted(new_id(), "last", {}))
    assert types(tmp_path) == ["first", *["second"] * has_thread, "last"]
    assert log._appender.committer.queued == 0
    assert raised(lambda: log.emit("late")) == closed_words(tmp_path)


def test_append_that_close_overtakes_is_written_by_who_appends(tmp_path):
    class Overtaken(Callers):
        def come(self):
            super().come()
            assert log.close() is True

    log, disk, _ = refusing(tmp_path)
    disk.lines_left = None
    log.emit("second")
    log.flush()
    log._appender.committer.callers = Overtaken()
    waiting = Waiting((drafted(new_id(), "last", {}),))
    log._appender.committer.join(waiting)
    assert waiting.wait(0)
    assert len(waiting.result()) == 1
    assert types(tmp_path) == ["first", "second", "last"]


def test_ended_log_is_never_full(tmp_path):
    log, disk, _ = refusing(tmp_path, max_queue_size=1)
    disk.lines_left = None
    committer = log._appender.committer
    item = drafted(new_id(), "t", {})
    assert not committer._is_full()
    committer._queue.append(item)
    assert committer._is_full()
    committer._queue.clear()
    log.close()
    committer._queue.append(item)
    assert not committer._is_full()
