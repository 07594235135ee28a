"""A sync that fails: what it left in doubt stands in the next segment, synced, or nothing has."""

import asyncio
import errno
import os
from pathlib import Path
from threading import Event as Signal

import pytest
from tests.codes import raises_code
from tests.crash.crash_states import worst
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import log_of
from tests.crash.traces import opened as opened_on
from tests.disks import Scripted
from tests.events import drafted
from tests.log.committers import until
from tests.log.faults import WAIT_S

import thence
from thence.core.redaction import Redaction, digests
from thence.core.vocabulary import PLAIN
from thence.errors import OutcomeUnknown
from thence.log.files.disk import OS_DISK, Disk, DiskError
from thence.log.files.segment import older_names
from thence.log.open import Log, LogSettings
from thence.log.write import writer

BROKEN = DiskError(errno.EIO, "device error")


class OnceBrokenDisk(Disk):
    """Fails so many syncs, notes what each sync found in the file."""

    def __init__(self):
        self.failures = 0
        self.synced = []

    def sync_data(self, descriptor):
        if self.failures:
            self.failures -= 1
            raise BROKEN
        super().sync_data(descriptor)
        self.synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))


def lines_of(path):
    return path.read_bytes().splitlines()


def types(folder):
    return [event.event_type for event in thence.open(folder, create=False).read()]


def opened(folder, disk, **options):
    told = []
    return Log(
        folder, PLAIN, LogSettings(report=lambda *fact: told.append(fact), **options), disk=disk
    ), told


@pytest.mark.promise("W10")
def test_segment_whose_sync_failed_is_set_aside_and_its_unsafe_end_copied(tmp_path):
    disk = OnceBrokenDisk()
    log, told = opened(tmp_path, disk)
    with log:
        first = log.append("a")
        disk.failures = 1
        second = log.append("b")
        third = log.append("c")
        (older,) = older_names(OS_DISK, tmp_path)
        assert lines_of(tmp_path / older) == [first.line, second.line]
        kept, notice, after = lines_of(tmp_path / "events.jsonl")
        assert (kept, after) == (second.line, third.line)
        assert b"log.segment_suspect" in notice
        assert log.verify().ok
    current = (tmp_path / "events.jsonl").stat()
    assert disk.synced[-1] == (current.st_ino, current.st_size)
    assert [event.event_type for event in thence.open(tmp_path).read()] == [
        "a",
        "b",
        "log.segment_suspect",
        "c",
    ]
    (facts,) = (e.payload for e in log.read() if e.event_type == "log.segment_suspect")
    at = len(first.line) + 1
    assert dict(facts) == {"file": older, "offset": at, "bytes": len(second.line) + 1}
    assert told == [("rotated", {"file": older}), ("suspect", {**facts, "error": BROKEN})]


def test_another_whose_sync_failed_too_writes_its_own_events_again(tmp_path):
    class Turns(OnceBrokenDisk):
        other = None

        def sync_data(self, descriptor):
            if self.other is not None:  # it fails, and sets the segment aside, before us
                other, self.other = self.other, None
                theirs.failures = 1
                other.append("theirs")
                self.failures = 1
            super().sync_data(descriptor)

    ours, theirs = Turns(), OnceBrokenDisk()
    log, _ = opened(tmp_path, ours)
    with log, opened(tmp_path, theirs)[0] as other:
        other.append("a")
        log.append("b")
        ours.other = other
        log.append("ours")
        assert len(older_names(OS_DISK, tmp_path)) == 2
    # each tells what it wrote again
    assert types(tmp_path) == ["a", "b", "ours", "theirs", *["log.segment_suspect"] * 2]
    assert thence.open(tmp_path).verify().ok
    assert b'"event_type":"ours"' in b"\n".join(lines_of(tmp_path / "events.jsonl"))


