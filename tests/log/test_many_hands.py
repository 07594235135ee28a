"""Many hands on one log at once: threads, tasks, forked and spawned processes, all mixed."""

import asyncio
import json
import multiprocessing
import threading
from collections import Counter

import pytest
from tests.disks import FULL, GatedDisk, Scripted
from tests.log.faults import WAIT_S
from tests.log.hands import append, append_in_tasks, in_process, in_threads, judged, opened
from tests.log.processes import ended_well, forked, lines, ran, started

import thence
from thence.core.codec import numbers
from thence.core.new_event import Position, Unchanged
from thence.core.vocabulary import PLAIN
from thence.errors import HeadsMoved, LogFull
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.identity import identify
from thence.log.files.segment import older_names
from thence.log.open import Log

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


@pytest.mark.promise("W9", "P1")
def test_children_of_a_full_queue_begin_with_an_empty_one(tmp_path):
    thence.open(tmp_path).close()
    identify(OS_DISK, tmp_path)
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
from thence.core.vocabulary import PLAIN
from thence.log.open import Log, LogSettings

def forked(log):
    child = os.fork()
    if child == 0:  # one that is bound ends, and says where it was
        faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
        log.append("child")
        os._exit(0 if log.close() else 1)
    return child

def opened():
    return Log(thence.open(sys.argv[1]).folder, PLAIN, LogSettings(max_file_size=10))
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
from thence.core.new_event import Unchanged
from thence.core.new_event import Position
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


@pytest.mark.usefixtures("prepared")
@pytest.mark.promise("P1")
def test_loops_in_two_threads_beside_threads_share_syncs_and_keep_their_orders(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        loops = in_threads(
            lambda hand: asyncio.run(append_in_tasks(log, hand, 50, 10)), ["loop 0", "loop 1"]
        )
        others = in_threads(lambda hand: append(log, hand, 60), ["thread 0", "thread 1"])
        for thread in loops + others:
            thread.join(WAIT_S * 2)
            assert not thread.is_alive()
    hands = {f"loop {n}/task {task}": 10 for n in range(2) for task in range(50)}
    judged(tmp_path, hands | {"thread 0": 60, "thread 1": 60})
    assert disk.count("sync_data") < 1_000 / 5


@pytest.mark.usefixtures("prepared")
def test_half_of_the_tasks_are_cancelled_and_all_events_are_written(tmp_path):
    disk = GatedDisk()
    with Log(tmp_path, PLAIN, disk=disk) as log:

        async def main():
            tasks = [
                asyncio.create_task(log.append_async("t", {"hand": "task", "n": n}))
                for n in range(40)
            ]
            await asyncio.to_thread(disk.arrived.wait, WAIT_S)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks[::2], return_exceptions=True)
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
            disk.gate.set()
            events = await asyncio.gather(*tasks[1::2])
            assert [event.payload["n"] for event in events] == list(range(1, 40, 2))
            later = await log.append_async("t", {"hand": "task", "n": 40})
            assert later.seq == 41

        asyncio.run(main())
    judged(tmp_path, {"task": 41})


@pytest.mark.usefixtures("prepared")
def test_loop_closed_with_events_under_way_harms_no_other_loop(tmp_path):
    disk = GatedDisk()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        closing = asyncio.new_event_loop()
        begun = [
            closing.create_task(log.append_async("t", {"hand": "closed", "n": n}))
            for n in range(10)
        ]
        closing.run_until_complete(asyncio.sleep(0))  # each task is queued now
        assert disk.arrived.wait(WAIT_S)
        (other,) = in_threads(
            lambda hand: asyncio.run(append_in_tasks(log, hand, 10, 2)), ["other"]
        )
        (waiting,) = in_threads(lambda hand: append(log, hand, 1), ["thread"])
        for task in begun:
            task.cancel()
        closing.run_until_complete(asyncio.gather(*begun, return_exceptions=True))
        closing.close()
        disk.gate.set()
        for thread in (other, waiting):
            thread.join(WAIT_S)
            assert not thread.is_alive()
    judged(tmp_path, {"closed": 10, "thread": 1} | {f"other/task {n}": 2 for n in range(10)})


