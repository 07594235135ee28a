"""An event looked for from the end: found in every file, durable when it is returned."""

import errno

import pytest
from tests.disks import CountingDisk, LyingDisk
from tests.events import event_of, line_of
from tests.log.processes import descriptors

from thence.core.values.vocabulary import PLAIN
from thence.errors import EventNotFound, OutcomeUnknown, ReadFailed
from thence.log.read.reader import durable_event
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.disk_errors import DiskError
from thence.replica import Log


def found(folder, event_id, disk=OS_DISK):
    return durable_event(disk, folder, PLAIN, event_id)


def test_event_is_found_in_any_segment(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=800) as log:
        events = [log.append("t", {"n": n}) for n in range(12)]
    assert len(list(tmp_path.glob("*.jsonl"))) >= 3
    for event in events:
        assert found(tmp_path, event.event_id) == event
    for folder, event_id in ((tmp_path, "0" * 26), (tmp_path / "gone", events[0].event_id)):
        with pytest.raises(EventNotFound):
            found(folder, event_id)


def test_event_of_another_process_is_synced(tmp_path):
    line = line_of()
    foreign = b'{"event_id":"x y","a":1}\n'
    (tmp_path / "events.jsonl").write_bytes(line + foreign + line_of()[:-1])
    disk = CountingDisk()
    assert found(tmp_path, event_of(line).event_id, disk) == event_of(line)
    assert disk.calls == ["sync"]
    assert found(tmp_path, "x y", disk) == event_of(foreign)
    lying = LyingDisk()
    lying.is_broken = True
    with pytest.raises(OutcomeUnknown, match="make sure of the event"):
        found(tmp_path, "x y", lying)


def test_unfinished_and_damaged_lines_are_not_found(tmp_path):
    whole, unfinished, damaged = line_of(), line_of()[:-1], line_of({"a": 1})
    damaged = damaged.replace(b'"a":1', b'"a":2')
    (tmp_path / "events.jsonl").write_bytes(whole + damaged + unfinished)
    for line in (unfinished, damaged):
        with pytest.raises(EventNotFound):
            found(tmp_path, line[13:39].decode())
    assert found(tmp_path, whole[13:39].decode()) == event_of(whole)


def test_rotation_while_looking_hides_nothing(tmp_path):
    log = Log(tmp_path, PLAIN, max_file_size=100)
    event = log.append("t")

    class Rotating(Disk):
        has_rotated = False

        def open_read(self, path):
            if path.name == "events.jsonl" and not self.has_rotated:
                self.has_rotated = True
                log.append("t")
                log.append("t")
            return super().open_read(path)

        def names(self, folder):
            if not self.has_rotated:
                raise DiskError(errno.EIO, "listed before the current file is open")
            return super().names(folder)

    assert found(tmp_path, event.event_id, Rotating()) == event
    log.close()


@pytest.mark.parametrize("call", ["open_read", "names", "read_at", "file_id", "close"])
def test_event_that_can_not_be_looked_for_is_told_and_leaves_no_descriptor(tmp_path, call):
    class Failing(Disk):
        pass

    def failing(disk, *arguments):
        if call == "close":
            Disk.close(disk, *arguments)
        raise DiskError(errno.EIO, "device error")

    setattr(Failing, call, failing)
    (tmp_path / "events.jsonl").write_bytes(line_of())
    with pytest.raises((ReadFailed, OutcomeUnknown, EventNotFound)):
        found(tmp_path, "0" * 26, Failing())
    assert descriptors(tmp_path) == []