@pytest.mark.promise("W10")
def test_appends_are_refused_while_nothing_makes_a_failed_sync_good_and_no_longer(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("a")
        disk.error["sync_data"] = BROKEN
        with pytest.raises(OutcomeUnknown, match="device error") as caught:
            log.append("b")
        assert caught.value.recoverable
        assert caught.value.place == str(tmp_path / "events.jsonl")
        before = sorted(tmp_path.rglob("*"))
        for _ in range(2):
            with raises_code("append_failed", match="device error"):
                log.append("refused")
        assert sorted(tmp_path.rglob("*")) == before  # no try leaves anything
        disk.error.clear()
        log.append("c")
        assert log.verify().ok
    suspect, failed = "log.segment_suspect", "log.write_failed"
    assert types(tmp_path) == ["a", "b", suspect, failed, "c"]


@pytest.mark.promise("P1")
@pytest.mark.parametrize("call", ["sync_data", "rename", "open_append", "sync_folder"])
def test_retry_makes_an_unknown_event_durable_once(tmp_path, call):
    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("a")
        disk.error |= {"sync_data": BROKEN, call: BROKEN}
        with pytest.raises(OutcomeUnknown) as caught:
            log.append("b", {"n": 1})
        with pytest.raises(OutcomeUnknown) as again:
            caught.value.retry()
        disk.error.clear()
        event = again.value.retry()
        assert event.payload["n"] == 1
        assert caught.value.retry() == event
    found = [e for e in thence.open(tmp_path).read() if e.event_type == "b"]
    assert found == [event]
    assert event.line in lines_of(tmp_path / "events.jsonl")
    assert thence.open(tmp_path).verify().ok


def test_sync_that_fails_at_a_rotation_sets_the_segment_aside(tmp_path):
    disk = OnceBrokenDisk()
    log, _ = opened(tmp_path, disk, max_file_size=10)
    with log:
        log.append("a")
        disk.failures = 1
        log.append("b")
        assert log.verify().ok
    assert types(tmp_path) == ["a", "log.segment_suspect", "b"]


def test_sync_that_fails_after_another_amid_the_writing_is_made_good(tmp_path, monkeypatch):
    class LastBroken(OnceBrokenDisk):
        def sync_data(self, descriptor):
            super().sync_data(descriptor)
            self.failures = int(len(self.synced) == 2)

    monkeypatch.setattr(writer, "UNSYNCED_BYTES_MAX", 10)
    log, told = opened(tmp_path, LastBroken())
    with log:
        log.append("a")
        log._committer._writer.write([drafted("b", "b", {})])
        last = log.append("c")  # with a sync before it
    assert "suspect" in [word for word, _ in told]
    assert last.line in lines_of(tmp_path / "events.jsonl")


def test_rotation_on_a_device_that_syncs_nothing_ends(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=10), disk=disk) as log:
        log.append("a")
        disk.error["sync_data"] = BROKEN
        with raises_code("append_failed", match="device error"):
            log.append("b")
        assert older_names(OS_DISK, tmp_path) == []


