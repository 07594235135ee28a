"""Events that are written and synced later: nobody waits for the disk, and nothing else changes."""

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from tests.cli.installed import environment
from tests.disks import BROKEN, GatedDisk, Scripted
from tests.log.committers import Reports, committer_of, made, types
from tests.log.faults import WAIT_S
from tests.log.test_failed_sync import OnceBrokenDisk

import thence
from thence.core.new_event import HostEvent
from thence.core.vocabulary import PLAIN
from thence.errors import LogFull, OutcomeUnknown
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.segment import older_names
from thence.log.open import Log, LogSettings
from thence.log.write.batch import AppendFuture


@contextmanager
def opened(folder, disk=OS_DISK, reports=None):
    committer = committer_of(folder, disk, reports)
    try:
        yield committer
    finally:
        assert committer.close(WAIT_S)


def test_written_event_is_in_the_file_before_the_thread_syncs_it_unasked(tmp_path):
    disk = GatedDisk()
    disk.gate.set()
    with opened(tmp_path, disk) as committer:
        committer.append([made("first")], WAIT_S)
        disk.gate.clear()
        disk.arrived.clear()
        committer.write([made("w")], WAIT_S)
        assert types(tmp_path) == ["first", "w"]
        assert disk.arrived.wait(WAIT_S)
        disk.gate.set()


def test_events_of_one_moment_share_a_sync(tmp_path):
    disk = Scripted()
    with opened(tmp_path, disk) as committer:
        committer.append([made("first")], WAIT_S)
        before = disk.count("sync_data")
        for number in range(100):
            committer.write([made(f"w{number}")], WAIT_S)
        committer.append((), WAIT_S)
        assert disk.count("sync_data") - before < 50


def test_flush_and_close_sync_what_was_only_written(tmp_path):
    disk = Scripted()
    with opened(tmp_path, disk) as committer:
        committer.write([made("a")], WAIT_S)
        committer.append((), WAIT_S)
        assert disk.count("sync_data") > 0
        committer.write([made("b")], WAIT_S)
    assert not list((tmp_path / ".thence/open").iterdir()), "the session has ended cleanly"


def test_flush_waits_for_the_sync_of_what_was_only_written(tmp_path):
    disk = GatedDisk()
    disk.gate.set()
    with opened(tmp_path, disk) as committer:
        committer.append([made("first")], WAIT_S)
        disk.gate.clear()
        disk.arrived.clear()
        committer.write([made("w")], WAIT_S)
        assert disk.arrived.wait(WAIT_S)  # the thread syncs
        flush = threading.Thread(target=committer.append, args=((), WAIT_S))
        flush.start()
        flush.join(0.3)
        assert flush.is_alive()
        disk.gate.set()
        flush.join(WAIT_S)
        assert not flush.is_alive()


def test_what_is_written_amid_a_close_is_synced(tmp_path):
    disk = Scripted()
    committer = committer_of(tmp_path, disk)
    committer.append([made("a")], WAIT_S)
    disk.before["write"] = lambda *_: committer._advance(2)  # the thread has ended meanwhile
    committer.write([made("b")], WAIT_S)
    assert not committer._written
    assert types(tmp_path) == ["a", "b"]


def test_what_was_queued_before_is_written_before(tmp_path):
    with opened(tmp_path) as committer:
        for number in range(20):
            committer.put(made(f"q{number}"))
        committer.write([made("w")], WAIT_S)
        committer.put(made("behind"))
    assert types(tmp_path) == [*(f"q{number}" for number in range(20)), "w", "behind"]


def test_write_behind_a_caller_that_has_not_woken_up_yet_takes_the_log_once(tmp_path):
    disk = Scripted()
    with opened(tmp_path, disk) as committer:
        committer.append([made("first")], WAIT_S)
        ahead = AppendFuture((made("ahead"),))
        ahead.thread = 0  # of another thread, which waits and opens the wait of the next
        ahead.is_awaited = True
        waker = threading.Timer(0.2, ahead.wait, (WAIT_S,))
        before = disk.count("unlock")
        committer._queue.append(ahead)
        waker.start()
        committer.write([made("behind")], WAIT_S)
        assert disk.count("unlock") == before + 1
        waker.join()
    assert types(tmp_path) == ["first", "ahead", "behind"]


