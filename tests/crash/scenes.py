"""The scenes of the fault sweep: the ways a log is used while its disk fails."""

import asyncio
import json
import os
import select
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any

from tests.crash.promised import Run, silent

from thence.core.new_event import Position, Unchanged
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK, AppendLock, Disk
from thence.log.files.process_state import new_id
from thence.log.open import Log, LogSettings
from thence.sim.record.writer import WriteMode

CHILD_S = 60.0
ROTATES_AT_ONCE = 10
TORN = b'{"event_id":"01JZZZZZZZZZZZZZZZZZZZZZZZ","event_type":"wor'


class HastyDisk(Disk):
    """Syncs nothing: for what is there before a scene, and for the look at it afterwards."""

    def sync_data(self, descriptor: int) -> None:
        """Leave it to the system."""

    def sync_folder(self, folder: Path) -> None:
        """Leave it to the system."""


HASTY_DISK = HastyDisk()


@dataclass(frozen=True)
class Scene:
    """One use of a log: what is there before it, what is done while the disk may fail."""

    play: Callable[[Run], None]
    prepare: Callable[[Path], None]
    vocabulary: str = "plain"
    arms_itself: bool = False  # what is before the call of `arm` is none of the scene


def nothing(folder: Path) -> None:
    """Leave an empty folder."""


def some(folder: Path) -> None:
    """Leave a log of three events in two files."""
    with Log(folder, PLAIN, LogSettings(max_file_size=700, report=silent), disk=HASTY_DISK) as log:
        log._prepare()
        for number in (-1, -2, -3):
            log.append("before", {"n": number, "text": "x" * 100})


def torn(folder: Path) -> None:
    """Leave a log whose last line is torn."""
    some(folder)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(TORN)


def unended(folder: Path) -> None:
    """Leave a log whose last line lacks its newline."""
    some(folder)
    path = folder / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-1])


def adopted(folder: Path) -> None:
    """Leave a log without anything but its lines."""
    some(folder)
    for path in sorted((folder / ".thence").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folder / ".thence").rmdir()


def sync(run: Run) -> None:
    run.open_writer(WriteMode.SYNC)
    for number in range(3):
        run.tell(number)


def async_(run: Run) -> None:
    run.open_writer(WriteMode.ASYNC)
    for number in range(4):
        run.tell(number)
    run.flush()
    run.tell(4)


def append(run: Run) -> None:
    run.open()
    for number in range(3):
        run.append(number)


def emit(run: Run) -> None:
    run.open()
    for number in range(3):
        run.emit(number)
    run.flush()
    run.emit(3)
    run.flush()
    run.emit(4)


def write(run: Run) -> None:
    """Write events that the thread syncs, amid others that are queued or waited for."""
    run.open()
    for number in range(3):
        run.write(number)
    run.flush()
    run.emit(3)
    run.write(4)
    run.append(5)
    run.write(6)


def write_in_new_files(run: Run) -> None:
    run.open(ROTATES_AT_ONCE)
    for number in range(3):
        run.write(number)
    run.flush()
    run.write(3)


def write_in_threads(run: Run) -> None:
    run.open()

    def work(first: int) -> None:
        run.write(first)
        run.append(first + 1)
        run.write(first + 2)

    in_threads(work, (0, 10, 20))
    run.flush()


