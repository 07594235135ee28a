"""Each word of the state page as docs/formats tells it, read by nobody's code but the test's."""

import os
import struct
from threading import Thread
from zlib import crc32

import pytest
from tests.log.test_state import page_of, taken

from thence.log.disk import OS_DISK, Disk
from thence.log.state import (
    MAGIC,
    PAGE_BYTES,
    SHORT,
    SLOTS,
    StatePage,
    file_word,
    fingerprint,
)

FILE = (7, 8)
OTHER = (7, 9)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".thence").mkdir()
    return tmp_path


def words_of(folder):
    return struct.unpack("=512Q", (folder / ".thence/state").read_bytes())


def test_slot_says_who_it_is_and_how_far_it_has_got(folder):
    page = page_of(folder)
    for _ in range(3):
        page.accept()
    page.commit(1)
    page.intend(2, "first-of-batch")
    page.writing(77, FILE)
    header, slot = words_of(folder)[:3], words_of(folder)[16:26]
    assert header == (int.from_bytes(b"thence\0p", "little"), 1, 0)
    assert slot == (
        os.getpid(),
        OS_DISK.process_start(os.getpid()),
        OS_DISK.process_space(),
        page.mark,
        3,
        1,
        0,
        3,
        77,
        fingerprint(b"first-of-batch") + file_word(FILE) % 2**31 * 2**33,
    )
    assert fingerprint(b"first-of-batch") == crc32(b"first-of-batch") + 2**32


def test_write_that_was_not_announced_says_nothing(folder):
    page = page_of(folder)
    page.intend(2, "a")
    page.writing(10)
    page.writing(99)  # of another, that holds no emitted events
    page.intend(0, "b")
    page.writing(98)
    (slot,) = taken(page)
    assert (slot.target, slot.batch_offset, slot.batch_name) == (2, 10, fingerprint(b"a"))
    assert slot.batch_file == 0
    page.commit(2)
    page.intend(5, "c")
    page.writing(20, FILE)
    (slot,) = taken(page)
    assert (slot.target, slot.batch_offset, slot.batch_name) == (7, 20, fingerprint(b"c"))
    assert slot.batch_file == file_word(FILE) & SHORT


def test_durable_words_are_written_in_turns_and_the_highest_counts(folder):
    page = page_of(folder)
    for offset in (100, 200, 150):
        page.durable(FILE, offset)
    first, second = words_of(folder)[26:29], words_of(folder)[29:32]
    assert (first[:2], second[:2]) == ((file_word(FILE), 150), (file_word(FILE), 200))
    for word, offset, check in (first, second):
        assert check == crc32(struct.pack("=2Q", word, offset))
    assert page.durable_offset(FILE) == 200
    assert page.durable_offset(OTHER) == 0
    page.durable(OTHER, 9)
    assert page.durable_offsets() == {file_word(FILE): 150, file_word(OTHER): 9}


def test_offset_of_a_file_is_believed_as_it_stood_when_it_was_first_seen(folder):
    theirs, page = page_of(folder), page_of(folder)
    theirs.durable(FILE, 100)
    assert page.safe_offset(FILE) == 0
    page.seen(FILE, 100)
    theirs.durable(FILE, 200)
    page.seen(FILE, 200)
    assert page.safe_offset(FILE) == 100
    assert page.durable_offset(FILE) == 200
    page.durable(FILE, 300)
    assert (page.safe_offset(FILE), page.safe_offset(OTHER)) == (300, 0)
    page.seen(FILE, 50, has_grown=True)
    assert page.safe_offset(FILE) == 300
    page.seen(FILE, 300)
    assert page.durable_offset(FILE) == 300
    page.seen(FILE, 299)  # it was cut: what is said beyond is void
    assert (page.safe_offset(FILE), page.durable_offset(FILE)) == (200, 200)


def test_files_of_the_last_two_syncs_are_told_once_both_are_known(folder):
    page = page_of(folder)
    page.durable(FILE, 1)
    (slot,) = taken(page)
    assert slot.synced == frozenset()
    page.durable(OTHER, 1)
    (slot,) = taken(page)
    assert slot.synced == {file_word(FILE), file_word(OTHER)}
    page.durable(OTHER, 2)
    (slot,) = taken(page)
    assert slot.synced == {file_word(OTHER)}