def test_threads_that_append_durably_meanwhile_get_what_they_wait_for(tmp_path):
    disk, lines = Scripted(), []
    with opened(tmp_path, disk) as committer:

        def append(number):
            before = disk.count("sync_data")
            committer.append([made(f"a{number}")], WAIT_S)
            lines.append(disk.count("sync_data") > before)

        threads = [threading.Thread(target=append, args=(n,)) for n in range(8)]
        for number, thread in enumerate(threads):
            thread.start()
            committer.write([made(f"w{number}")], WAIT_S)
        for thread in threads:
            thread.join()
    assert lines == [True] * 8
    assert sorted(types(tmp_path)) == sorted(f"{w}{n}" for w in "aw" for n in range(8))


def test_sync_that_fails_twice_is_told_and_tried_again(tmp_path):
    disk, reports = OnceBrokenDisk(), Reports()
    committer = committer_of(tmp_path, disk, reports)
    committer.append([made("a")], WAIT_S)
    disk.failures = 2
    b = made("b")
    committer.write([b], WAIT_S)
    reports.wait_for("unsynced")
    assert [facts["event_ids"] for facts in reports.all("unsynced")] == [[b.event_id]]
    committer.append((), WAIT_S)
    assert not committer._written
    assert committer.close(WAIT_S)
    assert types(tmp_path) == ["a", "b", "log.segment_suspect"]


def test_flush_that_syncs_itself_raises_what_failed(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.log.write.committer._GATHER_S", 0.2)
    disk = OnceBrokenDisk()
    committer = committer_of(tmp_path, disk)
    committer.append([made("a")], WAIT_S)
    disk.failures = 2
    committer.write([made("b")], WAIT_S)
    with pytest.raises(OutcomeUnknown):
        committer.append((), WAIT_S)
    assert committer.close(WAIT_S)


def test_write_whose_outcome_is_unknown_can_be_retried(tmp_path):
    disk = Scripted()
    log = Log(tmp_path, PLAIN, LogSettings(report=Reports()), disk=disk)
    log.append("a")
    disk.error |= {"write": BROKEN, "file_id": BROKEN}  # nobody knows what was written
    with pytest.raises(OutcomeUnknown) as caught:
        log._host_append([HostEvent("b")], is_synced=False)
    disk.error.clear()
    (event,) = caught.value.retry()
    assert event.event_type == "b"
    assert event.event_id in {stored.event_id for stored in log.read()}
    log.close()


def test_segment_that_is_closed_while_it_is_synced_stays_whole(tmp_path):
    disk = GatedDisk()
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=2_000, report=Reports()), disk=disk)
    disk.gate.set()
    log.append("a")
    disk.gate.clear()
    disk.arrived.clear()
    log._host_append([HostEvent("b")], is_synced=False)
    assert disk.arrived.wait(WAIT_S)
    thread = threading.Thread(target=log.append_many, args=([{"event_type": "c"}] * 50,))
    thread.start()
    disk.gate.set()
    thread.join()
    log.close()
    assert len(older_names(OS_DISK, tmp_path)) > 1
    assert types(tmp_path) == ["a", "b", *["c"] * 50]


def test_written_event_that_the_disk_refuses_raises_and_is_told(tmp_path):
    disk = Scripted(write=DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with opened(tmp_path, disk) as committer:
        with pytest.raises(LogFull):
            committer.write([made("a")], WAIT_S)
        disk.error["write"] = None
        committer.write([made("b")], WAIT_S)
    assert types(tmp_path) == ["log.write_failed", "b"]


KILLED = """
import asyncio, os, signal, thence
from opentelemetry.sdk.trace import TracerProvider
from thence.otel import SpanProcessor
provider = TracerProvider()
provider.add_span_processor(SpanProcessor(thence.open("log")))
tracer = provider.get_tracer("test")
async def tool(number):
    with tracer.start_as_current_span(f"tool {number}"):
        await asyncio.sleep(0.01)
        if number == 19:
            os.kill(os.getpid(), signal.SIGKILL)
async def main():
    await asyncio.gather(*(tool(number) for number in range(20)))
asyncio.run(main())
"""


@pytest.mark.promise("A4b")
def test_kill_keeps_what_a_loop_has_written(tmp_path):
    run = {"cwd": tmp_path, "env": environment(), "timeout": WAIT_S}
    assert subprocess.run([sys.executable, "-c", KILLED], **run).returncode == -signal.SIGKILL
    with thence.open(tmp_path / "log") as log:
        events = log.events()
        assert sum(one.begins for one in events) == 20
        assert sum(one.ends is not None for one in events) == 19
        assert len(log.end().still_open) == 1
        assert log.verify().findings == ()
