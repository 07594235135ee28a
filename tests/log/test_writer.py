"""The end of a log: numbers without a gap, rotation without a loss, broken writes taken back."""

import errno

import pytest
from tests.codes import raises_code
from tests.disks import BROKEN, GatedDisk, Scripted, raising
from tests.log.committers import StartedThreads
from tests.log.faults import WAIT_S, ShortDisk, SmallDisk, StruckDisk
from tests.log.processes import descriptors, lines

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import LogFull, OutcomeUnknown, ThenceError
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.segment import older_names
from thence.log.open import Log, LogSettings


@pytest.mark.promise("W8")
def test_full_segment_is_rotated_before_the_next_event(tmp_path):
    disk = GatedDisk()
    disk.gate.set()
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=1_000), disk=disk) as log:
        log.append("t", {"n": 0})
        disk.gate.clear()
        disk.arrived.clear()
        log.emit("t", {"n": 1})
        assert disk.arrived.wait(WAIT_S)
        for number in range(2, 40):  # one batch, for the thread stands in its sync
            log.emit("t", {"n": number})
        disk.gate.set()
        log.flush()
        assert log.current_size == log.current_file.stat().st_size
    names = older_names(OS_DISK, tmp_path)
    assert names == sorted(set(names))
    assert len(names) >= 5
    sizes = [(tmp_path / name).stat().st_size for name in names]
    longest = max(map(len, lines(tmp_path))) + 1
    assert all(1_000 <= size < 1_000 + longest for size in sizes)
    events = list(thence.open(tmp_path).read())
    assert [event.payload["n"] for event in events] == list(range(40))
    assert [event.seq for event in events] == list(range(1, 41))


@pytest.mark.promise("W8")
def test_restart_counts_the_bytes_that_are_there(tmp_path):
    for expected in (0, 0, 0, 0, 1):
        with Log(tmp_path, PLAIN, LogSettings(max_file_size=700)) as log:
            path = tmp_path / "events.jsonl"
            assert log.current_size == (path.stat().st_size if path.exists() else 0)
            log.append("t")
        assert len(older_names(OS_DISK, tmp_path)) == expected
    assert [event.seq for event in thence.open(tmp_path).read()] == [1, 2, 3, 4, 5]


def test_old_segment_is_on_the_device_before_its_name_changes(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=10), disk=disk) as log:
        log.append("a")
        disk.calls.clear()
        log.append("b")
    names = ["sync_data", "names", "rename", "sync_folder", "write", "unlock", "sync_data"]
    assert disk.order(*names)[:7] == names


@pytest.mark.parametrize("bytes_max", [1, 7, 100])
def test_short_writes_are_gone_on_with(tmp_path, bytes_max):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=900), disk=ShortDisk(bytes_max)) as log:
        for number in range(5):
            log.append("t", {"n": number})
    assert [event.payload["n"] for event in thence.open(tmp_path).read()] == [0, 1, 2, 3, 4]
    assert thence.open(tmp_path).verify().findings == ()


def filled(log, text=""):
    """Append until the disk is full; return how many it took, and the error."""
    for number in range(1_000):
        try:
            log.append("t", {"n": number, "text": text})
        except LogFull as error:
            return number, error
    pytest.fail("the disk took everything")


@pytest.mark.promise("W10")
def test_full_disk_refuses_and_leaves_whole_lines_and_goes_on_when_there_is_room(tmp_path):
    disk = SmallDisk(1_000)
    with Log(tmp_path, PLAIN, disk=disk) as log:
        taken, error = filled(log)
        assert error.recoverable
        assert error.cause == "No space left on device"
        assert len(lines(tmp_path)) == taken
        with pytest.raises(LogFull):
            log.append("refused too")
        assert len(lines(tmp_path)) == taken
        disk.room = 10**6
        assert log.append("back").seq == taken + 2
    events = list(thence.open(tmp_path).read())
    (notice,) = [event for event in events if event.event_type == "log.write_failed"]
    assert notice.payload["count"] == 2
    assert "No space left" in notice.payload["reason"]
    assert thence.open(tmp_path).verify().findings == ()


def test_write_that_fails_half_way_is_cut_and_one_that_can_not_be_cut_is_unknown(tmp_path):
    def half(real, descriptor, data):
        disk.instead.clear()
        disk.error["write"] = DiskError(errno.EIO, "device error")
        return real(descriptor, data[:20])

    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.append("a")
        disk.instead["write"] = half
        with raises_code("append_failed", match="device error"):
            log.append("b")
        assert len(lines(tmp_path)) == 1
        disk.instead["write"] = half
        disk.error = {"truncate": DiskError(errno.EIO, "stuck")}
        with pytest.raises(OutcomeUnknown, match="stuck"):
            log.append("c")
        assert not (tmp_path / "events.jsonl").read_bytes().endswith(b"\n")
        disk.error.clear()
        log.append("d")
        assert log.verify().ok
    types = [event.event_type for event in thence.open(tmp_path).read()]
    assert types == ["a", "log.recovered", "log.write_failed", "d"]


