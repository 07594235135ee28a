"""The state page: who is alive, what was counted, and nothing of it ever needed."""

import errno
import os
import random
import threading

import pytest
from msgspec.structs import replace
from tests.log.faults import FailingDisk
from tests.log.processes import in_child, ran, started

import thence
from thence.core.vocabulary import PLAIN
from thence.log.disk import OS_DISK, Disk
from thence.log.state import PAGE_BYTES, SLOTS, StatePage
from thence.log.system_call import DiskError
from thence.replica import Replica

FILE = (7, 8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".thence").mkdir()
    return tmp_path


def page_of(folder, disk=OS_DISK):
    page = StatePage(disk, folder)
    page.begin()
    return page


def taken(page):
    return [slot for slot, _, _ in page._taken()]


def test_page_is_made_of_real_bytes_and_counts(folder):
    page = page_of(folder)
    path = folder / ".thence/state"
    assert path.stat().st_size == PAGE_BYTES
    assert path.stat().st_blocks * 512 >= PAGE_BYTES
    for _ in range(5):
        page.accept()
    page.commit(3)
    (slot,) = taken(page_of(folder))[:1]
    assert (slot.process, slot.accepted, slot.committed) == (os.getpid(), 5, 3)
    assert not slot.is_shared
    assert page_of(folder).dead() == []


def test_accepting_from_a_second_thread_is_noted(folder):
    page = page_of(folder)
    page.accept()
    thread = threading.Thread(target=page.accept)
    thread.start()
    thread.join()
    (slot,) = taken(page)
    assert (slot.accepted, slot.is_shared) == (2, True)


def test_slot_is_freed_at_the_end_and_what_is_durable_stays(folder):
    page = page_of(folder)
    page.durable(FILE, 100)
    page.durable(FILE, 200)
    page.end()
    other = page_of(folder)
    assert len(taken(other)) == 1
    assert other.durable_offset(FILE) == 200
    assert other.durable_offset((7, 9)) == 0
    other.seen(FILE, 150)
    assert other.durable_offset(FILE) == 100
    other.seen(FILE, 0)
    assert other.durable_offset(FILE) == 0


def test_file_that_was_cut_is_not_durable_beyond_its_end(tmp_path):
    path = tmp_path / "events.jsonl"
    with thence.open(tmp_path) as log:
        log.append("a")
        half = path.stat().st_size
        log.append("b")
        page, file = log.writer.page, OS_DISK.path_id(str(path))[0]
        assert page.durable_offset(file) == path.stat().st_size
        os.truncate(path, half)
        log.writer._settle()
        assert page.durable_offset(file) <= half


@pytest.mark.parametrize("word", range(10, 16))
def test_torn_or_changed_durable_word_counts_as_unknown_and_never_as_more(folder, word):
    page = page_of(folder)
    page.durable(FILE, 100)
    page.durable(FILE, 200)
    page._words[16 + word] ^= 1 << 40
    assert page.durable_offset(FILE) == (200 if word < 13 else 100)


def test_slots_may_be_used_up_and_one_that_comes_free_is_taken_later(folder):
    pages = [page_of(folder) for _ in range(40)]
    assert [page.is_mapped for page in pages] == [True] * SLOTS + [False] * (40 - SLOTS)
    late = pages[-1]
    for _ in range(5):
        late.accept()
    pages[3].end()
    while not late.is_mapped:
        late.accept()
        late.commit(1)
    slot = next(slot for slot in taken(late) if slot.number == 3)
    assert slot.accepted >= 6
    assert slot.accepted - slot.committed == 5


def test_forty_openings_append_with_or_without_a_slot(tmp_path):
    logs = [thence.open(tmp_path) for _ in range(40)]
    for log in logs:
        log.emit("t")
        log.append("t")
    for log in logs:
        assert log.close()
    assert [event.seq for event in thence.open(tmp_path).read()] == list(range(1, 81))


def test_busy_page_is_taken_at_a_later_accept(folder):
    page_of(folder).end()
    descriptor = OS_DISK.open_lock(folder / ".thence/state")
    assert OS_DISK.try_lock(descriptor)
    page = StatePage(OS_DISK, folder)
    for _ in range(3):
        page.accept()
    assert not page.is_mapped
    OS_DISK.close(descriptor)
    page.accept()
    assert page.is_mapped
    assert taken(page)[0].accepted == 4


class Unmapped(Disk):
    def map_words(self, descriptor, count):
        raise OSError(errno.ENODEV, "no mapping here")


class Unopened(Disk):
    def open_lock(self, path):
        if path.name == "state":
            raise PermissionError(errno.EACCES, "not yours")
        return super().open_lock(path)


def test_page_that_was_busy_while_events_were_emitted_is_taken_when_the_log_is_opened(folder):
    descriptor = OS_DISK.open_lock(folder / ".thence/state")
    assert OS_DISK.try_lock(descriptor)
    page = StatePage(OS_DISK, folder)
    for _ in range(12):
        page.accept()
    OS_DISK.close(descriptor)
    page.begin()
    assert page.is_mapped
    (slot,) = page.living()
    assert slot.accepted == 12
    page.end()


@pytest.mark.parametrize("disk", [Unmapped(), Unopened()])
def test_without_a_page_appending_goes_on(tmp_path, disk):
    for _ in range(2):
        with Replica(tmp_path, PLAIN, disk=disk) as log:
            log.emit("t")
            log.append("t")
    events = list(thence.open(tmp_path).read())
    assert [event.event_type for event in events] == ["t"] * 4


