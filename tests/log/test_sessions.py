"""The file of a writer session, gone at its end; what it and marks tell of the end of a log."""

import errno
import os
import threading
from pathlib import Path

import pytest
from tests.disks import Scripted
from tests.log.kills import appended, closed_at, session_of, told, zeroed
from tests.log.processes import WAIT_S, descriptors, in_child, started

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import WriterClosed
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.sessions import RECORD_BYTES, WriterSession, session_records
from thence.log.open import Log, LogSettings


def files(folder):
    place = folder / ".thence/open"
    return sorted(place.iterdir()) if place.exists() else []


def open_sessions(folder):
    return descriptors(folder / ".thence/open")


def test_file_is_there_from_the_first_emit_or_append_to_the_close(tmp_path):
    with thence.open(tmp_path) as log:
        assert list(log.read()) == []
        assert files(tmp_path) == []
        log.emit("t")
        (path,) = files(tmp_path)
        assert path.stat().st_size == RECORD_BYTES
        assert session_of(tmp_path).is_held
        log.append("t")
        assert files(tmp_path) == [path]
    assert files(tmp_path) == []
    with thence.open(tmp_path) as log:
        log.append("t")
        assert len(files(tmp_path)) == 1


def test_event_that_is_queued_while_the_queue_is_drained_marks_it_again(tmp_path):
    """A drain may come between the first look of a thread that emits and its event in the queue."""
    session = WriterSession(OS_DISK, tmp_path)
    session.mark_queued()
    session.drain([])
    assert session.mark <= session.drained
    session.mark_queued()
    session.drain(["an event"])
    session.save()
    assert session_of(tmp_path).has_queue
    session.drain([])
    session.save()
    assert not session_of(tmp_path).has_queue
    session.end()


def test_writer_that_waits_for_nobody_goes_on_while_another_thread_makes_the_file(tmp_path):
    """The other thread may be amid a signal handler that waits for this one."""
    disk = Scripted()
    disk.hold("links")
    session = WriterSession(disk, tmp_path)
    (tmp_path / ".thence").mkdir()
    maker = threading.Thread(target=session.mark_queued)
    maker.start()
    assert disk.arrived.wait(WAIT_S)
    session.begin(may_wait=False)
    session.drain([])
    session.save()
    assert [path.stat().st_size for path in files(tmp_path)] == [0]
    disk.gate.set()
    maker.join()
    assert session_of(tmp_path).has_queue
    session.end()


def test_forked_child_has_a_file_of_its_own_and_leaves_that_of_its_parent(tmp_path):
    with thence.open(tmp_path) as log:
        log.emit("t")
        log.flush()
        (parents,) = files(tmp_path)

        def child():
            assert open_sessions(tmp_path) == []
            log.emit("t")
            log.flush()
            assert sum(session.is_held for session in session_records(OS_DISK, tmp_path)) == 2
            log.close()
            assert files(tmp_path) == [parents]

        in_child(child)
        log.emit("t")
        log.flush()
        assert session_of(tmp_path).is_held
        assert not session_of(tmp_path).has_queue
    assert told(tmp_path) == []


def test_parent_that_dies_is_told_though_its_children_live(tmp_path):
    code = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
log.append("t")
log._committer._commits._lock.acquire()
for _ in range(20):
    log.emit("lost")
