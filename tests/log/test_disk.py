"""The operating system as the log sees it: what is asked for, and what its answers mean."""

import errno
import logging
import os
import subprocess
from pathlib import Path

import pytest
import structlog
from tests.disks import Scripted, answering
from tests.log.faults import ShortDisk
from tests.log.processes import descriptors

import thence
from thence.core.vocabulary import PLAIN, SIM
from thence.log.files.disk import (
    OS_DISK,
    READ_BYTES,
    DiskError,
    cache_folder,
    durability_on,
    noise_bits,
)
from thence.log.open import Log
from thence.sim import EventWriter, MilestoneEvent


def test_new_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(OSError, match="space"):
        Scripted(write=DiskError(errno.ENOSPC, "no space")).write_new(path, b"abc")
    assert not path.exists()
    ShortDisk(1).write_new(path, b"abc")
    assert path.read_bytes() == b"abc"
    with pytest.raises(DiskError):
        OS_DISK.write_new(path, b"x")
    assert path.read_bytes() == b"abc"


def test_descriptors_are_not_inherited_by_programs(tmp_path):
    (tmp_path / "a").touch()
    opened = [
        OS_DISK.open_append(tmp_path / "a"),
        OS_DISK.open_read(tmp_path / "a"),
        OS_DISK.open_lock(tmp_path / "a"),
    ]
    assert not any(map(os.get_inheritable, opened))
    for descriptor in opened:
        OS_DISK.close(descriptor)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_refused_at_once_by_its_path(tmp_path, kind):
    path = tmp_path / "it"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    held = descriptors(tmp_path)
    with pytest.raises(OSError, match="it is not a regular file") as caught:
        OS_DISK.open_read(path)
    assert (caught.value.errno, caught.value.strerror, caught.value.filename) == (
        errno.EINVAL,
        "it is not a regular file",
        str(path),
    )
    assert descriptors(tmp_path) == held


@pytest.mark.parametrize("size", [0, READ_BYTES - 1, READ_BYTES, 2 * READ_BYTES + 1])
def test_file_is_read_whole_whatever_its_size(tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert OS_DISK.read_whole(tmp_path / "a") == data


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 40])
def test_noise_fills_its_bits_and_no_more(bits):
    drawn = [noise_bits(bits) for _ in range(300)]
    assert all(0 <= number < 2**bits for number in drawn)
    assert max(drawn) >= 2 ** (bits - 1)
    assert {number & 1 for number in drawn} == {0, 1}


def test_file_that_has_no_generation_has_none():
    descriptor = os.open("/dev/null", os.O_RDONLY)
    assert OS_DISK.generation(descriptor) == 0
    os.close(descriptor)


def test_what_can_be_made_again_lies_where_this_user_keeps_such(monkeypatch):
    monkeypatch.setenv("HOME", "/people/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/thence")
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # as if it were not set
    assert cache_folder() == Path("/people/ada/.cache/thence")
    monkeypatch.delenv("HOME")
    assert cache_folder() is None


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ([("/", "ext4")], "ext4"),
        ([("/", "ext4"), ("{}", "nfs4")], "nfs4"),
        ([("{}", "nfs4"), ("/", "ext4")], "nfs4"),
        ([("/", "ext4"), ("{}/boX", "xfs")], "xfs"),
        ([("/", "ext4"), ("{}/bo", "xfs")], "ext4"),
        ([("/", "ext4"), ("{}/boX/a", "xfs")], "ext4"),
    ],
    ids=["root", "inner", "inner first", "itself", "neighbour", "below"],
)
def test_mount_that_holds_a_folder_is_found_by_whole_names(tmp_path, mounts, kind):
    folder = tmp_path / "boX"
    folder.mkdir()
    lines = [
        f"36 35 98:0 / {point.format(tmp_path)} rw shared:1 - {named} dev rw"
        for point, named in mounts
    ]
    assert answering(read_whole="\n".join(lines).encode()).filesystem(folder) == kind


def test_table_of_mounts_in_another_form_tells_nothing(tmp_path):
    assert answering(read_whole=b"short - \n36 35 / - ext4\n").filesystem(tmp_path) == ""


def test_room_is_counted_in_bytes_and_files(tmp_path):
    free, files = OS_DISK.room(tmp_path)
    told = subprocess.run(
        ["df", "--output=avail", "-B1", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert abs(free - int(told.stdout.split()[-1])) < 2**33
    assert files is None or files > 0


def test_descriptor_that_is_closed_already_is_let_go_all_the_same(tmp_path):
    descriptor = OS_DISK.open_append(tmp_path / "a")
    held = descriptors(tmp_path)
    OS_DISK.close_quietly(descriptor)
    assert (len(held), descriptors(tmp_path)) == (1, [])
    OS_DISK.close_quietly(descriptor)


def test_name_of_a_mount_is_read_with_its_blanks_and_tabs(tmp_path):
    folder = tmp_path / "a b\tc\\d"
    folder.mkdir()
    point = str(folder).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    lines = ["1 2 98:0 / / rw - ext4 x rw", f"1 2 98:0 / {point} rw - x\u00e9fs x rw - y"]
    disk = answering(read_whole="\n".join(lines).encode())
    assert disk.filesystem(folder) == "x\ufffd\ufffdfs"
    (tmp_path / "by").symlink_to(folder)
    assert disk.filesystem(tmp_path / "by") == "x\ufffd\ufffdfs"
    assert answering(read_whole=None).filesystem(folder) == ""
    assert answering(read_whole=lines[0].encode()).filesystem(folder) == "ext4"


def test_room_of_a_filesystem_that_counts_no_files_is_told_in_bytes_alone():
    assert OS_DISK.room(Path("/proc"))[1] is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_filesystem_is_warned_of_once_and_appending_goes_on(tmp_path, kind, caplog):
    with Log(tmp_path, PLAIN, disk=answering(filesystem=kind)) as log:
        assert log.durability == "unproven"
        for _ in range(3):
            log.append("t")
        log.emit("t")
    (record,) = [record for record in caplog.records if "unproven" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert kind in record.getMessage()
    assert len(list(thence.open(tmp_path).read())) == 4


def test_reading_there_warns_of_nothing(tmp_path, caplog):
    log = Log(tmp_path, SIM, disk=answering(filesystem="nfs"))
    assert list(log.read()) == []
    assert caplog.records == []


def test_simulation_is_warned_in_its_own_records(tmp_path, caplog):
    structlog.reset_defaults()  # another test may have left it configured
    with EventWriter(tmp_path, "run", disk=answering(filesystem="nfs")) as writer:
        writer.emit(MilestoneEvent(simulation_id="run", milestone_type="turn_start"))
    assert any("event_writer_unproven" in record.getMessage() for record in caplog.records)


def test_other_filesystems_are_not_warned_of(tmp_path, caplog):
    hidden = Scripted(filesystem=DiskError(13, "hidden"))
    for disk in (answering(filesystem="ext4"), answering(filesystem="tmpfs"), hidden):
        with Log(tmp_path, PLAIN, disk=disk) as log:
            log.append("t")
    assert caplog.records == []
    assert durability_on("ext4") == durability_on("") == "synced"
    assert durability_on("tmpfs") == "memory"
