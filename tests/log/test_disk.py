"""The operating system as the log sees it."""

import errno
import os

import pytest
from tests.log.faults import FailingDisk, ShortDisk

from thence.log.storage.disk import OS_DISK, host_name, machine_id, noise_bits, user_name
from thence.log.storage.disk_errors import DiskError


def test_new_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(OSError, match="space"):
        FailingDisk(write=DiskError(errno.ENOSPC, "no space")).write_new(path, b"abc")
    assert not path.exists()
    ShortDisk(1).write_new(path, b"abc")
    assert path.read_bytes() == b"abc"
    with pytest.raises(DiskError):
        OS_DISK.write_new(path, b"x")
    assert path.read_bytes() == b"abc"


def test_absent_things_are_told_without_an_error(tmp_path):
    gone = tmp_path / "gone"
    (tmp_path / "file").write_bytes(b"x")
    assert OS_DISK.path_id(gone) is None
    assert OS_DISK.names(gone) == []
    assert not OS_DISK.is_folder(gone)
    assert not OS_DISK.is_folder(tmp_path / "file" / "below")
    assert OS_DISK.read_whole(gone) is None
    assert OS_DISK.read_whole(tmp_path / "file" / "below") is None
    assert OS_DISK.read_whole(tmp_path / "file") == b"x"


def test_second_descriptor_can_not_take_a_lock_that_is_held(tmp_path):
    first, second = (OS_DISK.open_lock(tmp_path / "lock") for _ in range(2))
    assert OS_DISK.try_lock(first)
    assert not OS_DISK.try_lock(second)
    assert OS_DISK.lock_holder(second) == f"process {os.getpid()}"
    OS_DISK.unlock(first)
    assert OS_DISK.lock_holder(first) == "another process"
    assert OS_DISK.try_lock(second)
    for descriptor in (first, second):
        OS_DISK.close(descriptor)


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


def test_process_knows_its_host_user_and_noise():
    assert host_name()
    assert user_name() == str(os.getuid())
    assert machine_id() == machine_id()
    assert 0 <= noise_bits(40) < 2**40
