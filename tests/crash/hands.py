"""The ways in which a process writes until it is killed: one thread, many, tasks, both modes.

Each tells "=" with the ids that were acknowledged; who counts what it queues tells "+" with
the ids that were accepted, before anything can kill it.
"""

import asyncio
import json
import os
import random
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from thence.core.bodies import BODIES_FROM
from thence.core.new_event import HostEvent
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import Disk
from thence.log.open import Log, LogSettings
from thence.sim.record.events import ActionEvent, create_action_event
from thence.sim.record.writer import EventWriter, WriteMode

EVENTS_MAX = 100_000
BATCH_EVENTS_MAX = 25
LINE_BYTES_MIN = 200
HANDS_MAX = 4
_BARE_LINE_BYTES = 230
_HANDS_S_MAX = 60.0


class Job(NamedTuple):
    """Where and how to write, and whom to tell."""

    folder: Path
    file_bytes_max: int
    line_bytes_max: int
    disk: Disk
    chance: random.Random
    tell: Callable[[str, list[str]], None]
    may_die: threading.Event

    def replica(self) -> Log:
        return Log(
            self.folder,
            PLAIN,
            LogSettings(
                max_file_size=self.file_bytes_max,
                bodies_from=self.chance.choice((None, BODIES_FROM)),
            ),
            disk=self.disk,
        )

    def writer(self, mode: WriteMode) -> EventWriter:
        limit = self.file_bytes_max
        return EventWriter(self.folder, "run", max_file_size=limit, mode=mode, disk=self.disk)

    def payload(self) -> dict[str, str]:
        """Make a payload for a line of 200 bytes up to the limit, small ones as often as large.

        It has what tears badly in it: quotes, newlines, letters of many bytes.
        """
        factor = self.line_bytes_max / LINE_BYTES_MIN
        size = LINE_BYTES_MIN * factor ** self.chance.random()
        letter = self.chance.choice('xé"\n😀')
        letter_bytes = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
        return {"text": letter * (max(int(size) - _BARE_LINE_BYTES, 0) // letter_bytes)}

    def action(self, turn: int) -> ActionEvent:
        return create_action_event("run", turn, "ada", "worked", self.payload())

    def some(self) -> range:
        return range(self.chance.randrange(1, BATCH_EVENTS_MAX))


def together(work: Callable[[], None], hands: int) -> None:
    """Let so many threads work; one that fails ends the process, which the harness notices."""

    def worked() -> None:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    threads = [threading.Thread(target=worked, daemon=True) for _ in range(hands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_HANDS_S_MAX)


def append(job: Job) -> None:
    """Append one by one, from `Log`."""
    log = job.replica()
    for _ in range(EVENTS_MAX):
        job.tell("=", [log.append("worked", job.payload()).event_id])


def threads(job: Job) -> None:
    """Append from several threads of one process."""
    log = job.replica()

    def work() -> None:
        for _ in range(EVENTS_MAX):
            job.tell("=", [log.append("worked", job.payload()).event_id])

    together(work, job.chance.randrange(2, HANDS_MAX + 1))


def tasks(job: Job) -> None:
    """Append from the tasks of an event loop."""
    log = job.replica()

    async def work() -> None:
        for _ in range(EVENTS_MAX):
            event = await log.append_async("worked", job.payload())
            job.tell("=", [event.event_id])

    async def all_at_once() -> None:
        await asyncio.gather(*(work() for _ in range(job.chance.randrange(2, HANDS_MAX + 1))))

    asyncio.run(all_at_once())


def emit(job: Job) -> None:
    """Emit a few, then flush, from `Log`."""
    log = job.replica()
    for _ in range(EVENTS_MAX):
        ids = [log.emit("worked", job.payload()) for _ in job.some()]
        log.flush()
        job.tell("=", ids)


def write(job: Job) -> None:
    """Write events that the thread syncs later, from two threads: a kill keeps them."""
    log = job.replica()

    def work() -> None:
        for _ in range(EVENTS_MAX):
            new = HostEvent("worked", job.payload())
            (event,) = log._host_append((new,), is_synced=False)
            job.tell("=", [event.event_id])

    together(work, 2)


def count(job: Job) -> None:
    """Emit a few and tell of them, then let the writing thread go on, and perhaps die.

    The first append opens the log, so that no call of the emitting thread is left to die at.
    """
    log = job.replica()
    job.tell("=", [log.append("begun").event_id])
    for _ in range(EVENTS_MAX):
        job.may_die.clear()
        ids = [log.emit("worked", job.payload()) for _ in job.some()]
        job.tell("+", ids)
        job.may_die.set()
        log.flush()
        job.tell("=", ids)


def sync(job: Job) -> None:
    """Emit in SYNC mode, from `EventWriter`."""
    writer = job.writer(WriteMode.SYNC)
    for turn in range(EVENTS_MAX):
        event = job.action(turn)
        assert writer.emit(event)
        job.tell("=", [event.event_id])


def sync_threads(job: Job) -> None:
    """Emit in SYNC mode from several threads."""
    writer = job.writer(WriteMode.SYNC)

    def work() -> None:
        for turn in range(EVENTS_MAX):
            event = job.action(turn)
            assert writer.emit(event)
            job.tell("=", [event.event_id])

    together(work, job.chance.randrange(2, HANDS_MAX + 1))


def async_(job: Job) -> None:
    """Emit in ASYNC mode and flush now and then, from `EventWriter`."""
    writer = job.writer(WriteMode.ASYNC)
    for turn in range(EVENTS_MAX):
        events = [job.action(turn) for _ in job.some()]
        assert all(map(writer.emit, events))
        writer.flush()
        job.tell("=", [event.event_id for event in events])


def async_tasks(job: Job) -> None:
    """Emit in ASYNC mode from the tasks of an event loop, each flushing now and then."""
    writer = job.writer(WriteMode.ASYNC)

    async def work() -> None:
        for turn in range(EVENTS_MAX):
            events = [job.action(turn) for _ in job.some()]
            assert all(map(writer.emit, events))
            await asyncio.to_thread(writer.flush)
            job.tell("=", [event.event_id for event in events])

    async def all_at_once() -> None:
        await asyncio.gather(*(work() for _ in range(job.chance.randrange(2, HANDS_MAX + 1))))

    asyncio.run(all_at_once())


def lie(job: Job) -> None:
    """Acknowledge what is only queued, as no writer may: the harness must notice."""
    log = job.replica()
    log.append("worked")
    for _ in range(EVENTS_MAX):
        job.tell("=", [log.emit("worked", job.payload()) for _ in range(BATCH_EVENTS_MAX)])


HANDS: dict[str, Callable[[Job], None]] = {
    "append": append,
    "threads": threads,
    "tasks": tasks,
    "emit": emit,
    "write": write,
    "count": count,
    "sync": sync,
    "sync threads": sync_threads,
    "async": async_,
    "async tasks": async_tasks,
    "lie": lie,
}
