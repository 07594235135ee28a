"""A path taken for a log: which vocabulary, made or refused."""

import errno
import json
from pathlib import Path

import pytest
from tests.codes import raises_code
from tests.crash.crash_states import worst
from tests.crash.simulated_disk import SimulatedDisk
from tests.disks import Scripted, raising
from tests.events import line_of
from tests.log.errors import raised
from tests.log.processes import descriptors

import thence
from thence.core.vocabulary import PLAIN, SIM, WORK
from thence.errors import InvalidEvent, LogFull, LogReadOnly, NotALog, VocabularyMismatch
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.open import Log, LogSettings
from thence.log.read.opening import known_info, opened_vocabulary


def test_names_above_a_new_log_are_on_the_device_before_it_is_there():
    disk = SimulatedDisk()
    folders = [Path("/new/logs/one"), Path("/there")]
    opened_vocabulary(disk, folders[0], None, create=True)
    disk.make_folder(folders[1])  # by another process that has not synced it yet
    opened_vocabulary(disk, folders[1], None, create=True)
    left = SimulatedDisk(worst(disk.moment()))
    assert [left.names(folder / ".thence") for folder in folders] == [["log.json"]] * 2


def test_parent_that_can_not_be_synced_stops_no_log(tmp_path):
    def refusing(number):
        """Returns a disk that syncs this folder alone, and is refused that."""
        disk = Scripted()
        error = DiskError(number, "no")
        disk.instead["sync_folder"] = lambda _, folder: folder == tmp_path and raising(error)()
        return disk

    (tmp_path / "a").mkdir()
    for number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL):
        disk = refusing(number)
        assert opened_vocabulary(disk, tmp_path / "a", None, create=True).name == PLAIN.name
        with pytest.raises((LogReadOnly, NotALog)):
            opened_vocabulary(disk, tmp_path / f"b{number}", None, create=True)
    with raises_code("append_failed"):
        opened_vocabulary(refusing(errno.EIO), tmp_path / "a" / "b", None, create=True)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"event_id":"x","simulation_id":"r"}\n', "sim"),
        (b'garbage\n{"event_id":"x","simulation_id":"r"}\n', "sim"),
        (line_of({"simulation_id": "r"}), "plain"),
        (b'{"event_id":"x","simulation_id":"r"}', "plain"),
        (b"\n\n", "plain"),
    ],
    ids=["marked", "behind garbage", "in the payload", "unfinished", "blank"],
)
def test_log_without_its_own_file_is_known_by_its_first_whole_event(tmp_path, line, name):
    (tmp_path / "events.jsonl").write_bytes(line)
    assert opened_vocabulary(OS_DISK, tmp_path, None, create=False).name == name