def test_page_for_which_the_disk_is_full_is_none(folder):
    page = page_of(folder, FailingDisk(write=OSError(errno.ENOSPC, "full")))
    assert not page.is_mapped
    page.accept()
    page.commit(1)
    page.durable(FILE, 1)
    assert page.durable_offset(FILE) == 0
    page.end()


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"\0" * PAGE_BYTES, b"x" * PAGE_BYTES, b"thence", random.Random(9).randbytes(9_000)],
    ids=["empty", "zeros", "text", "short", "noise"],
)
def test_spoilt_page_is_made_anew(folder, spoilt):
    path = folder / ".thence/state"
    path.write_bytes(spoilt)
    page = page_of(folder)
    assert page.is_mapped
    assert page.settled_mark == 0
    assert path.stat().st_size == PAGE_BYTES


def test_page_of_a_later_version_is_left_alone(folder):
    page = page_of(folder)
    page._words[1] = 2
    page.end()
    before = (folder / ".thence/state").read_bytes()
    assert not page_of(folder).is_mapped
    assert (folder / ".thence/state").read_bytes() == before


def test_forked_child_takes_a_slot_of_its_own(tmp_path):
    with thence.open(tmp_path) as log:
        log.emit("t")
        log.flush()
        page = log.writer.page

        def child():
            assert not page.is_mapped
            log.emit("t")
            log.flush()
            assert sorted(slot.process for slot in taken(page)) == sorted(
                [os.getpid(), os.getppid()]
            )
            (own,) = [slot for slot in taken(page) if slot.process == os.getpid()]
            assert (own.accepted, own.committed) == (1, 1)
            log.close()

        in_child(child)
        log.emit("t")
        log.flush()
        (slot,) = taken(page)
        assert (slot.process, slot.accepted, slot.committed) == (os.getpid(), 2, 2)


HOLD = """
import os, sys, pathlib
from thence.log.disk import OS_DISK
from thence.log.state import StatePage
page = StatePage(OS_DISK, pathlib.Path(sys.argv[1]))
page.accept()
print(page.is_mapped, flush=True)
sys.stdin.readline()
os._exit(0)
"""


def test_dead_is_who_has_ended_waited_for_or_not(folder):
    page = page_of(folder)
    child = started(HOLD, folder)
    assert child.stdout.readline() == "True\n"
    assert page.dead() == []
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.read() == ""  # it has ended, and nobody has waited for it
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    (slot,) = page.dead()
    assert (slot.process, slot.accepted, slot.committed) == (child.pid, 1, 0)
    child.communicate()
    assert page.dead() == [slot]
    page.settle([slot])
    assert page.dead() == []
    assert page.settled_mark == page.mark


def test_process_of_the_same_number_that_began_later_is_another(folder):
    ran(HOLD.replace("sys.stdin.readline()", "pass"), folder)
    page = page_of(folder)
    (slot,) = page.dead()
    base = (slot.number + 1) * 16
    page._words[base] = os.getpid()
    assert page.dead() == [replace(slot, process=os.getpid())]
    page._words[base + 1] = OS_DISK.process_start(os.getpid())
    assert page.dead() == []


def test_another_boot_means_dead_and_another_namespace_can_not_be_judged(folder):
    page, other = page_of(folder), page_of(folder)
    ended = 2 * 16
    page._words[ended] = 2**22 + 1  # no process has this number
    page._words[ended + 2] ^= 1
    assert page.dead() == []
    page._words[ended + 2] ^= 1
    assert len(page.dead()) == 1
    page._words[ended] = os.getpid()
    page._words[ended + 3] ^= 1
    assert len(page.dead()) == 1
    assert other.is_mapped


@pytest.mark.parametrize("process", [2**31, 2**63])
def test_number_that_no_process_can_have_is_dead(folder, process):
    page = page_of(folder)
    page_of(folder)
    page._words[2 * 16] = process
    assert [slot.process for slot in page.dead()] == [process]


def test_what_the_system_says_of_processes(tmp_path):
    assert OS_DISK.process_start(os.getpid()) > 0
    assert OS_DISK.process_start(2**22 + 1) is None
    assert OS_DISK.boot() > 0
    assert OS_DISK.process_space() > 0

    class Silent(Disk):
        def read_whole(self, path):
            raise DiskError(errno.EACCES, "hidden")

    assert Silent().boot() == 0
    assert Silent().process_start(os.getpid()) == 0
    assert Silent().process_start(2**22 + 1) is None


def test_page_is_looked_at_without_taking_a_slot(folder):
    assert not StatePage(OS_DISK, folder).look()
    assert not (folder / ".thence/state").exists()
    page = page_of(folder)
    page.accept()
    bytes_then = (folder / ".thence/state").read_bytes()
    other = StatePage(OS_DISK, folder)
    assert other.look()
    assert [(slot.process, slot.accepted) for slot in other.living()] == [(os.getpid(), 1)]
    assert other.dead() == []
    with pytest.raises(TypeError):
        other._words[0] = 1
    assert (folder / ".thence/state").read_bytes() == bytes_then


@pytest.mark.parametrize("content", [b"", b"x" * PAGE_BYTES, b"x" * 2 * PAGE_BYTES])
def test_what_is_no_page_is_not_looked_at(folder, content):
    (folder / ".thence/state").write_bytes(content)
    assert not StatePage(OS_DISK, folder).look()