def test_opening_says_of_the_file_that_it_finds_what_is_known_twice(folder):
    theirs, page = page_of(folder), page_of(folder)
    page.seen(FILE, 50)
    assert taken(page)[1].synced == frozenset()
    theirs.durable(FILE, 40)
    page.seen(OTHER, 0)
    page.seen(FILE, 50)
    assert [slot.synced for slot in taken(page)] == [frozenset(), {file_word(FILE)}]
    assert page.durable_offset(FILE) == 40


def test_slot_that_is_left_and_taken_again_goes_on_counting(folder):
    page = page_of(folder)
    page.accept()
    page.accept()
    page.commit(1)
    page.end()
    assert words_of(folder)[16] == 0
    assert (page.is_mapped, page.durable_offset(FILE)) == (False, 0)
    page.begin()
    page.accept()
    (slot,) = taken(page)
    assert (slot.number, slot.accepted, slot.committed) == (0, 3, 1)


def test_settling_frees_the_dead_and_marks_the_page(folder):
    page, *others = [page_of(folder) for _ in range(3)]
    for index in (2, 3):
        page._words[16 * index] = 2**31 + index
    dead = page.dead()
    assert [(slot.number, slot.process) for slot in dead] == [(1, 2**31 + 2), (2, 2**31 + 3)]
    assert [slot.number for slot in page.living()] == [0]
    page.settle(dead[:1])
    assert [slot.number for slot in page.dead()] == [2]
    assert words_of(folder)[2] == page.mark == page.settled_mark != 0
    StatePage(OS_DISK, folder).settle(dead)  # one without a page
    assert [slot.number for slot in page.dead()] == [2]
    assert len(others) == 2


def test_last_slot_is_the_end_of_the_page(folder):
    pages = [page_of(folder) for _ in range(SLOTS)]
    pages[-1].durable(FILE, 5)
    words = words_of(folder)
    assert [words[16 * (n + 1)] for n in range(SLOTS)] == [os.getpid()] * SLOTS
    assert words[506:508] == (file_word(FILE), 5)
    assert not page_of(folder).is_mapped


@pytest.mark.parametrize(
    ("page", "is_read"),
    [
        (struct.pack("=2Q", MAGIC, 1).ljust(PAGE_BYTES, b"\0"), True),
        (struct.pack("=2Q", MAGIC, 2).ljust(PAGE_BYTES, b"\0"), False),
        (struct.pack("=2Q", MAGIC ^ 1, 1).ljust(PAGE_BYTES, b"\0"), False),
        (struct.pack("=2Q", MAGIC, 1).ljust(PAGE_BYTES + 8, b"\0"), False),
        (struct.pack("=2Q", MAGIC, 1).ljust(PAGE_BYTES - 8, b"\0"), False),
        (struct.pack("=2Q", MAGIC, 1), False),
    ],
    ids=["page", "later", "other", "long", "short", "header"],
)
def test_page_is_known_by_its_size_magic_and_version(folder, page, is_read):
    (folder / ".thence/state").write_bytes(page)
    assert StatePage(OS_DISK, folder).look() is is_read


@pytest.mark.parametrize(("boot", "is_known"), [(0, False), (1, True), (2**64 - 1, True)])
def test_mark_tells_boots_and_files_apart_and_is_never_nothing(folder, boot, is_known):
    class Booted(Disk):
        def boot(self):
            return boot

    page = page_of(folder, Booted())
    assert page.is_boot_known is is_known
    assert 0 < page.mark < 2**64
    assert page.mark != page_of(folder).mark


def test_tries_for_a_slot_grow_rarer(folder):
    class Busy(Disk):
        tries = 0

        def try_lock(self, descriptor):
            self.tries += 1
            return False

    disk = Busy()
    page = StatePage(disk, folder)
    found = []
    for _ in range(17):
        page.accept()
        found.append(disk.tries)
    assert found == [1, 2, 2, 3, 3, 3, 3, *[4] * 8, 5, 5]


