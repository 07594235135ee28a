"""What an append by one of 1,000 tasks is made of: bare programs, each doing one thing more."""

import asyncio
import gc
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from threading import Semaphore, Thread
from typing import TypeVar

from bench.durable import PAYLOAD
from bench.parts import UnsyncedDisk
from thence.core.codec import Draft, stamper
from thence.core.event import Event
from thence.core.new_event import HostEvent
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.open import Log
from thence.log.read.opening import opened_vocabulary
from thence.log.write.batch import (
    AppendFuture,
    Outcome,
    answer,
    conditions_of,
    drafts_of,
    take_batch,
)
from thence.log.write.conditions import Condition

TASKS = 1_000
EVENTS = 40 * TASKS
_ROUNDS = 5
_STEP_ROUNDS = 50
_Waiting = tuple[asyncio.Future[None], list[Draft]]
Result = TypeVar("Result")


class Bare:
    """Tasks that wait for futures, again and again; they are woken by their loop or a thread.

    `draft` is done by each task before it waits; the thread numbers all drafts that wait and
    writes their lines to `file`, if there is one.
    """

    def __init__(
        self,
        has_thread: bool = False,
        draft: Callable[[], list[Draft]] = list,
        file: int | None = None,
    ) -> None:
        self._has_thread = has_thread
        self._draft = draft
        self._file = file
        self._stamp = stamper("0123456789ab")
        self._queue: deque[_Waiting] = deque()
        self._turns = Semaphore(0)

    async def run(self) -> None:
        """Lets all tasks wait as often as makes up EVENTS."""
        loop = asyncio.get_running_loop()
        self._is_over = False
        thread = Thread(target=self._work, args=(loop,))
        thread.start()
        await asyncio.gather(*(self._hand(loop) for _ in range(TASKS)))
        self._is_over = True
        self._turns.release()
        thread.join()

    async def _hand(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(EVENTS // TASKS):
            drafts = self._draft()
            future = loop.create_future()
            self._queue.append((future, drafts))
            if len(self._queue) == 1:
                if self._has_thread:
                    self._turns.release()
                else:
                    loop.call_soon(self._turn, loop)
            await future

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._turns.acquire()
            if self._is_over:
                break
            self._turn(loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        taken = [self._queue.popleft() for _ in range(len(self._queue))]
        if self._file is not None:
            drafts = [draft for _, drafts in taken for draft in drafts]
            os.write(self._file, b"".join(self._stamp(drafts, 1, 1)))
        loop.call_soon_threadsafe(_wake, [future for future, _ in taken])


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


def task_rows(place: Path) -> dict[str, float]:
    """Returns µs of each program for an event, and of an append: the least of rounds in turn."""
    opened_vocabulary(OS_DISK, place / "tasks", PLAIN, create=True)
    file = os.open(place / "bare", os.O_WRONLY | os.O_CREAT)
    with Log(place / "tasks", PLAIN, disk=UnsyncedDisk()) as log:
        log.append("trade.begun")
        new = HostEvent("trade.done", PAYLOAD, "order/1", "ada")

        def draft() -> list[Draft]:
            return log._drafted(new)

        programs = {
            "1,000 bare tasks that wait, their loop wakes them": lambda: Bare().run(),
            "the same, a thread wakes them": lambda: Bare(True).run(),
            "the same, each drafts an event": lambda: Bare(True, draft).run(),
            "the same, the thread numbers and writes them": lambda: Bare(True, draft, file).run(),
            "an append by one of 1,000 tasks, without its sync": lambda: _appends(log),
            "the same without the garbage collector": lambda: _appends(log),
        }
        found: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(_ROUNDS):
            for name, program in programs.items():
                gc.collect()
                if "without the garbage collector" in name:
                    gc.disable()
                start = time.perf_counter()
                asyncio.run(program())
                found[name].append((time.perf_counter() - start) / EVENTS * 1e6)
                gc.enable()
    os.close(file)
    return {name: min(rounds) for name, rounds in found.items()}


async def _appends(log: Log) -> None:
    async def hand() -> None:
        for _ in range(EVENTS // TASKS):
            await log.append_async("trade.done", PAYLOAD, subject="order/1", actor="ada")

    await asyncio.gather(*(hand() for _ in range(TASKS)))


def step_rows(place: Path) -> dict[str, float]:
    """Returns µs an event of each step of such an append: the least of many rounds.

    One thread does each step for a thousand events, then the next, without the collector.
    """
    opened_vocabulary(OS_DISK, place / "steps", PLAIN, create=True)
    spent: defaultdict[str, list[float]] = defaultdict(list)

    def timed(name: str, step: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        found = step()
        spent[name].append((time.perf_counter() - start) / TASKS * 1e6)
        return found

    async def rounds() -> None:
        loop = asyncio.get_running_loop()
        with Log(place / "steps", PLAIN, disk=UnsyncedDisk()) as log:
            log.append("trade.begun")
            for _ in range(_STEP_ROUNDS):
                _steps(log, loop, timed)
                start = time.perf_counter()
                await asyncio.sleep(0)
                took = (time.perf_counter() - start) / TASKS * 1e6
                spent["futures resolved in a turn of the loop"].append(took)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(rounds())
    finally:
        gc.enable()
    found = {name: min(each) for name, each in spent.items()}
    return found | {"all these steps": sum(found.values())}


def _steps(
    log: Log,
    loop: asyncio.AbstractEventLoop,
    timed: Callable[[str, Callable[[], object]], object],
) -> None:
    waiters, queue = log._committer.waiters, deque[Draft | AppendFuture]()
    new = HostEvent("trade.done", PAYLOAD, "order/1", "ada")
    drafted: list[list[Draft]] = []
    items: list[Draft | AppendFuture] = []

    def draft() -> None:
        drafted.extend(log._drafted(new) for _ in range(TASKS))

    def wait() -> None:
        for drafts in drafted:
            waiting = AppendFuture(drafts, None, loop.create_future())
            queue.append(waiting)
            waiters.add(waiting)

    def result() -> None:
        for item in items:
            assert isinstance(item, AppendFuture)
            Event(item.result()[-1][:-1], None, log.vocabulary)
            waiters.discard(item)

    def take() -> None:
        items.extend(take_batch(queue))
        drafts.extend(drafts_of(items))
        conditions.update(conditions_of(items, 0))

    drafts: list[Draft] = []
    conditions: dict[int, Condition] = {}
    timed("an event is drafted", draft)
    timed("a future and its place in the queue are made", wait)
    timed("all are taken, guards and chosen ids looked for", take)
    written: list[Outcome] = []
    timed(
        "numbered, summed up, written",
        lambda: written.extend(log._writer.write(drafts)[0]),
    )
    timed("each is given its line", lambda: answer(items, written, None))
    timed("each takes its line and returns an event", result)
