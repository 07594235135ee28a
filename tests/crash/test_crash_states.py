"""What the simulated power cut may leave of one file, of one folder, of a whole disk."""

import random
from pathlib import Path

from tests.crash.crash_states import (
    SECTOR_BYTES,
    Contents,
    Crashes,
    folder_states,
    worst,
)
from tests.crash.images import PAGE_BYTES, Folder, Image
from tests.crash.simulated_disk import SimulatedDisk

PLACE = Path("/")
OLD, NEW = b"o" * 600, b"n" * 1000


def contents(*versions: bytes, block_bytes: int = SECTOR_BYTES) -> set[bytes]:
    found = Contents(versions, block_bytes)
    listed = list(found.every())
    assert len(listed) == found.count
    chance = random.Random(1)
    assert {found.some(chance) for _ in range(2_000)} <= set(listed)
    return set(listed)


def after(play, *, start=()) -> SimulatedDisk:
    """Play on a disk that holds some files, all of it synced."""
    disk = SimulatedDisk()
    for name, data in start:
        disk.write_new(PLACE / name, data)
    disk.sync_folder(PLACE)
    play(disk)
    return disk


def images(disk: SimulatedDisk) -> list[Image]:
    return list(Crashes(disk.moment()).every())


def names(image: Image) -> set[str]:
    return set(image.folders["/"][1])


def data(image: Image, name: str) -> bytes:
    return image.files[image.folders["/"][1][name]]


def test_unsynced_write_is_dropped_whole_torn_or_zero_filled():
    found = contents(OLD, OLD + NEW)
    assert OLD in found
    assert OLD + NEW in found
    assert OLD + bytes(1000) in found  # the size without the data
    assert OLD + NEW[:424] in found  # torn at the end of the second sector
    assert OLD + NEW[:424] + bytes(512) in found
    assert OLD + bytes(424) + NEW[424:936] + bytes(64) in found  # the middle sector alone
    assert all(content.startswith(OLD) for content in found)


def test_pages_of_4_kib_go_as_a_whole():
    later = bytes([1]) * 4096 + bytes([2]) * 4096
    found = contents(b"", later, block_bytes=PAGE_BYTES)
    assert found == {b"", later[:4096], bytes(4096), later} | {
        first + second
        for first in (later[:4096], bytes(4096))
        for second in (later[4096:], bytes(4096))
    }
    assert found <= contents(b"", later)


def test_writes_come_in_any_order():
    found = contents(b"a" * 512, b"a" * 512 + b"b" * 512, b"a" * 512 + b"b" * 512 + b"c" * 512)
    assert b"a" * 512 + bytes(512) + b"c" * 512 in found


def test_lost_cut_leaves_what_was_cut():
    assert contents(OLD, OLD[:10]) >= {OLD, OLD[:10]}
    assert OLD[:10] + b"x" in contents(OLD, OLD[:10], OLD[:10] + b"x")


def test_name_waits_for_those_before_it_on_the_same_name():
    made, renamed = (("draft", 7),), (("draft", None), ("name", 7))
    states = folder_states(Folder({}, (made, renamed), {"name": 7}))
    assert states == [{}, {"draft": 7}, {"name": 7}]


def test_changes_of_other_names_come_in_any_order():
    folder = Folder({"old": 1}, ((("a", 2),), (("old", None),)), {"a": 2})
    assert sorted(map(sorted, folder_states(folder))) == [[], ["a"], ["a", "old"], ["old"]]


def test_rename_shows_the_old_name_or_the_new_one():
    disk = after(lambda d: d.rename(PLACE / "a", PLACE / "b"), start=[("a", b"1"), ("b", b"2")])
    found = {(*sorted(names(image)), data(image, "b")) for image in images(disk)}
    assert found == {("a", "b", b"2"), ("b", b"1")}


def test_synced_file_may_miss_its_name_and_a_folder_its_all():
    def play(disk):
        disk.make_folder(PLACE / "deep")
        disk.write_new(PLACE / "deep" / "a", b"1")
        disk.sync_folder(PLACE / "deep")

    disk = after(play)
    assert {frozenset(names(image)) for image in images(disk)} == {frozenset(), frozenset({"deep"})}
    disk.sync_folder(PLACE)
    (image,) = images(disk)
    assert SimulatedDisk(image).read_whole(PLACE / "deep" / "a") == b"1"


def test_sync_of_the_data_covers_no_name_and_sync_of_the_folder_no_data():
    def play(disk):
        descriptor = disk.open_append(PLACE / "a")
        disk.write(descriptor, b"1")
        disk.sync_data(descriptor)

    assert names(worst(after(play).moment())) == set()

    def named(disk):
        disk.write(disk.open_append(PLACE / "a"), b"1")
        disk.sync_folder(PLACE)

    assert {data(image, "a") for image in images(after(named))} == {b"", b"1", b"\0"}


def test_file_that_nobody_syncs_is_old_new_or_zeros():
    disk = SimulatedDisk(is_recording=True)
    descriptor = disk.open_lock(PLACE / "noted")
    for text in (b"first", b"later", b"final"):
        disk.write_at(descriptor, 0, text)
    states = {tuple(image.files.values()) for image in Crashes(disk.moments[-1]).every()}
    contents = {state[0] for state in states if state}
    assert {b"", b"final", bytes(5)} <= contents <= {b"", b"final", bytes(5)}
