"""What a killed process had queued is told by the next opening, exactly and once."""

import errno
import os
import random
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.events import line_of
from tests.log.aftermath import HELD, LIMIT, appended, filled, killed, told
from tests.log.faults import FailingDisk
from tests.log.processes import started

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import AppendFailed
from thence.log.aftermath import Aftermath
from thence.log.disk import OS_DISK, Disk
from thence.log.identity import known_node_id
from thence.log.segment import older_names
from thence.log.state import StatePage
from thence.log.system_call import DiskError
from thence.replica import Replica


@pytest.mark.promise("W12")
@pytest.mark.parametrize(
    ("place", "lost"),
    [("before write", 9), ("half-way", 8), ("before sync", 7), ("after sync", 7)],
)
def test_killed_with_events_queued_says_exactly_how_many(tmp_path, place, lost):
    process = killed(tmp_path, place)
    for _ in range(2):
        appended(tmp_path)
    assert told(tmp_path) == [
        {"count": lost, "is_exact": True, "reason": "killed", "process": process}
    ]
    types = [event.event_type for event in thence.open(tmp_path).read()]
    assert types.count("kept") + types.count("first") == 3 + 9 - lost
    assert told(tmp_path, "torn") == []
    assert thence.open(tmp_path).verify().findings == ()


def test_batch_that_went_over_two_segments_is_counted_in_both(tmp_path):
    killed(tmp_path, "after rotation", limit=700)
    assert older_names(OS_DISK, tmp_path)
    appended(tmp_path)
    (facts,) = told(tmp_path)
    types = [event.event_type for event in thence.open(tmp_path).read()]
    assert facts["count"] == 9 - types.count("first")


@pytest.mark.parametrize("threads", [1, 2])
def test_two_producer_threads_make_the_count_about(tmp_path, threads):
    # the first two events came from the main thread
    killed(tmp_path, "before sync", threads=threads)
    appended(tmp_path)
    (facts,) = told(tmp_path)
    assert (facts["count"], facts["is_exact"]) == (7 * threads, False)


def test_several_dead_are_told_each(tmp_path):
    first = killed(tmp_path, "before write", 2)
    process = started(HELD, tmp_path, "before write", 4, 0, LIMIT)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    appended(tmp_path)
    assert [(facts["count"], facts["process"]) for facts in told(tmp_path)] == [
        (4, first),
        (6, process.pid),
    ]


def test_the_living_are_not_told(tmp_path):
    process = started(HELD, tmp_path, "before write", 4, 0, LIMIT)
    assert process.stdout.readline() == "ready\n"
    page = StatePage(OS_DISK, tmp_path)
    page.begin()
    assert page.dead() == []
    page.end()
    process.kill()
    process.communicate()
    appended(tmp_path)
    assert [facts["count"] for facts in told(tmp_path)] == [6]


ROUNDS = 8
BUSY = """
import os, sys
import thence
log = thence.open(sys.argv[1])
noted = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
batch = int(sys.argv[3])
number = 0
while True:
    log.emit("t", {"number": number})
    number += 1
    os.pwrite(noted, b"%12d" % number, 0)
    if number == 1:
        print(flush=True)
    if not number % batch:
        log.append("between")
"""


def test_killed_at_any_moment_says_exactly_how_many(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(ROUNDS):
        folder, noted = tmp_path / str(number), tmp_path / f"{number}.noted"
        process = started(BUSY, folder, noted, chance.choice([3, 50, 1_000, 10**9]))
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.random() * 0.3)
        process.kill()
        process.communicate()
        appended(folder)
        events = list(thence.open(folder).read())
        kept = [event.payload["number"] for event in events if event.event_type == "t"]
        assert kept == list(range(len(kept)))
        lost = sum(facts["count"] for facts in told(folder))
        assert all(facts["is_exact"] for facts in told(folder))
        # the kill may come between an emit and the note of it
        assert len(kept) + lost - int(noted.read_bytes()) in (0, 1)


def test_killed_before_anything_was_written_says_how_many(tmp_path):
    code = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
log.committer._lead.acquire()
for n in range(5):
    log.emit("t")
os.kill(os.getpid(), signal.SIGKILL)
"""
    started(code, tmp_path).communicate()
    appended(tmp_path)
    assert [facts["count"] for facts in told(tmp_path)] == [5]


def test_killed_with_nothing_queued_is_not_told(tmp_path):
    code = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
log.emit("t")
log.flush()
log.append("t")
os.kill(os.getpid(), signal.SIGKILL)
"""
    started(code, tmp_path).communicate()
    with thence.open(tmp_path) as log:
        log.append("t")
        assert log.writer.page.dead() == []
    assert [event.seq for event in thence.open(tmp_path).read()] == [1, 2, 3]


def test_events_that_were_told_as_failed_are_not_told_as_lost(tmp_path):
    full = FailingDisk()
    with Replica(tmp_path, PLAIN, disk=full) as log:
        log.append("t")
        full.faults["sync_data"] = DiskError(errno.EIO, "broken")
        for _ in range(5):
            log.emit("t")
        page = log.writer.page
        log.close()
        assert log.committer.failed_count == 5
        assert page._accepted == page._committed == 5