if os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
log.append("of the child")
print("ready", flush=True)
sys.stdin.readline()
"""
    process = started(code, tmp_path)
    assert process.stdout.readline() == "ready\n"
    process.wait(WAIT_S)  # the child may be quicker than its parent's death
    appended(tmp_path)
    (facts,) = told(tmp_path)
    assert facts["durable_seq"] == 1
    process.stdin.write("\n")
    process.communicate()
    appended(tmp_path)
    assert len(told(tmp_path)) == 1


def test_emit_beside_close_is_written_or_refused_and_leaves_nothing(tmp_path):
    for number in range(60):
        folder = tmp_path / str(number)
        log = thence.open(folder)
        log.emit("first")
        taken, raised = [], []
        ready = threading.Barrier(4)

        def emit(log=log, ready=ready, taken=taken, raised=raised):
            ready.wait()
            try:
                while True:
                    taken.append(log.emit("t"))
            except WriterClosed:
                return
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=emit) for _ in range(3)]
        for thread in threads:
            thread.start()
        ready.wait()
        assert log.close()
        for thread in threads:
            thread.join()
        assert raised == []
        assert files(folder) == []
        assert open_sessions(folder) == []
        there = {event.event_id for event in thence.open(folder).read()}
        assert there >= set(taken)


def test_first_emit_that_close_overtakes_is_written_by_who_emits(tmp_path):
    def close(path):
        if path.parent.name == "open":
            disk.before.clear()
            assert log.close()

    disk = Scripted()
    disk.before["open_lock"] = close
    log = Log(tmp_path, PLAIN, disk=disk)
    log.emit("t")
    assert [event.event_type for event in log.read()] == ["t"]
    assert files(tmp_path) == []
    assert open_sessions(tmp_path) == []
    with pytest.raises(WriterClosed):
        log.emit("late")


def refusing(call: str, code: int) -> Scripted:
    """Returns a disk that refuses one call on the file of a session."""

    def refuse(*arguments: object) -> None:
        place = arguments[-1]
        if not isinstance(place, Path) or "open" in (place.name, place.parent.name):
            raise DiskError(code, os.strerror(code))

    disk = Scripted()
    disk.before[call] = refuse
    return disk


@pytest.mark.parametrize("call", ["open_lock", "make_folder", "write_at", "unlink", "links"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_without_its_file_appending_goes_on(tmp_path, call, code):
    disk = refusing(call, code)
    with Log(tmp_path, PLAIN, disk=disk) as log:
        for _ in range(30):
            log.emit("t")
        log.append("t")
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("t")
    appended(tmp_path)
    events = list(thence.open(tmp_path).read())
    assert [event.event_type for event in events] == [*["t"] * 32, "next"]
    assert files(tmp_path) == []


def test_file_that_was_refused_is_made_when_the_disk_is_well_again(tmp_path):
    disk = refusing("write_at", errno.ENOSPC)
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.emit("t")
        assert files(tmp_path) == []
        disk.before.clear()
        log.flush()
        log.emit("t")
        assert len(files(tmp_path)) == 1


def test_mark_is_left_by_a_clean_close_alone_and_goes_with_a_higher_one(tmp_path):
    def marks():
        return sorted(os.listdir(tmp_path / ".thence/marks"))

    with thence.open(tmp_path) as first, thence.open(tmp_path) as second:
        node_id = first.append("t").node_id
        second.append("t")
        second.close()
        assert marks() == [f"{node_id}-2"]
        first.close()
        assert marks() == [f"{node_id}-1", f"{node_id}-2"]
    (tmp_path / ".thence/marks/notes").touch()
    assert appended(tmp_path).seq == 3
    assert marks() == [f"{node_id}-3", "notes"]


@pytest.mark.parametrize("zeros", [40, None], ids=["its beginning", "all of it"])
def test_zeros_in_the_last_line_are_told_though_all_before_is_marked(tmp_path, zeros):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=1)) as log:
        last = [log.append("t", {"text": "x" * 9_000}) for _ in range(2)][-1]
    data = (tmp_path / "events.jsonl").read_bytes()
    assert data.count(b"\n") == 1
    zeroed(tmp_path, 0, zeros or len(data) - 1)
    closed_at(tmp_path, last.seq - 1)  # the power took the end of the log, and the opening's file
    later = appended(tmp_path)
    assert told(tmp_path) == [{"reason": "unknown end"}]
    (facts,) = told(tmp_path, "torn")
    assert (facts["file"], facts["offset"], facts["bytes"]) == ("events.jsonl", 0, len(data) - 1)
    assert later.seq > last.seq
    assert thence.open(tmp_path).verify().ok