def test_opening_without_create_makes_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(NotALog, match=r"no events\.jsonl"):
            thence.open(path, create=False)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "events.jsonl").write_bytes(line_of())
    log = thence.open(tmp_path, create=False)
    assert len(list(log.read())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
    assert log.append("t").seq == 1
    assert (tmp_path / ".thence/log.json").exists()


def test_log_in_a_folder_that_may_not_be_written_is_read(tmp_path):
    denied = Scripted(write=DiskError(errno.EACCES, "Permission denied"))
    (tmp_path / "events.jsonl").write_bytes(line_of())
    assert opened_vocabulary(denied, tmp_path, None, create=True).name == PLAIN.name


def test_log_without_a_folder_of_its_own_is_read_on_a_full_disk_and_says_why_it_takes_no_more(
    tmp_path,
):
    (tmp_path / "events.jsonl").write_bytes(line_of())
    failing = Scripted(write=DiskError(errno.ENOSPC, "full"))
    found = opened_vocabulary(failing, tmp_path, None, create=True)
    with Log(tmp_path, found, disk=failing) as log:
        assert len(list(log.read())) == 1
        for _ in range(2):
            with pytest.raises(LogFull, match=r"could not make a log in"):
                log.append("refused")
        failing.error.clear()
        assert log.append("taken").seq == 1


def test_disk_that_can_not_read_is_told_as_such(tmp_path):
    thence.open(tmp_path).append("a")
    for code, hint in ((errno.EIO, "try again"), (errno.EACCES, "right to read")):
        disk = Scripted(read_at=DiskError(code, "as said"))
        log = Log(tmp_path, PLAIN, disk=disk)
        for reading in (log.verify, log.events, lambda log=log: log.get("x")):
            with raises_code("read_failed", match=r"could not read the log .*: as said") as caught:
                reading()
            assert hint in caught.value.hint
        with raises_code("read_failed"):
            opened_vocabulary(disk, tmp_path, None, create=True)
        assert descriptors(tmp_path) == []


MAKING = "could not make a log in"


def test_log_that_is_not_there_or_not_meant_is_told_with_what_to_do(tmp_path):
    gone, garden = tmp_path / "gone", tmp_path / "garden"
    found = raised(lambda: thence.open(gone, create=False))
    assert (found.kind, found.place) == (NotALog, str(gone))
    assert "thence.open(path) makes a new log" in found.hint
    thence.open(garden, "sim")
    found = raised(lambda: thence.open(garden, "plain"))
    assert (found.kind, found.place) == (VocabularyMismatch, str(garden))
    assert "vocabulary='sim'" in found.hint
    found = raised(lambda: thence.open(garden, "sym"))
    assert found.kind is VocabularyMismatch
    assert "plain, sim, work" in found.hint


@pytest.mark.promise("P1")
def test_vocabulary_is_one_of_three_by_name_or_constant(tmp_path):
    for constant in (PLAIN, SIM, WORK):
        for way, vocabulary in (("name", constant.name), ("constant", constant)):
            with thence.open(tmp_path / f"{way}-{constant.name}", vocabulary) as log:
                assert log.vocabulary.name == constant.name


def test_log_of_a_vocabulary_that_is_not_known_is_not_opened_as_another(tmp_path):
    thence.open(tmp_path).close()
    info = tmp_path / ".thence/log.json"
    info.write_text(info.read_text().replace("plain", "garden"))
    for vocabulary in (None, "plain"):
        with pytest.raises(VocabularyMismatch, match="'garden'") as caught:
            thence.open(tmp_path, vocabulary)
        assert "newer thence" in caught.value.hint
    assert json.loads(info.read_text())["vocabulary"] == "garden"


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (errno.EACCES, LogReadOnly, "choose a folder that this user may write to"),
        (errno.EPERM, LogReadOnly, "choose a folder that this user may write to"),
        (errno.EROFS, LogReadOnly, "choose a folder that this user may write to"),
        (errno.ENOSPC, LogFull, "free some space, then try again"),
        (errno.EDQUOT, LogFull, "free some space, then try again"),
        (errno.EFBIG, LogFull, "free some space, then try again"),
        (errno.ENOTDIR, NotALog, "choose a folder that this user may write to"),
        (errno.ENAMETOOLONG, NotALog, "choose a folder that this user may write to"),
        (errno.EIO, "append_failed", "check the device, then try again"),
        (None, "append_failed", "check the device, then try again"),
    ],
)
def test_log_that_can_not_be_made_says_where_why_and_what_to_do(tmp_path, code, kind, hint):
    failing = Scripted(write=DiskError(code, "as said") if code else DiskError("as said"))
    new = tmp_path / "new"
    found = raised(lambda: opened_vocabulary(failing, new, None, create=True))
    assert found == (kind, MAKING, str(new), "as said", hint)


@pytest.mark.parametrize(
    ("on_full", "queue_size", "file_size"),
    [("wait", 1, 1), ("block", 0, 1), ("drop", 1, 0), ("block", -1, -1)],
)
def test_bounds_that_no_log_can_have_make_none(tmp_path, on_full, queue_size, file_size):
    bounds = {"on_full": on_full, "max_queue_size": queue_size, "max_file_size": file_size}
    with pytest.raises(InvalidEvent, match="at least 1, on_full block or drop"):
        thence.open(tmp_path / "new", **bounds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("on_full", ["block", "drop"])
def test_smallest_bounds_are_taken(tmp_path, on_full):
    with Log(
        tmp_path, PLAIN, LogSettings(max_queue_size=1, max_file_size=1, on_full=on_full)
    ) as log:
        assert [log.append("t").seq for _ in range(3)] == [1, 2, 3]


def test_what_a_log_says_of_itself_is_read_or_refused_as_reading(tmp_path):
    assert known_info(OS_DISK, tmp_path) is None
    thence.open(tmp_path, "sim")
    assert known_info(OS_DISK, tmp_path).vocabulary == "sim"
    broken = Scripted(open_read=DiskError(errno.EIO, "as said"))
    found = raised(lambda: known_info(broken, tmp_path))
    assert found[:4] == ("read_failed", "could not read the log", str(tmp_path), "as said")
