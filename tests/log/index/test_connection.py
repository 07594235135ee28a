"""The index of one log, opened: asked from threads and processes, forked, killed, stopped."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.codes import raises_code
from tests.disks import ReadingDisk
from tests.events import line_of
from tests.log.index.logs import add, fits, index_of, told
from tests.log.processes import in_child
from tests.tiers import tenth

from thence.core.order import totally_ordered
from thence.core.query.filter import Filter
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import CURRENT
from thence.log.index.connection import Index
from thence.log.index.query import page_of_lines
from thence.log.open import Log, open_log


class ClosedMeanwhile(Index):
    """An index that another thread closes once, between its refresh and an answer."""

    is_closed = False

    def refresh(self, *arguments: object, **options: object) -> None:
        super().refresh(*arguments, **options)
        if not self.is_closed:
            self.is_closed = True
            self.close()


# a process that follows a log with its index, for ever, and says so
FOLLOWER = """
import sys
from pathlib import Path
from thence.core.vocabulary import PLAIN
from thence.log.index.connection import Index
from thence.log.files.disk import OS_DISK
index = Index(OS_DISK, Path(sys.argv[1]), PLAIN)
while True:
    index.refresh()
    print(index.answer(lambda db: db.execute("SELECT count(*) FROM events").fetchone())[0])
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path / "log") as found:
        yield found


def written(log: Log) -> list[bytes]:
    """Returns the lines that a plain reading of the log finds, in total order."""
    return [event.line for event in totally_ordered(log.read())]


def following(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, str(folder)], stdout=subprocess.PIPE, text=True
    )


def ended(follower: subprocess.Popen[str]) -> None:
    with follower:
        follower.kill()


def test_nothing_new_is_seen_without_reading_the_log_or_writing_the_database(log: Log) -> None:
    log.append("a")
    disk = ReadingDisk()
    with Index(disk, log.folder, log.vocabulary) as index:
        index.refresh()
        database = log.folder / ".thence" / "index.db"
        before, disk.read_bytes = database.stat(), 0
        index.refresh()
        assert disk.read_bytes == 0
        assert database.stat().st_mtime_ns == before.st_mtime_ns


def test_one_reading_sees_one_state(log: Log) -> None:
    log.append("a")
    count = "SELECT count(*) FROM events"
    with index_of(log.folder) as index:

        def work(connection: sqlite3.Connection) -> None:
            assert connection.execute(count).fetchone() == (1,)
            log.append("b")
            index.refresh()
            assert connection.execute(count).fetchone() == (1,)
            assert index.answer(lambda other: other.execute(count).fetchone()) == (2,)

        index.answer(work)


def test_a_segment_is_not_read_whole_because_a_write_was_seen_half_done(log: Log) -> None:
    for _ in range(50):
        log.append("a", {"text": "x" * 10_000})
    path, disk = str(log.folder / CURRENT), ReadingDisk()
    with Index(disk, log.folder, log.vocabulary) as index:
        index.refresh()
        size = Path(path).stat().st_size
        log.append("b")
        # the newest write to the file is seen by its time alone
        disk.instead["path_state"] = lambda real, place: (
            real(place)._replace(size=size) if place == path else real(place)
        )
        disk.read_bytes = 0
        index.refresh()
        disk.instead.clear()
        assert disk.read_bytes < size / 10
        assert told(index)["lines"] == written(log)


def test_a_child_has_connections_of_its_own_and_leaves_its_parents_alone(log: Log) -> None:
    log.append("a")
    with index_of(log.folder) as index:

        def ask() -> None:
            add(log.folder, [line_of()])
            fits(index, log.folder)
            index.close()

        def work(connection: sqlite3.Connection) -> None:
            in_child(ask)
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)

        index.answer(work)
        fits(index, log.folder)


def test_what_a_question_raises_is_the_callers_own(log: Log) -> None:
    with index_of(log.folder) as index:
        with pytest.raises(LookupError):
            index.answer(lambda _: {}["no"])
        with raises_code("read_failed"):
            index.answer(lambda connection: connection.execute("SELECT * FROM nowhere"))
        fits(index, log.folder)


