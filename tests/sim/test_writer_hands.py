"""Many hands on one run's writers: threads, tasks, forked and spawned processes, all mixed."""

import asyncio
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from tests.log.faults import WAIT_S
from tests.log.hands import ended_well, forked, in_threads
from tests.sim.written import lines

import thence
from thence.sim import EventWriter, create_action_event


def opened(folder: Path, mode: str) -> EventWriter:
    return EventWriter(folder, "run", mode=mode, max_file_size=40_000)


def emit(writer: EventWriter, hand: str, count: int) -> None:
    for n in range(count):
        assert writer.emit(create_action_event("run", n, hand, "move"))


def in_process(folder: Path, mode: str, hand: str, count: int, start: Barrier) -> None:
    start.wait(WAIT_S)
    with opened(folder, mode) as writer:
        emit(writer, hand, count)


async def emit_in_tasks(writer: EventWriter, tasks: int, count: int) -> None:
    async def work(hand: str) -> None:
        for n in range(count):
            assert writer.emit(create_action_event("run", n, hand, "move"))
            await asyncio.sleep(0)

    await asyncio.gather(*(work(f"task {n}") for n in range(tasks)))


@pytest.mark.promise("W3", "W4", "W9")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.xdist_group("heavy")
@pytest.mark.parametrize(("mode", "count"), [("sync", 60), ("async", 400)])
def test_all_hands_at_once_lose_and_double_nothing(tmp_path: Path, mode: str, count: int) -> None:
    spawning = multiprocessing.get_context("spawn")
    start = spawning.Barrier(3)
    spawned = [
        spawning.Process(target=in_process, args=(tmp_path, mode, f"spawned {n}", count, start))
        for n in range(2)
    ]
    for process in spawned:
        process.start()
    start.wait(WAIT_S)
    with opened(tmp_path, mode) as writer:
        threads = in_threads(lambda hand: emit(writer, hand, count), [f"t {n}" for n in range(4)])

        def work(hand: str) -> None:
            emit(writer, hand, count)
            assert writer.close(WAIT_S)

        children = [
            forked(lambda: work("forked 0")),
            forked(lambda: work("forked 1")),
        ]
        asyncio.run(emit_in_tasks(writer, 50, 4))
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert all(map(ended_well, children))
        assert (writer.dropped_count, writer.failed_count) == (0, 0)
    for process in spawned:
        process.join(WAIT_S)
        assert process.exitcode == 0
    hands = {f"{kind} {n}": count for kind in ("forked", "spawned") for n in range(2)}
    hands |= {f"t {n}": count for n in range(4)} | {f"task {n}": 4 for n in range(50)}
    found: dict[str, list[int]] = {}
    for line in lines(tmp_path):
        found.setdefault(line["agent_id"], []).append(line["turn_number"])  # type: ignore[arg-type,call-overload]
    assert found == {hand: list(range(many)) for hand, many in hands.items()}
    for key in ("seq", "lamport_clock"):
        assert [line[key] for line in lines(tmp_path)] == list(range(1, sum(hands.values()) + 1))
    assert len(list(tmp_path.glob("events_*.jsonl"))) > 2
    with thence.open(tmp_path) as log:
        assert log.verify().findings == ()
