"""A fork in the middle: parent and child both go on, nothing is doubled, nothing is lost."""

import errno
import multiprocessing.util
import os
from multiprocessing import get_context

import pytest
from tests.disks import Scripted
from tests.log.committers import held, until
from tests.log.faults import WAIT_S
from tests.log.processes import descriptors, in_child, lines

import thence
from thence.core.codec import numbers
from thence.core.ids import is_ulid
from thence.core.vocabulary import PLAIN
from thence.errors import LogBusy
from thence.log.files.disk import DiskError
from thence.log.files.process_state import at_worker_end, new_id
from thence.log.open import Log

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def told(folder):
    found = list(thence.open(folder).read())
    assert thence.open(folder).verify().findings == ()
    assert [numbers(line)[1] for line in lines(folder)] == list(range(1, len(found) + 1))
    return [event.event_type for event in found]


@pytest.mark.promise("W9")
def test_fork_leaves_the_append_lock_with_the_parent_that_holds_it(tmp_path):
    disk = Scripted()
    log = Log(tmp_path, PLAIN, disk=disk)
    log.append("before")
    disk.hold("write")
    log.emit("held")
    assert disk.arrived.wait(WAIT_S)
    in_child(lambda: None)
    with pytest.raises(LogBusy, match=f"process {os.getpid()}"):
        thence.open(tmp_path).append("other", timeout_s=0.05)
    disk.gate.set()
    assert log.close()
    assert told(tmp_path) == ["before", "held"]


@pytest.mark.usefixtures("prepared")
def test_child_counts_anew_and_leaves_the_files_of_its_parent_open(tmp_path):
    log, disk, _ = held(tmp_path, max_queue_size=1, on_full="drop")
    for _ in range(3):
        log.emit("emitted")
    assert log.dropped_count == 2

    def child():
        assert log.dropped_count == 0
        assert str(tmp_path / "events.jsonl") not in descriptors(tmp_path)
        assert log.close()

    in_child(child)
    disk.gate.set()
    assert str(tmp_path / "events.jsonl") in descriptors(tmp_path)
    assert log.dropped_count == 2
    log.append("after")
    assert log.close()
    assert told(tmp_path) == ["first", "emitted", "log.events_dropped", "after"]


@pytest.mark.usefixtures("prepared")
def test_child_does_not_count_what_failed_in_its_parent(tmp_path):
    log = Log(tmp_path, PLAIN, disk=Scripted(sync_data=DiskError(errno.EIO, "device error")))
    log.emit("lost")
    until(lambda: log._committer._written)  # and not synced

    def child():
        assert log.close()
        assert log.failed_count == 0

    in_child(child)
    assert not log.close()
    assert log.failed_count == 1


def test_log_closed_before_a_fork_stays_closed_in_the_child(tmp_path):
    log = thence.open(tmp_path)
    log.close()

    def child():
        with pytest.raises(thence.errors.WriterClosed):
            log.append("t")

    in_child(child)


@pytest.mark.promise("E3")
def test_ids_of_a_child_are_others_than_those_of_its_parent():
    new_id()
    reading, writing = os.pipe()
    in_child(lambda: os.write(writing, "".join(new_id() for _ in range(100)).encode()))
    os.close(writing)
    text = os.read(reading, 10_000).decode()
    os.close(reading)
    theirs = [text[start : start + 26] for start in range(0, len(text), 26)]
    mine = [new_id() for _ in range(100)]
    assert len({*theirs, *mine}) == 200
    assert all(map(is_ulid, theirs))
    assert theirs == sorted(theirs)
    assert {event_id[-8:] for event_id in theirs}.isdisjoint({i[-8:] for i in mine})


class Told:
    """What a process closes at its end: writes to a pipe how long it may take."""

    def __init__(self, pipe):
        self.pipe = pipe

    def close(self, timeout_s):
        os.write(self.pipe, f"closed within {timeout_s:g} s".encode())
        return True


@pytest.mark.parametrize("is_dropped", [False, True])
def test_process_that_multiprocessing_started_closes_its_logs_at_its_end(is_dropped):
    reading, writing = os.pipe()

    def work():
        log = Told(writing)
        at_worker_end(log)
        if not is_dropped:
            kept.append(log)

    kept: list[Told] = []
    child = get_context("fork").Process(target=work)
    child.start()
    child.join(WAIT_S)
    os.close(writing)
    assert child.exitcode == 0
    assert os.read(reading, 100) == (b"" if is_dropped else b"closed within 10 s")
    os.close(reading)


def test_process_that_multiprocessing_did_not_start_leaves_that_to_its_own_end():
    log = Told(-1)
    before = len(multiprocessing.util._finalizer_registry)
    at_worker_end(log)
    assert len(multiprocessing.util._finalizer_registry) == before
