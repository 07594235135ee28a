"""Tasks that append: many loops, loops that are blocked, cancelled, closed, refused."""

import asyncio
import threading

import pytest
from tests.disks import CountingDisk
from tests.log.faults import WAIT_S, FailingDisk, GatedDisk
from tests.log.hands import append, append_in_tasks, in_threads, judged

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import LogFull
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.identity import node_id
from thence.replica import Log


@pytest.fixture(autouse=True)
def prepared(tmp_path):
    """Make the log and its identity, so that the next sync is that of an event."""
    thence.open(tmp_path).close()
    node_id(OS_DISK, tmp_path)


@pytest.mark.promise("P1")
def test_loops_in_two_threads_beside_threads_share_syncs_and_keep_their_orders(tmp_path):
    disk = CountingDisk()
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
    assert disk.calls.count("sync") < 1_000 / 5


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


@pytest.mark.promise("W4")
def test_events_of_tasks_are_durable_while_their_loop_is_blocked(tmp_path):
    synced = threading.Event()

    class Telling(Disk):
        def sync_data(self, descriptor):
            super().sync_data(descriptor)
            synced.set()

    with Log(tmp_path, PLAIN, disk=Telling()) as log:

        async def main():
            task = asyncio.create_task(log.append_async("t", {"hand": "task", "n": 0}))
            await asyncio.sleep(0)
            assert synced.wait(WAIT_S)  # the loop stands still
            assert not task.done()
            assert log.append("t", {"hand": "blocking", "n": 0}).seq == 2  # in the blocked loop
            return await task

        assert asyncio.run(main()).seq == 1
    judged(tmp_path, {"task": 1, "blocking": 1})


def test_full_disk_is_told_to_exactly_the_tasks_that_it_refused(tmp_path):
    disk = FailingDisk()
    with Log(tmp_path, PLAIN, disk=disk) as log:

        async def main():
            before = await asyncio.gather(*(log.append_async("t", {"n": n}) for n in range(20)))
            disk.faults["write"] = DiskError(28, "No space left on device")
            refused = await asyncio.gather(
                *(log.append_async("t", {"n": n}) for n in range(20, 40)), return_exceptions=True
            )
            disk.faults.clear()
            after = await asyncio.gather(*(log.append_async("t", {"n": n}) for n in range(40, 60)))
            return before, refused, after

        before, refused, after = asyncio.run(main())
        assert all(isinstance(answer, LogFull) for answer in refused)
        there = [event for event in log.read() if event.event_type == "t"]
        assert there == [*before, *after]
        told = [event.payload["count"] for event in log.read() if event.event_type != "t"]
        assert told == [20]
        assert log.verify().findings == ()


def test_disk_that_fills_up_amid_a_batch_refuses_the_rest_of_it(tmp_path):
    class Filling(Disk):
        is_filling = False

        def write(self, descriptor, data):
            if self.is_filling:
                self.is_filling = False
                written = super().write(descriptor, data[: len(data) * 2 // 3])
                self.fault = DiskError(28, "No space left on device")
                return written
            if self.fault:
                raise self.fault
            return super().write(descriptor, data)

    Filling.fault = None
    disk = Filling()
    with Log(tmp_path, PLAIN, disk=disk) as log:

        async def main():
            await log.append_async("first")
            disk.is_filling = True
            with log._committer._commits._lock:  # so that all of them are one batch
                tasks = [asyncio.create_task(log.append_async("t", {"n": n})) for n in range(30)]
                await asyncio.sleep(0)
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            disk.fault = None
            await log.append_async("last")
            return answers

        answers = asyncio.run(main())
        there = [event for event in log.read() if event.event_type == "t"]
        assert 0 < len(there) < 30
        assert answers[: len(there)] == there
        assert all(isinstance(answer, LogFull) for answer in answers[len(there) :])
        assert log.verify().findings == ()