@pytest.mark.parametrize("call", ["rename", "open_append", "sync_folder"])
def test_rotation_that_fails_is_tried_again(tmp_path, call):
    disk = Scripted()
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=10), disk=disk) as log:
        log.append("a")
        disk.error[call] = DiskError(errno.ENOSPC, "No space left on device")
        for _ in range(2):
            with pytest.raises(LogFull):
                log.append("b")
        assert len(list(log.read())) == 1
        disk.error.clear()
        log.append("c")
        assert log.verify().findings == ()
    types = [event.event_type for event in thence.open(tmp_path).read()]
    assert types == ["a", "log.write_failed", "c"]


def test_folder_that_could_not_be_synced_is_synced_before_the_next_event(tmp_path):
    disk, synced = Scripted(), []
    disk.after["sync_folder"] = synced.append
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=10), disk=disk) as log:
        log.append("a")
        disk.error["sync_folder"] = DiskError(errno.EIO, "device error")
        with raises_code("append_failed"):
            log.append("b")
        disk.error.clear()
        synced.clear()
        log.append("c")
        assert tmp_path in synced


def test_numbers_go_on_behind_rotated_segments_after_a_restart(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=10)) as log:
        log.append("a")
        log.append("b")
    (tmp_path / "events.jsonl").rename(tmp_path / "events_2999-01-01_00-00-00-000000.jsonl")
    assert thence.open(tmp_path).append("c").seq == 3
    # a clock set back gives names behind the newest all the same
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=10)) as log:
        log.append("d")
        log.append("e")
    assert older_names(OS_DISK, tmp_path)[-1] > "events_2999-01-01_00-00-00-000000.jsonl"
    assert [event.seq for event in thence.open(tmp_path).read()] == [1, 2, 3, 4, 5]


def test_interrupt_at_the_lock_gives_it_back(tmp_path):
    def interrupt(path):
        if path.endswith("lock"):
            disk.before.clear()
            raise KeyboardInterrupt

    disk = Scripted()
    log = Log(tmp_path, PLAIN, disk=disk)
    log.append("a")
    disk.before["path_id"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        log.append("b")
    assert thence.open(tmp_path).append("c", timeout_s=0.01).seq == 2
    assert log.append("d").seq == 3


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("call", ["read_at", "open_read", "file_id", "names", "open_append"])
def test_numbers_that_could_not_be_read_are_read_before_the_next_event(tmp_path, call, files):
    for _ in range(files):
        with Log(tmp_path, PLAIN, LogSettings(max_file_size=10)) as log:
            log.append("t")
    count = files
    for struck in range(1, 100):
        disk = StruckDisk(0, call)
        with Log(tmp_path, PLAIN, disk=disk) as log:
            log.relay(())  # has made what a log needs beside its events
            disk.left = struck
            refused = 0
            try:
                log.append("t")
                count += 1
            except ThenceError as error:
                if error.code != "append_failed":
                    raise
                refused = 1
                count = log.append("t").seq
                assert count == len(list(log.read()))  # behind the notices
        if not refused and disk.left > 0:
            break
    assert struck > 1
    assert thence.open(tmp_path).verify().findings == ()


def test_file_that_can_not_be_closed_is_closed_all_the_same(tmp_path):
    disk, started = Scripted(), StartedThreads()
    with Log(tmp_path, PLAIN, disk=OS_DISK) as log:
        log.append("t")
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=10), disk=disk)
    log.append("t")
    disk.after["close"] = raising(BROKEN)
    log.append("t")
    log.emit("t")
    assert log.close()
    assert not started()
    assert descriptors(tmp_path) == []
    assert [event.seq for event in thence.open(tmp_path).read()] == [1, 2, 3, 4]


@pytest.mark.promise("W8")
def test_segment_that_is_exactly_full_takes_no_more_from_a_lone_append(tmp_path):
    told = []
    with Log(tmp_path, PLAIN) as log:
        size = sum(len(log.append("t", {"n": 0}).line) + 1 for _ in range(3))
    limit = size + len(line_of_next(tmp_path))
    with Log(
        tmp_path, PLAIN, LogSettings(max_file_size=limit, report=lambda *fact: told.append(fact))
    ) as log:
        log.append("t", {"n": 0})
        assert (log.current_size, told) == (limit, [])
        log.append("t", {"n": 0})
        (name,) = older_names(OS_DISK, tmp_path)
        assert (tmp_path / name).stat().st_size == limit
        assert told == [("rotated", {"file": name})]


@pytest.mark.promise("W8")
def test_segment_that_another_writer_filled_exactly_takes_no_more(tmp_path):
    with Log(tmp_path, PLAIN) as log:
        size = sum(len(log.append("t", {"n": 0}).line) + 1 for _ in range(3))
    limit = size + 2 * len(line_of_next(tmp_path))
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=limit)) as log:
        log.append("t", {"n": 0})
        with Log(tmp_path, PLAIN, LogSettings(max_file_size=limit)) as other:
            other.append("t", {"n": 0})
            assert other.current_size == limit
        log.append("t", {"n": 0})
        (name,) = older_names(OS_DISK, tmp_path)
        assert (tmp_path / name).stat().st_size == limit


def line_of_next(folder):
    """Return a line as long as the next one will be: all numbers have one digit."""
    return (folder / "events.jsonl").read_bytes().splitlines(keepends=True)[-1]
