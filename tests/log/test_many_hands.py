"""Many hands on one log at once: threads, tasks, forked and spawned processes, all mixed."""

import asyncio
import json
import multiprocessing
from collections import Counter

import pytest
from tests.log.faults import WAIT_S, GatedDisk
from tests.log.hands import (
    append,
    append_in_tasks,
    ended_well,
    forked,
    in_process,
    in_threads,
    judged,
    opened,
)
from tests.log.processes import ran, started

import thence
from thence.core.values.new_event import Unchanged
from thence.core.values.position import Position
from thence.core.values.vocabulary import PLAIN
from thence.errors import HeadsMoved
from thence.log.storage.disk import OS_DISK
from thence.log.storage.identity import node_id
from thence.log.storage.segment import older_names
from thence.replica import Log

pytestmark = [
    pytest.mark.xdist_group("heavy"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.mark.promise("W8", "W9", "P1")
def test_threads_tasks_forked_and_spawned_processes_at_once_lose_and_double_nothing(tmp_path):
    thence.open(tmp_path).close()
    spawning = multiprocessing.get_context("spawn")
    start = spawning.Barrier(3)
    spawned = [
        spawning.Process(target=in_process, args=(tmp_path, f"spawned {n}", 150, start))
        for n in range(2)
    ]
    for process in spawned:
        process.start()
    start.wait(WAIT_S)
    with opened(tmp_path) as log:
        threads = in_threads(lambda hand: append(log, hand, 150), [f"thread {n}" for n in range(4)])
        children = []
        for n in range(2):

            def work(hand=f"forked {n}"):
                append(log, hand, 150)
                log.emit("t", {"hand": hand, "n": 150})
                assert log.close()

            children.append(forked(work))
        asyncio.run(append_in_tasks(log, "own", 50, 4))
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert all(map(ended_well, children))
    for process in spawned:
        process.join(WAIT_S)
        assert process.exitcode == 0
    hands = {f"thread {n}": 150 for n in range(4)}
    hands |= {f"own/task {n}": 4 for n in range(50)}
    hands |= {f"forked {n}": 151 for n in range(2)} | {f"spawned {n}": 150 for n in range(2)}
    judged(tmp_path, hands)
    assert len(older_names(OS_DISK, tmp_path)) > 5


@pytest.mark.promise("W9")
def test_children_of_a_full_queue_begin_with_an_empty_one(tmp_path):
    thence.open(tmp_path).close()
    node_id(OS_DISK, tmp_path)
    disk = GatedDisk()
    log = Log(tmp_path, PLAIN, disk=disk)
    log.emit("t", {"hand": "parent", "n": 0})
    assert disk.arrived.wait(WAIT_S)
    for n in range(1, 500):
        log.emit("t", {"hand": "parent", "n": n})
    waiting = in_threads(
        lambda hand: log.append("t", {"hand": hand, "n": 0}), [f"thread {n}" for n in range(4)]
    )

    def work(hand):
        disk.gate.set()
        append(log, hand, 20)
        log.emit("t", {"hand": hand, "n": 20})
        assert log.close()

    for n in range(3):
        assert ended_well(forked(lambda hand=f"forked {n}": work(hand)))
    forking = multiprocessing.get_context("fork")
    child = forking.Process(target=work, args=("multiprocessing",))
    child.start()
    child.join(WAIT_S)
    assert child.exitcode == 0
    disk.gate.set()
    for thread in waiting:
        thread.join(WAIT_S)
    assert log.close()
    hands = {"parent": 500, "multiprocessing": 21}
    hands |= {f"thread {n}": 1 for n in range(4)} | {f"forked {n}": 21 for n in range(3)}
    judged(tmp_path, hands)


FORKING = """
import faulthandler, os, sys, thence, threading, time
from datetime import datetime
from thence.core.values.vocabulary import PLAIN
from thence.replica import Log

def forked(log):
    child = os.fork()
    if child == 0:  # one that is bound ends, and says where it was
        faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
        log.append("child")
        os._exit(0 if log.close() else 1)
    return child

def opened():
    return Log(thence.open(sys.argv[1]).folder, PLAIN, max_file_size=10)
"""
IMPORTING = """
class Slow:
    def find_spec(self, name, *_):
        time.sleep(0.03)

assert "mmap" not in sys.modules
sys.meta_path.insert(0, Slow())
with opened() as log:
    thread = threading.Thread(target=log.append, args=("parent",))
    thread.start()  # it imports what the first write needs, and the children's too
    children = []
    for _ in range(10):
        children.append(forked(log))
        time.sleep(0.003)
    thread.join()
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert not any(ends), ends
"""
PARSING = """
def parse():
    while True:
        datetime.strptime("2026-11-21", "%Y-%m-%d")

with opened() as log:
    log.append("parent")
    log.append("parent")
    thread = threading.Thread(target=parse, daemon=True)
    thread.start()
    ends = [os.waitpid(forked(log), 0)[1] for _ in range(10)]
    assert not any(ends), ends
"""


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("amid", "parents"), [(IMPORTING, 1), (PARSING, 2)], ids=["an import", "parsing a date"]
)
def test_children_forked_while_a_thread_is_amid_it_are_not_bound(tmp_path, amid, parents):
    ran(FORKING + amid, tmp_path, 2 * WAIT_S)
    with thence.open(tmp_path) as log:
        told = Counter(event.event_type for event in log.read())
        assert told == {"child": 10, "parent": parents}
        assert log.verify().findings == ()


CLAIMING = """
import sys
from threading import Thread
import thence
from thence.core.values.new_event import Unchanged
from thence.core.values.position import Position
from thence.errors import HeadsMoved

folder, name, threads, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
log = thence.open(folder)
won = []

def claim(thread):
    for n in range(rounds):
        guard = Unchanged(Position(), {f"WP{n}"}, {"claimed"})
        try:
            log.append("claimed", {"by": f"{name}{thread}"}, subject=f"WP{n}", guard=guard)
        except HeadsMoved:
            continue
        won.append(f"WP{n} {name}{thread}")

print(flush=True)
sys.stdin.readline()
hands = [Thread(target=claim, args=(n,)) for n in range(threads)]
for hand in hands:
    hand.start()
for hand in hands:
    hand.join()
log.close()
print(*won, sep="\\n")
"""


@pytest.mark.promise("P1")
def test_of_many_threads_in_many_processes_one_wins_each_claim(tmp_path):
    thence.open(tmp_path).close()
    rounds = 30
    processes = [started(CLAIMING, tmp_path, name, 4, rounds) for name in "abc"]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    won = []
    for process in processes:
        text, problems = process.communicate(timeout=WAIT_S * 3)
        assert (process.returncode, problems) == (0, "")
        won += text.split("\n")
    won = [tuple(line.split()) for line in won if line]
    with thence.open(tmp_path) as log:
        told = [(event.subject, event.payload["by"]) for event in log.read()]
        assert log.verify().findings == ()
    assert sorted(told) == sorted(won)
    assert sorted(subject for subject, _ in told) == sorted(f"WP{n}" for n in range(rounds))
    guard = Unchanged(Position(), {"WP0"}, {"claimed"})
    with thence.open(tmp_path) as log, pytest.raises(HeadsMoved):
        log.append("claimed", subject="WP0", guard=guard)


OPENING = """
import json, sys
import thence
for line in sys.stdin:
    log = thence.open(json.loads(line))
    event = log.append("t")
    log.close()
    print(event.node_id, event.seq, flush=True)
"""


@pytest.mark.promise("W9")
@pytest.mark.parametrize("count", [2, 8])
def test_processes_that_open_an_empty_folder_at_once_make_one_log(tmp_path, count):
    processes = [started(OPENING, tmp_path) for _ in range(count)]
    for round_ in range(20):
        folder = tmp_path / f"in {round_}" / "log"
        for process in processes:
            process.stdin.write(json.dumps(str(folder)) + "\n")
            process.stdin.flush()
        answers = [process.stdout.readline().split() for process in processes]
        assert len({node for node, _ in answers}) == 1
        assert sorted(int(seq) for _, seq in answers) == list(range(1, count + 1))
        there = {path.name for path in (folder / ".thence").iterdir()}
        assert there == {"identity.json", "lock", "log.json", "marks", "open"}
        with thence.open(folder) as log:
            assert log.verify().findings == ()
            assert [event.seq for event in log.read()] == list(range(1, count + 1))
    for process in processes:
        _, problems = process.communicate()
        assert (process.returncode, problems) == (0, "")