def test_second_kill_between_notice_and_clearing_keeps_nothing_from_being_told(tmp_path):
    process = killed(tmp_path, "before sync")
    code = """
import os, signal, sys, thence
from thence.log.state import StatePage
StatePage.settle = lambda self, dead: os.kill(os.getpid(), signal.SIGKILL)
thence.open(sys.argv[1]).append("never")
"""
    second = started(code, tmp_path)
    second.communicate()
    assert second.returncode == -signal.SIGKILL
    assert [facts["process"] for facts in told(tmp_path)] == [process]
    appended(tmp_path)
    # told twice, never less than once
    assert [facts["process"] for facts in told(tmp_path)] == [process] * 2
    appended(tmp_path)
    assert len(told(tmp_path)) == 2


def test_second_kill_before_the_notice_is_durable_leaves_it_to_the_third(tmp_path):
    process = killed(tmp_path, "before sync")

    class Broken(FailingDisk):
        def write(self, descriptor, data):
            if b"log.gap" in data:
                raise DiskError(errno.EIO, "broken")
            return super().write(descriptor, data)

    with Replica(tmp_path, PLAIN, disk=Broken()) as log, pytest.raises(AppendFailed):
        log.append("refused")
    assert told(tmp_path) == []
    appended(tmp_path)
    assert [facts["process"] for facts in told(tmp_path)] == [process]


UNKNOWN = {"count": None, "is_exact": False, "reason": "unknown end"}


@pytest.mark.parametrize("spoil", ["absent", "empty", "short", "random", "zeros"])
def test_without_a_good_page_the_end_is_unknown_and_told_once(tmp_path, spoil):
    killed(tmp_path, "before sync")
    path = tmp_path / ".thence/state"
    contents = {"empty": b"", "short": b"x" * 99, "random": bytes(range(256)) * 16}
    if spoil == "absent":
        path.unlink()
    else:
        path.write_bytes(contents.get(spoil, b"\0" * 4096))
    for _ in range(3):
        appended(tmp_path)
    assert told(tmp_path) == [UNKNOWN | {"process": None}]


def test_new_log_and_one_without_an_identity_have_nothing_to_tell(tmp_path):
    appended(tmp_path)
    shutil.rmtree(tmp_path / ".thence")
    appended(tmp_path)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "events.jsonl").write_bytes(line_of())
    appended(foreign)
    for folder in (tmp_path, foreign):
        assert {e.event_type for e in thence.open(folder).read()} <= {"next", "noted"}


class Rebooted(Disk):
    """The same machine after it was started again."""

    def boot(self):
        return 12345


def test_page_of_an_earlier_boot_means_an_unknown_end(tmp_path):
    process = killed(tmp_path, "before sync")
    for _ in range(2):
        with Replica(tmp_path, PLAIN, disk=Rebooted()) as log:
            log.append("next")
    assert told(tmp_path) == [UNKNOWN | {"process": process}]


def test_start_after_a_clean_end_tells_nothing(tmp_path):
    with thence.open(tmp_path) as log:
        log.emit("t")
    with Replica(tmp_path, PLAIN, disk=Rebooted()) as log:
        assert log.append("t").seq == 2


def test_page_that_was_written_back_before_the_last_events_means_an_unknown_end(tmp_path):
    appended(tmp_path)
    older = (tmp_path / ".thence/state").read_bytes()
    appended(tmp_path)
    with open(tmp_path / ".thence/state", "r+b") as file:
        file.write(older)
    with Replica(tmp_path, PLAIN, disk=Rebooted()) as log:
        log.append("t")
    assert told(tmp_path) == [UNKNOWN | {"process": None}]
    # within one boot an older page is no sign of anything
    with open(tmp_path / ".thence/state", "r+b") as file:
        file.write(older)
    appended(tmp_path)
    assert len(told(tmp_path)) == 1


def test_copy_tells_nothing_of_the_processes_of_its_original(tmp_path):
    killed(tmp_path / "a", "before sync")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    appended(tmp_path / "b")
    assert told(tmp_path / "b") == []
    appended(tmp_path / "a")
    assert [facts["count"] for facts in told(tmp_path / "a")] == [7]


def test_scan_that_the_disk_refuses_keeps_nobody_from_appending(tmp_path):
    killed(tmp_path, "before sync")

    class Unreadable(Disk):
        def open_read(self, path: Path) -> int:
            if path.name == "events.jsonl":
                raise DiskError(errno.EIO, "broken")
            return super().open_read(path)

    with Replica(tmp_path, PLAIN, disk=Unreadable()) as log:
        log.append("t")
    assert told(tmp_path) == []
    appended(tmp_path)
    assert [facts["count"] for facts in told(tmp_path)] == [7]


def test_clean_log_is_not_read(tmp_path):
    filled(tmp_path)
    appended(tmp_path)

    class Unread(Disk):
        def open_read(self, path: Path) -> int:
            assert path.suffix != ".jsonl"
            return super().open_read(path)

    page = StatePage(Unread(), tmp_path)
    found = Aftermath(Unread(), tmp_path, PLAIN, page)
    assert found.begin() == (known_node_id(OS_DISK, tmp_path), "")
    assert found.notices(61) == []
    found.settle()
    assert found.is_settled
    page.end()