def test_slot_that_another_left_full_of_words_is_begun_anew(folder):
    page = page_of(folder)
    thread = Thread(target=page.accept)
    page.accept()
    thread.start()
    thread.join()
    page.intend(2, "a")
    page.writing(10)
    page.commit(1)
    page.commit(1)
    (slot,) = taken(page)
    assert (slot.accepted, slot.committed, slot.is_shared, slot.target) == (2, 2, True, 2)
    page.end()
    (slot,) = taken(page_of(folder))
    assert (slot.accepted, slot.committed, slot.is_shared, slot.target) == (0, 0, False, 0)


@pytest.mark.parametrize("threads", [1, 2])
def test_events_accepted_while_there_is_no_slot_are_counted_with_who_gave_them(folder, threads):
    descriptor = OS_DISK.open_lock(folder / ".thence/state")
    assert OS_DISK.try_lock(descriptor)
    page = StatePage(OS_DISK, folder)
    for _ in range(3):
        page.accept()
    for _ in range(threads - 1):
        thread = Thread(target=page.accept)
        thread.start()
        thread.join()
    page.commit(2)
    OS_DISK.close(descriptor)
    page.begin()
    for _ in range(2):
        page.accept()
    (slot,) = taken(page)
    assert (slot.accepted, slot.committed) == (4 + threads, 2)
    assert slot.is_shared is (threads > 1)
    assert words_of(folder)[22] == threads - 1


def test_words_without_a_page_are_kept_in_mind_and_harm_nothing(folder):
    later = struct.pack("=2Q", MAGIC, 2).ljust(PAGE_BYTES, b"\0")
    (folder / ".thence/state").write_bytes(later)
    page = page_of(folder)
    page.begin()
    page.accept()
    page.intend(1, "a")
    page.writing(3)
    page.durable(FILE, 9)
    page.commit(1)
    page.seen(OTHER, 5)
    assert (page.settled_mark, page.durable_offsets(), page.dead(), page.living()) == (
        0,
        {},
        [],
        [],
    )
    assert page.safe_offset(FILE) == 0
    page.end()
    page.accept()
    assert (folder / ".thence/state").read_bytes() == later


def test_start_that_is_not_known_on_one_side_makes_nobody_dead(folder):
    page, _ = page_of(folder), page_of(folder)
    start = page._words[33]
    page._words[33] = 0
    assert page.dead() == []
    page._words[33] = start + 1
    assert [slot.number for slot in page.dead()] == [1]
    page._words[32] = 2**31 - 1  # the highest number that a process may have: nobody's
    page._words[33] = 0
    assert [slot.number for slot in page.dead()] == [1]

    class Untold(Disk):
        def process_start(self, process):
            return 0

    other = StatePage(Untold(), folder)
    assert other.look()
    assert [slot.process for slot in other.living()] == [os.getpid(), 2**31 - 1]
    page._words[32] = 2**31
    assert other.look()
    assert [slot.process for slot in other.dead()] == [2**31]


def test_page_that_is_too_long_is_cut_and_one_of_the_right_size_is_not(folder):
    class Noting(Disk):
        sizes = ()

        def truncate(self, descriptor, size):
            self.sizes = (*self.sizes, size)
            super().truncate(descriptor, size)

    disk = Noting()
    for size, sizes in ((PAGE_BYTES, ()), (PAGE_BYTES + 1, (PAGE_BYTES,)), (5, (PAGE_BYTES,))):
        (folder / ".thence/state").write_bytes(b"x" * size)
        page = page_of(folder, disk)
        assert page.is_mapped
        assert disk.sizes == sizes
        page.end()
        assert len(words_of(folder)) == 512


def test_two_devices_with_one_inode_are_two_files():
    assert file_word((0, 5)) == 5
    assert len({file_word((device, inode)) for device in range(4) for inode in range(4)}) == 16
    assert all(0 <= file_word((2**63, inode)) < 2**64 for inode in (0, 2**64 - 1))


def test_page_that_can_not_be_had_is_tried_for_once(folder):
    class Noting(Disk):
        opened = 0

        def open_lock(self, path):
            self.opened += 1
            raise PermissionError("not yours")

    disk = Noting()
    page = page_of(folder, disk)
    for _ in range(9):
        page.begin()
        page.accept()
        page.commit(1)
    assert disk.opened == 1
