"""A path taken for a log: which vocabulary, made or refused."""

import errno
from pathlib import Path

import pytest
from tests.crash.crash_states import worst
from tests.crash.simulated_disk import SimulatedDisk
from tests.events import line_of
from tests.log.faults import FailingDisk
from tests.log.processes import descriptors

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import (
    AppendFailed,
    LogFull,
    LogReadOnly,
    NotALog,
    ReadFailed,
    VocabularyMismatch,
)
from thence.log.disk import OS_DISK, Disk
from thence.log.opening import opened_vocabulary
from thence.replica import Replica


def test_new_log_is_plain_and_keeps_what_it_was_made_for(tmp_path):
    assert thence.open(tmp_path / "a").vocabulary.name == "plain"
    assert thence.open(tmp_path / "b", "sim").vocabulary.name == "sim"
    assert thence.open(tmp_path / "b").vocabulary.name == "sim"
    with pytest.raises(VocabularyMismatch, match="made for sim, not for plain"):
        thence.open(tmp_path / "b", "plain")
    with pytest.raises(VocabularyMismatch, match="no vocabulary 'sym'"):
        thence.open(tmp_path / "b", "sym")


def test_names_above_a_new_log_are_on_the_device_before_it_is_there():
    disk = SimulatedDisk()
    disk.make_folder(Path("/there"))  # by another process that has not synced it yet
    folders = [Path("/there"), Path("/new/logs/one")]
    for folder in folders:
        opened_vocabulary(disk, folder, None, create=True)
    left = SimulatedDisk(worst(disk.moment()))
    assert [left.names(folder / ".thence") for folder in folders] == [["log.json"]] * 2


def test_parent_that_can_not_be_synced_stops_no_log(tmp_path):
    class Disk(FailingDisk):
        def sync_folder(self, folder):
            if folder == tmp_path:
                super().sync_folder(folder)

    (tmp_path / "a").mkdir()
    for number in (errno.EACCES, errno.EINVAL):
        disk = Disk(sync_folder=OSError(number, "no"))
        assert opened_vocabulary(disk, tmp_path / "a", None, create=True) is PLAIN
        with pytest.raises((LogReadOnly, NotALog)):
            opened_vocabulary(disk, tmp_path / f"b{number}", None, create=True)
    with pytest.raises(AppendFailed):
        opened_vocabulary(
            Disk(sync_folder=OSError(errno.EIO, "no")), tmp_path / "a" / "b", None, create=True
        )


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"event_id":"x","simulation_id":"r"}\n', "sim"),
        (b'garbage\n{"event_id":"x","simulation_id":"r"}\n', "sim"),
        (line_of({"simulation_id": "r"}), "plain"),
        (b'{"event_id":"x","simulation_id":"r"}', "plain"),
        (b"\n\n", "plain"),
    ],
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


def test_file_in_the_way_is_told(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(NotALog, match=r"could not make a log"):
        thence.open(tmp_path / "a")
    with pytest.raises(NotALog):
        thence.open(tmp_path / "a" / "b")


def test_log_of_a_vocabulary_that_is_not_known_reads_as_plain(tmp_path):
    thence.open(tmp_path)
    path = tmp_path / ".thence/log.json"
    path.write_bytes(path.read_bytes().replace(b'"plain"', b'"garden"'))
    log = thence.open(tmp_path)
    assert log.vocabulary.name == "garden"
    assert log.append("t", {"a": 1}).payload == {"a": 1}


def test_folder_that_may_not_be_written_is_read_only(tmp_path):
    denied = FailingDisk()
    denied.faults["write"] = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(LogReadOnly, match="Permission denied"):
        opened_vocabulary(denied, tmp_path / "new", None, create=True)
    (tmp_path / "events.jsonl").write_bytes(line_of())
    assert opened_vocabulary(denied, tmp_path, None, create=True) is PLAIN


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, LogFull),
        (errno.EDQUOT, LogFull),
        (errno.EROFS, LogReadOnly),
        (errno.EIO, AppendFailed),
        (errno.ENOTDIR, NotALog),
    ],
)
def test_log_that_can_not_be_made_is_told_by_what_the_disk_answered(tmp_path, code, kind):
    failing = FailingDisk(write=OSError(code, "as said"))
    with pytest.raises(kind, match=r"could not make a log in .*: as said") as caught:
        opened_vocabulary(failing, tmp_path / "new", None, create=True)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is failing.faults["write"]


def test_log_without_a_folder_of_its_own_is_read_on_a_full_disk_and_says_why_it_takes_no_more(
    tmp_path,
):
    (tmp_path / "events.jsonl").write_bytes(line_of())
    failing = FailingDisk(write=OSError(errno.ENOSPC, "full"))
    found = opened_vocabulary(failing, tmp_path, None, create=True)
    with Replica(tmp_path, found, disk=failing) as log:
        assert len(list(log.read())) == 1
        for _ in range(2):
            with pytest.raises(LogFull, match=r"could not make a log in"):
                log.append("refused")
        failing.faults.clear()
        assert log.append("taken").seq == 1


def test_disk_that_can_not_read_is_told_as_such(tmp_path):
    class Unreadable(Disk):
        def __init__(self, code):
            self.error = OSError(code, "as said")

        def read_at(self, descriptor, offset, size):
            raise self.error

    thence.open(tmp_path).append("a")
    for code, hint in ((errno.EIO, "try again"), (errno.EACCES, "right to read")):
        log = Replica(tmp_path, PLAIN, disk=Unreadable(code))
        for reading in (log.verify, log.events, lambda log=log: log.get("x")):
            with pytest.raises(ReadFailed, match=r"could not read the log .*: as said") as caught:
                reading()
            assert hint in caught.value.hint
        with pytest.raises(ReadFailed):
            opened_vocabulary(Unreadable(code), tmp_path, None, create=True)
        assert descriptors(tmp_path) == []