def in_threads(work: Callable[[int], None], numbers: Iterable[int]) -> None:
    workers = [Thread(target=work, args=(number,)) for number in numbers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def threads(run: Run) -> None:
    run.open()

    def work(first: int) -> None:
        for number in (first, first + 1):
            run.append(number)

    in_threads(work, (0, 10, 20, 30))


def forked(run: Run) -> None:
    """Let a child append beside, on a disk of its own that fails at the same call."""
    run.open()
    run.append(0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            beside(run, writing)
        finally:
            os._exit(0)
    os.close(writing)
    run.append(1)
    told = heard(reading, child)
    if not told:
        run.problems.append("the child hung or died")
        return
    run.kept |= {int(number): event_id for number, event_id in told["kept"].items()}
    run.elsewhere = {int(number) for number in told["kept"]}
    run.problems += [f"in the child: {problem}" for problem in told["problems"]]
    run.is_struck_elsewhere = told["struck"]
    run.append(2)


def beside(run: Run, writing: int) -> None:
    """Append and close in the child, then tell the parent."""
    run.kept.clear()
    for number in (10, 11):
        run.append(number)
    run.close()
    told = {"kept": run.kept, "problems": run.problems, "struck": bool(run.disk.struck)}
    os.write(writing, json.dumps(told).encode())


def heard(reading: int, child: int) -> dict[str, Any]:
    """Wait for what a child tells; a child that tells nothing in time is ended."""
    try:
        is_there = bool(select.select([reading], [], [], CHILD_S)[0])
        if not is_there:
            os.kill(child, signal.SIGKILL)
        data = os.read(reading, 65_536) if is_there else b""
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    return json.loads(data) if data else {}


def rotate(run: Run) -> None:
    run.open(ROTATES_AT_ONCE)
    for number in range(3):
        run.append(number)


def rotate_queued(run: Run) -> None:
    run.open(ROTATES_AT_ONCE)
    for number in range(3):
        run.emit(number)
    run.flush()


def recover(run: Run) -> None:
    run.open()
    for number in range(2):
        run.append(number)


def open_only(run: Run) -> None:
    run.open(create=False)
    run.look(lambda log: list(log.read()))


def read(run: Run) -> None:
    run.open()
    run.look(lambda log: list(log.read()))
    run.look(lambda log: log.verify())
    run.look(lambda log: log.resolve("@last"))
    run.look(lambda log: log.why(next(log.read())))


def ask(run: Run) -> None:
    """Ask the index of a log that grows."""

    def answered(log: Log) -> None:
        held = {event.event_id for event in log.query().events}
        if lacking := set(run.kept.values()) - held:
            run.problems.append(f"the index answers without {lacking}")

    run.open()
    run.look(lambda log: log.rebuild())
    for number in (1, 2):
        run.append(number)
        run.look(answered)


def follow(run: Run) -> None:
    run.open()

    def three(log: Log) -> None:
        stop = Signal()
        for number, _ in enumerate(log.follow(stop=stop), 1):
            if number == 3:
                stop.set()

    run.look(three)
    run.look(lambda log: log.position())
    run.look(lambda log: log.heads("a"))


def hand_on(run: Run) -> None:
    """Name an event to another process, which needs it durable."""
    run.open()
    run.append(0)
    run.emit(1)
    last = run.queued.get(1) or run.kept.get(-1, "")
    run.look(lambda log: log.environment(last), "hand on")


def close_idle(run: Run) -> None:
    run.log = Log(run.folder, PLAIN, LogSettings(report=silent), disk=run.disk)
    run.append(0)
    run.disk.arm()


def close_queued(run: Run) -> None:
    close_idle(run)
    for number in (1, 2):
        run.emit(number)


def busy(run: Run) -> None:
    """Find the append lock taken, by an opening that gives it back later."""
    run.open()
    run.append(0)
    other = AppendLock(OS_DISK, run.folder / ".thence/lock")
    other.acquire()
    try:
        run.append(1, "append to a taken log", timeout_s=0.01)
    finally:
        other.release()
        other.close()
    run.append(2)


def append_many(run: Run) -> None:
    run.open()
    run.append_many([0, 1, 2])
    run.append_many([3, 4])


def append_many_over_files(run: Run) -> None:
    run.open(ROTATES_AT_ONCE)
    run.append_many([0, 1, 2])


def tasks(run: Run) -> None:
    run.open()

    async def work() -> None:
        await asyncio.gather(*(run.append_async(number) for number in range(3)))

    asyncio.run(work())


def chosen_ids(run: Run) -> None:
    """Append under ids of our own, each twice, as one who is not sure would."""
    run.open()
    chosen = [new_id() for _ in range(2)]
    for number in (0, 1):
        run.append(number, event_id=chosen[number])
    for number in (0, 1):
        run.append(number, event_id=chosen[number])


def guarded(run: Run) -> None:
    run.open()
    guard = Unchanged(Position().after(Log(run.folder, PLAIN, disk=HASTY_DISK).read()), {"a"})
    run.append(0, "append with a guard", guard=guard, subject="a")
    run.append(1, "append with a guard", guard=guard, subject="a")


def set_aside(run: Run) -> None:
    """Have a sync fail, so that the fault falls on what is done about it."""
    run.open()
    run.append(0)
    run.disk.is_doomed = True
    run.append_many([1, 2, 3])
    run.append(4)


def set_aside_queued(run: Run) -> None:
    run.open()
    run.append(0)
    run.disk.is_doomed = True
    for number in (1, 2, 3):
        run.emit(number)
    run.flush()


def set_aside_written(run: Run) -> None:
    run.open()
    run.append(0)
    run.disk.is_doomed = True
    for number in (1, 2, 3):
        run.write(number)
    run.flush()
    run.write(4)


def set_aside_by_rotation(run: Run) -> None:
    run.open(700)
    run.append(0, subject="x" * 600)
    run.disk.is_doomed = True
    run.append(1)


def values(run: Run) -> None:
    """Append events with large values, each two with the same."""
    run.text_words = 600
    run.open()
    for number in range(3):
        run.append(number)


def values_in_new_files(run: Run) -> None:
    """Emit and append such events, with a new file for each value."""
    run.text_words = 600
    run.open(ROTATES_AT_ONCE)
    for number in range(4):
        run.emit(number)
    run.flush()
    run.append_many([4, 5, 6])


SCENES = {
    "SYNC writer": Scene(sync, nothing, "sim"),
    "ASYNC writer": Scene(async_, nothing, "sim"),
    "append": Scene(append, some),
    "emit and flush": Scene(emit, some),
    "written, synced later": Scene(write, some),
    "written in new files": Scene(write_in_new_files, some),
    "written in threads": Scene(write_in_threads, some),
    "four threads": Scene(threads, some),
    "a fork beside": Scene(forked, some),
    "rotation at each append": Scene(rotate, some),
    "rotation in a batch": Scene(rotate_queued, some),
    "recovery of a torn tail": Scene(recover, torn),
    "recovery of a newline": Scene(recover, unended),
    "an empty folder": Scene(append, nothing),
    "a log without its folder": Scene(append, adopted),
    "opening for reading": Scene(open_only, some),
    "reading": Scene(read, torn),
    "following": Scene(follow, torn),
    "asking an index": Scene(ask, torn),
    "handing on": Scene(hand_on, some),
    "close": Scene(close_idle, some, arms_itself=True),
    "close with a queue": Scene(close_queued, some, arms_itself=True),
    "append_many": Scene(append_many, some),
    "append_many over files": Scene(append_many_over_files, some),
    "a failed sync": Scene(set_aside, some),
    "a failed sync of a queue": Scene(set_aside_queued, some),
    "a failed sync of what is written": Scene(set_aside_written, some),
    "a failed sync at a rotation": Scene(set_aside_by_rotation, some),
    "tasks": Scene(tasks, some),
    "chosen ids": Scene(chosen_ids, some),
    "a guard": Scene(guarded, some),
    "a taken lock": Scene(busy, some),
    "large values": Scene(values, some),
    "large values in new files": Scene(values_in_new_files, some),
}