@pytest.mark.usefixtures("prepared")
@pytest.mark.promise("W4")
def test_events_of_tasks_are_durable_while_their_loop_is_blocked(tmp_path):
    synced = threading.Event()

    disk = Scripted()
    disk.after["sync_data"] = lambda _: synced.set()
    with Log(tmp_path, PLAIN, disk=disk) as log:

        async def main():
            task = asyncio.create_task(log.append_async("t", {"hand": "task", "n": 0}))
            await asyncio.sleep(0)
            assert synced.wait(WAIT_S)  # the loop stands still
            assert not task.done()
            assert log.append("t", {"hand": "blocking", "n": 0}).seq == 2  # in the blocked loop
            return await task

        assert asyncio.run(main()).seq == 1
    judged(tmp_path, {"task": 1, "blocking": 1})


@pytest.mark.usefixtures("prepared")
def test_full_disk_is_told_to_exactly_the_tasks_that_it_refused(tmp_path):
    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:

        async def main():
            before = await asyncio.gather(*(log.append_async("t", {"n": n}) for n in range(20)))
            disk.error["write"] = DiskError(28, "No space left on device")
            refused = await asyncio.gather(
                *(log.append_async("t", {"n": n}) for n in range(20, 40)), return_exceptions=True
            )
            disk.error.clear()
            after = await asyncio.gather(*(log.append_async("t", {"n": n}) for n in range(40, 60)))
            return before, refused, after

        before, refused, after = asyncio.run(main())
        assert all(isinstance(answer, LogFull) for answer in refused)
        there = [event for event in log.read() if event.event_type == "t"]
        assert there == [*before, *after]
        told = [event.payload["count"] for event in log.read() if event.event_type != "t"]
        assert told == [20]
        assert log.verify().findings == ()


@pytest.mark.usefixtures("prepared")
def test_disk_that_fills_up_amid_a_batch_refuses_the_rest_of_it(tmp_path):
    def fill(real, descriptor, data):
        disk.error["write"] = FULL
        return real(descriptor, data[: len(data) * 2 // 3])

    disk = Scripted()
    with Log(tmp_path, PLAIN, disk=disk) as log:

        async def main():
            await log.append_async("first")
            disk.instead["write"] = fill
            with log._committer._commits._lock:  # so that all of them are one batch
                tasks = [asyncio.create_task(log.append_async("t", {"n": n})) for n in range(30)]
                await asyncio.sleep(0)
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            disk.instead.clear()
            disk.error.clear()
            await log.append_async("last")
            return answers

        answers = asyncio.run(main())
        there = [event for event in log.read() if event.event_type == "t"]
        assert 0 < len(there) < 30
        assert answers[: len(there)] == there
        assert all(isinstance(answer, LogFull) for answer in answers[len(there) :])
        assert log.verify().findings == ()


TEN_THOUSAND = """
import sys, thence
from thence.core.vocabulary import PLAIN
from thence.log.open import Log, LogSettings
folder, name, count, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Log(thence.open(folder).folder, PLAIN, LogSettings(max_file_size=limit)) as log:
    print(flush=True)
    sys.stdin.readline()
    for n in range(count):
        if n % 100:
            log.emit("worked", {"who": name, "n": n})
        else:
            log.append("worked", {"who": name, "n": n})
"""


def race(folder, count, limit):
    """Let two processes append at once; return the lines they left."""
    thence.open(folder)
    writers = [started(TEN_THOUSAND, folder, name, count, limit) for name in "ab"]
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, problems = writer.communicate()
        assert writer.returncode == 0, problems
        assert not problems
    found = lines(folder)
    stamps = [numbers(line) for line in found]
    assert len({stamp[0] for stamp in stamps}) == 1
    assert [stamp[1] for stamp in stamps] == list(range(1, 2 * count + 1))
    assert [stamp[2] for stamp in stamps] == list(range(1, 2 * count + 1))
    assert thence.open(folder).verify().findings == ()
    told = [(event.payload["who"], event.payload["n"]) for event in thence.open(folder).read()]
    for name in "ab":
        assert [n for who, n in told if who == name] == list(range(count))
    return found


@pytest.mark.promise("W9")
@pytest.mark.xdist_group("heavy")
def test_two_processes_append_ten_thousand_times_each_without_a_gap(tmp_path):
    race(tmp_path, 10_000, 500 * 1024 * 1024)
    assert older_names(OS_DISK, tmp_path) == []


@pytest.mark.promise("W8", "W9")
@pytest.mark.xdist_group("heavy")
def test_two_processes_that_rotate_at_once_lose_and_double_nothing(tmp_path):
    limit = 20_000
    found = race(tmp_path, 1_000, limit)
    names = older_names(OS_DISK, tmp_path)
    assert len(names) >= sum(map(len, found)) // (2 * limit)
    longest = max(map(len, found)) + 1
    for name in names:
        assert limit <= (tmp_path / name).stat().st_size < limit + longest