def test_a_line_that_is_not_where_it_was_is_looked_for_anew(log: Log) -> None:
    """The segment changes between the look at it and the reading of its lines."""
    for number in range(3):
        log.append("a", {"n": number})
    find = "SELECT segment, offset, length, event_id FROM events ORDER BY lamport"
    asked = 0
    with index_of(log.folder) as index:

        def work(connection):
            nonlocal asked
            asked += 1
            if asked == 1:
                lines = log.current_file.read_bytes().splitlines(keepends=True)
                log.current_file.write_bytes(b"".join(lines[1:] + lines[:1]))
            return index.fetch(connection, connection.execute(find).fetchall())

        assert [event.line for event in index.answer(work)] == written(log)
        assert asked == 2


def test_lines_come_without_being_decoded_and_are_checked(log: Log) -> None:
    for number in range(3):
        log.append("a", {"n": number})
    add(log.folder, [b'{"event_id":"x","event_type":"y"}\n'])
    find = "SELECT segment, offset, length, event_id FROM events ORDER BY lamport"
    with index_of(log.folder) as index:
        assert index.answer(lambda db: [*index.lines(db, db.execute(find))]) == written(log)
        extents = index.answer(lambda db: db.execute(find).fetchall())
        wrong = [(*extents[1][:3], extents[2][3])]
        for ask in (index.lines, index.fetch):
            with raises_code("read_failed"):
                index.answer(lambda db, ask=ask: [*ask(db, wrong)])


@pytest.mark.parametrize(
    ("sound", "rotten"), [(b'"abc"', b'"xbc"'), (b'"abd"}', b'"abd")')], ids=["own", "foreign"]
)
def test_a_line_that_rots_in_place_is_on_no_page(log: Log, sound: bytes, rotten: bytes) -> None:
    log.append("a", {"text": "abc"})
    add(log.folder, [b'{"event_id":"x","event_type":"y","payload":{"text":"abd"}}\n'])
    log.append("b")
    with index_of(log.folder) as index:
        assert len(page_of_lines(index, Filter()).lines) == 3
        path = log.folder / CURRENT
        was, data = path.stat(), path.read_bytes()
        assert data.count(sound) == 1
        with path.open("r+b") as segment:
            segment.write(data.replace(sound, rotten))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # a disk tells of no such change
        found = page_of_lines(index, Filter()).lines
        assert [rotten in line for line in found] == [False, False]
        assert list(found) == written(log)


def test_a_builder_that_was_stopped_is_not_waited_for_for_ever(log, monkeypatch):
    monkeypatch.setattr("thence.log.index.connection._WAIT_S", 0.1)
    log.append("a")
    follower = following(log.folder)
    try:
        assert follower.stdout
        follower.stdout.readline()
        lock = OS_DISK.open_lock(log.folder / ".thence" / "index.lock")
        stopped = False
        while not stopped:  # until it is stopped with the lock in its hands
            follower.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, follower.pid, os.WSTOPPED | os.WNOWAIT)
            stopped = not OS_DISK.try_lock(lock)
            if not stopped:
                OS_DISK.unlock(lock)
                log.append("b")
                follower.send_signal(signal.SIGCONT)
                follower.stdout.readline()
        os.close(lock)
        with index_of(log.folder) as index:
            fits(index, log.folder)
            follower.send_signal(signal.SIGCONT)
            follower.stdout.readline()
            ended(follower)
            log.append("c")
            fits(index, log.folder)
            with index_of(log.folder) as another:
                fits(another, log.folder)
    finally:
        ended(follower)


@pytest.mark.parametrize("seed", range(tenth(3, 1)))
@pytest.mark.whole
def test_an_index_survives_the_killing_of_its_builder(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}")
    with open_log(tmp_path / "log") as log:
        for _ in range(tenth(8, 4)):
            log.append_many([{"event_type": "a"}] * chance.randrange(1, 3_000))
            followers = [following(log.folder) for _ in range(2)]
            for _ in range(chance.randrange(1, 30)):
                log.append_many([{"event_type": "b"}] * chance.randrange(1, 300))
                if chance.random() < 0.1:
                    name = f"events_2026-11-20_07-13-00-{chance.randrange(10**6):06}.jsonl"
                    log.current_file.rename(log.folder / name)
            time.sleep(chance.random() * 0.3)  # a kill at any instant
            for follower in followers:
                ended(follower)
            with index_of(log.folder) as index:
                fits(index, log.folder)


def test_index_in_memory_that_is_closed_amid_a_question_is_made_again(tmp_path):
    add(tmp_path, [line_of({})])
    with ClosedMeanwhile(OS_DISK, tmp_path, PLAIN, is_in_memory=True) as index:
        (count,) = index.answer(lambda db: db.execute("SELECT count(*) FROM events").fetchone())
    assert index.is_closed
    assert count == 1