def test_segment_that_a_redaction_wrote_anew_after_a_failed_sync_is_not_in_doubt(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log, thence.open(tmp_path) as other:
        first = log.append("a", {"n": 1})
        disk.error["sync_data"] = BROKEN
        with pytest.raises(OutcomeUnknown) as caught:
            log.append("b")
        disk.error.clear()
        line = digests(first.line).line.hex()
        assert other.redactions.take_back([Redaction(first.event_id, line)]) == 1
        event = caught.value.retry()
        log.append("c")
        assert log.verify().ok
    assert older_names(OS_DISK, tmp_path) == []
    assert lines_of(tmp_path / "events.jsonl")[1] == event.line


def test_half_a_line_stays_in_the_suspect_segment(tmp_path):
    class BrokenAfterTheCut(OnceBrokenDisk):
        def truncate(self, descriptor, size):
            super().truncate(descriptor, size)
            self.failures = int(size > 0)  # that of the segment, not of the copy of its tail

    log, _ = opened(tmp_path, BrokenAfterTheCut())
    with log:
        log.append("a")
        with Path(tmp_path, "events.jsonl").open("ab") as file:
            file.write(b'{"event_id":"01J')
        log.append("b")
    assert types(tmp_path)[0] == "a"
    assert types(tmp_path)[-1] == "b"
    assert {"log.recovered", "log.segment_suspect"} <= set(types(tmp_path))


def test_segment_whose_sync_failed_twice_is_copied_on_before_a_retry_trusts_it(tmp_path):
    disk = OnceBrokenDisk()
    log, _ = opened(tmp_path, disk)
    with log:
        log.append("a")
        disk.failures = 2  # that of the next segment too, which gets no name then
        with pytest.raises(OutcomeUnknown) as caught:
            log.append("b")
        tried = (tmp_path / "events.jsonl").stat().st_ino
        assert older_names(OS_DISK, tmp_path) == []
        disk.synced.clear()
        event = caught.value.retry()
    current = tmp_path / "events.jsonl"
    assert event.line in lines_of(current)
    assert current.stat().st_ino != tried
    assert disk.synced[-1] == (current.stat().st_ino, current.stat().st_size)
    assert list((tmp_path / ".thence/open").iterdir()) == []
    with thence.open(tmp_path) as again:
        assert again.append("c").seq == 4  # after the notice
        assert again.verify().ok


@pytest.mark.parametrize("call", ["file_id", "write_all", "read_at"])
def test_numbers_go_on_behind_a_copy_that_broke_off_and_was_retried(tmp_path, call):
    class Breaking(OnceBrokenDisk):
        breaks = False

    def breaking(disk, *arguments):
        if disk.breaks and disk.failures == 0:
            raise BROKEN
        return getattr(Disk, call)(disk, *arguments)

    setattr(Breaking, call, breaking)
    disk = Breaking()
    log, _ = opened(tmp_path, disk)
    with log:
        log.append("a")
        disk.failures, disk.breaks = 1, True
        with pytest.raises(OutcomeUnknown) as caught:
            log.append_many([{"event_type": "b"}, {"event_type": "c"}])
        disk.breaks = False
        made = caught.value.retry()
        assert [event.event_type for event in made] == ["b", "c"]
    with thence.open(tmp_path) as again:
        again.append("d")
        assert again.verify().ok
        seqs = sorted(event.seq for event in again.read())
        assert seqs == list(range(1, len(seqs) + 1))


def test_appends_that_share_a_failed_sync_are_retried_each_for_itself(tmp_path):
    class Slow(Scripted):
        arrived, gate = Signal(), Signal()

        def sync_data(self, descriptor):
            if "sync_data" in self.error and not self.arrived.is_set():
                self.arrived.set()
                assert self.gate.wait(WAIT_S)
                Disk.sync_data(self, descriptor)
            else:
                super().sync_data(descriptor)

    async def appended():
        names = "bcd"
        waiting = [asyncio.create_task(log.append_async("t", {"name": n})) for n in names]
        await asyncio.sleep(0)  # all of them stand in the queue
        disk.gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        return list(zip(names, found, strict=True))

    disk = Slow()
    log, _ = opened(tmp_path, disk)
    log.append("a")
    disk.error["sync_data"] = BROKEN
    log.emit("held")
    assert disk.arrived.wait(WAIT_S)
    outcomes = asyncio.run(appended())
    disk.error.clear()
    assert [type(error) for _, error in outcomes] == [OutcomeUnknown] * 3
    for name, error in outcomes:
        assert error.retry().payload["name"] == name
    log.close()
    assert types(tmp_path).count("t") == 3
    assert thence.open(tmp_path).verify().ok


@pytest.mark.parametrize("went_out", ["whole lines and a half one", "all but the last newline"])
def test_queued_events_whose_broken_write_could_not_be_taken_back_stand_once(tmp_path, went_out):
    class HalfWay(Scripted):
        arrived, gate = Signal(), Signal()
        has_broken = False

        def write(self, descriptor, data):
            if b'"n":2' in data and not self.has_broken:
                self.has_broken = True
                self.error |= {"write": BROKEN, "truncate": BROKEN}
                end = len(data) // 2 if went_out.startswith("whole") else len(data) - 1
                return Disk.write(self, descriptor, data[:end])
            return super().write(descriptor, data)

        def sync_data(self, descriptor):
            self.arrived.set()
            assert self.gate.wait(WAIT_S)
            super().sync_data(descriptor)

    disk = HalfWay()
    disk.gate.set()
    log, told = opened(tmp_path, disk)
    log.append("a")
    disk.gate.clear()
    disk.arrived.clear()
    log.emit("t", {"n": 0})
    assert disk.arrived.wait(WAIT_S)
    for number in (1, 2):
        log.emit("t", {"n": number})
    disk.gate.set()
    until(lambda: "refused" in [word for word, _ in told])
    disk.error.clear()
    assert log.close()
    events = list(thence.open(tmp_path).read())
    assert [event.payload["n"] for event in events if event.event_type == "t"] == [0, 1, 2]
    names = [line.split(b'"')[3] for line in lines_of(tmp_path / "events.jsonl")]
    assert len(names) == len(set(names))
    assert thence.open(tmp_path).verify().ok


@pytest.mark.promise("P1")
def test_flush_never_returns_while_what_was_emitted_is_not_synced(tmp_path):
    disk = Scripted()
    log, told = opened(tmp_path, disk)
    log.append("a")
    disk.error["sync_data"] = BROKEN
    with pytest.raises(OutcomeUnknown):
        log.append("b")
    emitted = log.emit("c")
    until(lambda: "refused" in [word for word, _ in told])
    for _ in range(2):
        with raises_code("append_failed", match="device error"):
            log.flush()
    disk.error.clear()
    log.flush()
    assert emitted in [event.event_id for event in log.read()]
    assert log.close()


LONG = {"text": "x" * 5_000}  # more than a page


def test_event_survives_though_a_later_opening_believed_it_safe():
    disk = SimulatedDisk(log_of(1))
    with opened_on(disk) as first, opened_on(disk) as later:
        first.append("a")

        def step_in(call):
            if call == "failed":
                disk.before = None
                later.append("c")

        disk.before, disk.failing = step_in, 1
        acknowledged = first.append("b", LONG)
        left = opened_on(SimulatedDisk(worst(disk.moment())))
        assert acknowledged.line in {event.line for event in left.read()}


def test_sync_hears_of_a_sync_of_another_process_that_failed_before(monkeypatch):
    disk = SimulatedDisk(log_of(1))
    with opened_on(disk) as log, opened_on(disk) as other:
        log.append("a")
        other.append("b")
        made = log._writer
        (line,) = made.write([drafted("written", "worked", {"payload": LONG})]).outcomes
        disk.failing = 1

        def die():
            raise DiskError(errno.EIO, "it dies before it sets the segment aside")

        monkeypatch.setattr(other._writer, "_repair", die)
        with pytest.raises(OutcomeUnknown):
            other.append("c")
        made.sync()
        left = opened_on(SimulatedDisk(worst(disk.moment())))
        assert line[:-1] in {event.line for event in left.read()}


def test_numbers_go_on_behind_a_segment_whose_copy_was_cut_short(tmp_path):
    with thence.open(tmp_path) as log:
        lines = [log.append("t").line + b"\n" for _ in range(3)]
    path = tmp_path / "events.jsonl"
    path.rename(tmp_path / "events_2026-11-20_10-00-00-000000.jsonl")
    path.write_bytes(lines[1] + lines[2][:50])
    with thence.open(tmp_path) as log:
        assert log.append("next").seq == 5  # behind the notice of the recovery
