"""What every `Disk` does, the real one first: the cellar of the log is built on it.

A test module takes these tests in with a fixture `disk` and a fixture `place`, an empty
folder on that disk.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from thence.log.files.disk import Disk, DiskError


def content(disk: Disk, path) -> bytes:
    found = disk.read_whole(path)
    assert found is not None
    return found


@contextmanager
def refused(number: int) -> Iterator[None]:
    """Expect that the disk refuses a call, with an errno."""
    with pytest.raises(DiskError) as raised:
        yield
    assert raised.value.errno == number


class DiskContract:
    """The tests themselves."""

    def test_appends_go_behind_what_is_there(self, disk, place):
        first, second = (disk.open_append(place / "a") for _ in range(2))
        assert disk.write(first, b"one") == 3
        assert disk.write(second, b"two") == 3
        disk.write_all(first, b"three")
        assert disk.read_at(second, 0, 100) == b"onetwothree"
        assert disk.read_at(second, 3, 3) == b"two"
        assert disk.read_at(second, 100, 3) == b""
        for descriptor in (first, second):
            disk.sync_data(descriptor)
            disk.close(descriptor)
        assert content(disk, place / "a") == b"onetwothree"

    def test_a_lock_file_is_written_in_place(self, disk, place):
        disk.write_new(place / "lock", b"12345")
        first, second = (disk.open_lock(place / "lock") for _ in range(2))
        disk.write(first, b"ab")
        disk.write(first, b"c")
        disk.write(second, b"x")
        assert content(disk, place / "lock") == b"xbc45"
        for descriptor in (first, second):
            disk.close(descriptor)

    def test_a_file_is_written_over_in_place(self, disk, place):
        opened = disk.open_lock(place / "a")
        assert disk.write_at(opened, 0, bytearray(b"first")) == 5
        assert disk.write_at(opened, 2, b"1") == 1
        assert content(disk, place / "a") == b"fi1st"
        disk.close(opened)

    def test_a_file_has_so_many_names(self, disk, place):
        opened = disk.open_lock(place / "a")
        disk.link(place / "a", place / "b")
        assert disk.links(opened) == 2
        disk.unlink(place / "b")
        disk.rename(place / "a", place / "c")
        assert disk.links(opened) == 1
        disk.unlink(place / "c")
        assert disk.links(opened) == 0
        disk.close(opened)

    def test_there_is_room_on_a_filesystem(self, disk, place):
        assert disk.room(place)[0] > 0
        assert disk.filesystem(place)

    def test_generation_stays_with_the_file(self, disk, place):
        disk.write_new(place / "a", b"1")
        opened = disk.open_read(place / "a")
        before = disk.generation(opened)
        disk.rename(place / "a", place / "b")
        assert disk.generation(opened) == before
        disk.close(opened)

    def test_a_cut_takes_the_end_away_and_lengthens_with_zeros(self, disk, place):
        opened = disk.open_append(place / "a")
        disk.write(opened, b"123456")
        disk.truncate(opened, 2)
        disk.write(opened, b"x")
        assert content(disk, place / "a") == b"12x"
        disk.truncate(opened, 5)
        assert content(disk, place / "a") == b"12x\0\0"
        disk.close(opened)

    def test_a_descriptor_outlives_the_names_of_its_file(self, disk, place):
        opened = disk.open_append(place / "a")
        disk.write(opened, b"1")
        before, _ = disk.file_id(opened)
        disk.rename(place / "a", place / "b")
        disk.write(opened, b"2")
        assert content(disk, place / "b") == b"12"
        assert disk.path_id(str(place / "b")) == (before, 2)
        disk.unlink(place / "b")
        disk.write(opened, b"3")
        assert disk.read_at(opened, 0, 9) == b"123"
        assert disk.file_id(opened) == (before, 3)
        assert disk.names(place) == []
        fresh = disk.open_append(place / "b")
        assert disk.file_id(fresh)[0] != before
        for descriptor in (opened, fresh):
            disk.close(descriptor)

    def test_a_rename_takes_the_place_of_a_file(self, disk, place):
        for name in "ab":
            disk.write_new(place / name, name.encode())
        opened = disk.open_read(place / "b")
        disk.rename(place / "a", place / "b")
        assert disk.names(place) == ["b"]
        assert content(disk, place / "b") == b"a"
        assert disk.read_at(opened, 0, 9) == b"b"
        disk.close(opened)

    def test_a_link_is_a_second_name_of_one_file(self, disk, place):
        disk.write_new(place / "a", b"1")
        disk.link(place / "a", place / "b")
        assert disk.path_id(str(place / "a")) == disk.path_id(str(place / "b"))
        with refused(errno.EEXIST):
            disk.link(place / "a", place / "b")
        disk.rename(place / "a", place / "b")
        assert disk.names(place) == ["a", "b"]
        disk.unlink(place / "a")
        assert content(disk, place / "b") == b"1"

    def test_a_file_can_move_to_another_folder(self, disk, place):
        disk.write_new(place / "a", b"1")
        disk.make_folder(place / "deep")
        disk.rename(place / "a", place / "deep" / "b")
        assert disk.names(place) == ["deep"]
        assert content(disk, place / "deep" / "b") == b"1"

    def test_new_file_is_refused_where_one_stands(self, disk, place):
        disk.write_new(place / "a", b"1")
        with refused(errno.EEXIST):
            disk.write_new(place / "a", b"2")
        assert content(disk, place / "a") == b"1"

    def test_folders_are_made_with_their_parents(self, disk, place):
        deep = place / "b" / "c"
        disk.make_folder(deep)
        disk.make_folder(deep)
        disk.write_new(deep / "a", b"1")
        assert disk.is_folder(deep)
        assert not disk.is_folder(deep / "a")
        assert disk.names(place) == ["b"]
        assert disk.names(deep) == ["a"]
        disk.sync_folder(deep)
        for taken, number in ((deep / "a", errno.EEXIST), (deep / "a/b", errno.ENOTDIR)):
            with refused(number):
                disk.make_folder(taken)

    def test_what_is_absent_is_told(self, disk, place):
        gone = place / "gone"
        assert disk.path_id(str(gone)) is None
        assert disk.names(gone) == []
        assert not disk.is_folder(gone)
        assert disk.read_whole(gone) is None
        calls = (
            lambda: disk.open_read(gone),
            lambda: disk.open_append(gone / "a"),
            lambda: disk.open_lock(gone / "a"),
            lambda: disk.write_new(gone / "a", b""),
            lambda: disk.rename(gone, place / "b"),
            lambda: disk.link(gone, place / "b"),
            lambda: disk.unlink(gone),
            lambda: disk.sync_folder(gone),
        )
        for call in calls:
            with refused(errno.ENOENT):
                call()
        assert disk.names(place) == []

    def test_a_file_is_no_folder(self, disk, place):
        disk.write_new(place / "a", b"1")
        below = place / "a" / "b"
        assert disk.path_id(str(below)) is None
        assert disk.names(place / "a") == []
        assert disk.read_whole(below) is None
        calls = (
            lambda: disk.open_read(below),
            lambda: disk.open_append(below),
            lambda: disk.write_new(below, b""),
            lambda: disk.sync_folder(place / "a"),
        )
        for call in calls:
            with refused(errno.ENOTDIR):
                call()

    def test_a_folder_is_no_file(self, disk, place):
        disk.make_folder(place / "deep")
        disk.write_new(place / "a", b"1")
        for call in (
            lambda: disk.open_append(place / "deep"),
            lambda: disk.rename(place / "a", place / "deep"),
        ):
            with refused(errno.EISDIR):
                call()
        assert disk.path_id(str(place / "deep")) is not None

    def test_a_descriptor_is_good_for_what_it_was_opened_for(self, disk, place):
        disk.write_new(place / "a", b"1")
        opened = disk.open_read(place / "a")
        for call in (lambda: disk.write(opened, b"2"), lambda: disk.truncate(opened, 0)):
            with pytest.raises(DiskError, match=r"Bad file|Invalid"):
                call()
        disk.close(opened)
        for call in (
            lambda: disk.close(opened),
            lambda: disk.read_at(opened, 0, 1),
            lambda: disk.file_id(opened),
            lambda: disk.sync_data(opened),
        ):
            with pytest.raises(DiskError, match="Bad file") as told:
                call()
            assert told.value.errno == errno.EBADF

    def test_a_lock_belongs_to_the_one_who_opened_it(self, disk, place):
        first, second = (disk.open_lock(place / "lock") for _ in range(2))
        assert disk.try_lock(first)
        assert disk.try_lock(first)
        assert not disk.try_lock(second)
        assert disk.lock_holder(second).startswith("process ")
        disk.unlock(second)
        assert not disk.try_lock(second)
        disk.close(first)
        assert disk.try_lock(second)
        disk.unlock(second)
        assert disk.lock_holder(second) == "another process"
        third = disk.open_lock(place / "lock")
        assert disk.try_lock(third)
        for descriptor in (second, third):
            disk.close(descriptor)

    def test_a_lock_stays_with_the_file_not_with_its_name(self, disk, place):
        first = disk.open_lock(place / "lock")
        assert disk.try_lock(first)
        disk.unlink(place / "lock")
        second = disk.open_lock(place / "lock")
        assert disk.try_lock(second)
        for descriptor in (first, second):
            disk.close(descriptor)
