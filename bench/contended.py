"""Durable appends of many threads, tasks and processes, each beside what it is measured by."""

import asyncio
import fcntl
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Lock, Thread

import thence
from bench.durable import PAYLOAD
from bench.rounds import Contender, per_second
from thence.log.open import Log

BLOCKING_EVENTS = 2_000
THREAD_EVENTS = 8_000
TASK_EVENTS = 40_000
PROCESS_EVENTS = 6_000
BESIDE_EVENTS = 400
WAIT_S = 60.0


def _append(log: Log, count: int) -> None:
    for _ in range(count):
        log.append("trade.done", PAYLOAD, subject="order/1", actor="ada")


def _line(folder: Path) -> bytes:
    with thence.open(folder / "sample") as log:
        return log.append("trade.done", PAYLOAD, subject="order/1", actor="ada").line + b"\n"


def _run(threads: list[Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def threads(count: int) -> Contender:
    """Appends from so many threads at once."""

    def contender(folder: Path) -> float:
        with thence.open(folder) as log:
            log.append("trade.begun")
            share = THREAD_EVENTS // count
            hands = [Thread(target=_append, args=(log, share)) for _ in range(count)]
            return per_second(share * count, lambda: _run(hands))

    return contender


def one_lock(count: int) -> Contender:
    """Appends lines from so many threads, one lock held over write and sync."""

    def contender(folder: Path) -> float:
        line, lock = _line(folder), Lock()
        descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        share = BLOCKING_EVENTS // count

        def work() -> None:
            for _ in range(share):
                with lock:
                    os.write(descriptor, line)
                    os.fdatasync(descriptor)

        found = per_second(share * count, lambda: _run([Thread(target=work) for _ in range(count)]))
        os.close(descriptor)
        return found

    return contender


def tasks(count: int) -> Contender:
    """Appends from so many asyncio tasks at once."""

    def contender(folder: Path) -> float:
        events = max(BLOCKING_EVENTS, min(TASK_EVENTS, 400 * count))
        share = events // count

        async def hand(log: Log) -> None:
            for _ in range(share):
                await log.append_async("trade.done", PAYLOAD, subject="order/1", actor="ada")

        async def main(log: Log) -> None:
            await asyncio.gather(*(hand(log) for _ in range(count)))

        with thence.open(folder) as log:
            log.append("trade.begun")
            return per_second(share * count, lambda: asyncio.run(main(log)))

    return contender


def _worker(folder: str, threads_each: int, share: int, start: Barrier, end: Barrier) -> None:
    with thence.open(folder) as log:
        hands = [Thread(target=_append, args=(log, share)) for _ in range(threads_each)]
        start.wait(WAIT_S)
        _run(hands)
        end.wait(WAIT_S)


def _locked_worker(folder: str, line: bytes, share: int, start: Barrier, end: Barrier) -> None:
    lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT)
    descriptor = os.open(f"{folder}/raw", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    start.wait(WAIT_S)
    for _ in range(share):
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(descriptor, line)
        os.fdatasync(descriptor)
        fcntl.flock(lock, fcntl.LOCK_UN)
    end.wait(WAIT_S)


def timed(worker: Callable[..., None], count: int, arguments: tuple[object, ...]) -> float:
    """Runs so many processes; returns the seconds between their common start and end."""
    context = multiprocessing.get_context("fork")
    start, end = context.Barrier(count + 1), context.Barrier(count + 1)
    hands = [context.Process(target=worker, args=(*arguments, start, end)) for _ in range(count)]
    for hand in hands:
        hand.start()
    start.wait(WAIT_S)
    began = time.perf_counter()
    end.wait(WAIT_S)
    seconds = time.perf_counter() - began
    for hand in hands:
        hand.join()
    return seconds


def processes(count: int, threads_each: int) -> Contender:
    """Appends from so many processes with so many threads each on one log."""

    def contender(folder: Path) -> float:
        thence.open(folder).close()
        share = PROCESS_EVENTS // (count * threads_each)
        seconds = timed(_worker, count, (str(folder), threads_each, share))
        return share * count * threads_each / seconds

    return contender


def locked_processes(count: int) -> Contender:
    """Appends lines from so many processes, `flock` held over the sync."""

    def contender(folder: Path) -> float:
        line = _line(folder)
        share = BLOCKING_EVENTS // count
        return share * count / timed(_locked_worker, count, (str(folder), line, share))

    return contender


def _calls(log: Log, count: int) -> list[float]:
    clock = time.perf_counter
    found = []
    for _ in range(count):
        start = clock()
        log.append("trade.done", PAYLOAD, subject="order/1", actor="ada")
        found.append(clock() - start)
    return found


def alone(folder: Path) -> float:
    """Returns the median seconds of an append with nothing beside it."""
    with thence.open(folder) as log:
        log.append("trade.begun")
        return statistics.median(_calls(log, BESIDE_EVENTS))


def beside_an_emitter(folder: Path) -> float:
    """Returns the median seconds of an append beside a thread that emits without a pause."""
    is_over = False

    def emit() -> None:
        while not is_over:
            log.emit("trade.seen", PAYLOAD)

    with thence.open(folder) as log:
        log.append("trade.begun")
        emitter = Thread(target=emit)
        emitter.start()
        found = statistics.median(_calls(log, BESIDE_EVENTS))
        is_over = True
        emitter.join()
        return found


def latencies(folder: Path, count: int) -> list[float]:
    """Returns the seconds of each append of so many threads at once."""
    found: list[float] = []
    with thence.open(folder) as log:
        log.append("trade.begun")

        def work() -> None:
            found.extend(_calls(log, THREAD_EVENTS * 4 // count))

        _run([Thread(target=work) for _ in range(count)])
    return found
