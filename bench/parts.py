"""Where the time of an append and of a queued event goes, so that a missed target is explained."""

import fcntl
import os
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import thence
from bench.durable import EVENTS, PAYLOAD
from bench.rounds import per_second
from thence.core.codec import stamper
from thence.core.new_event import HostEvent
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import Disk
from thence.log.files.process_state import new_id, now
from thence.log.open import Log
from thence.log.read.opening import opened_vocabulary
from thence.sim import ActionEvent, EventWriter
from thence.sim.record.writer import draft_of, members_of

BATCH_EVENTS = 8_192
_LINE = b"x" * 370 + b"\n"


class UnsyncedDisk(Disk):
    """The real disk, whose sync does nothing: what is left is our own work."""

    def sync_data(self, descriptor: int) -> None:
        return


class TimedDisk(Disk):
    """The real disk, adding up what its syncs take."""

    seconds = 0.0

    def sync_data(self, descriptor: int) -> None:
        start = time.perf_counter()
        super().sync_data(descriptor)
        self.seconds += time.perf_counter() - start


def flat_loop(folder: Path) -> float:
    """Makes the system calls of an append in one flat loop; returns events a second."""
    path, lock_path = str(folder / "flat"), str(folder / "lock")
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT)

    def work() -> None:
        for _ in range(EVENTS):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.stat(lock_path)
            os.stat(path)
            os.write(descriptor, _LINE)
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.fdatasync(descriptor)

    found = per_second(EVENTS, work)
    os.close(descriptor)
    os.close(lock)
    return found


def append_us(folder: Path, disk: Disk) -> float:
    """Returns what an append on a disk takes, in µs."""
    opened_vocabulary(disk, folder, PLAIN, create=True)
    with Log(folder, PLAIN, disk=disk) as log:
        log.append("trade.begun")
        start = time.perf_counter()
        for _ in range(EVENTS):
            log.append("trade.done", PAYLOAD, subject="order/1", actor="ada")
        return (time.perf_counter() - start) / EVENTS * 1e6


def append_rows(place: Path) -> dict[str, float]:
    """Returns µs of an append with the code hot, and of all but the sync with the sync there."""
    timed = TimedDisk()
    whole = append_us(place / "timed", timed)
    return {
        "an append without its sync, code hot": append_us(place / "hot", UnsyncedDisk()),
        "an append less its sync, after a sync": whole - timed.seconds / EVENTS * 1e6,
    }


def event_rows(place: Path) -> dict[str, float]:
    """Returns µs of the parts of a queued event's way that hold the interpreter lock."""

    def build() -> ActionEvent:
        return ActionEvent(
            simulation_id="run",
            turn_number=1,
            agent_id="ada",
            action_type="move",
            action_payload={"to": "harbour", "number": 1},
        )

    event = build()
    draft = draft_of(members_of(event), ())
    stamp, batch = stamper("0123456789ab"), [draft] * BATCH_EVENTS
    writer = EventWriter(place / "queued", "run", on_full="block")
    rows = {
        "an id": _us(new_id),
        "a time": _us(now),
        "building the typed event, both included": _us(build),
        "looking at it and encoding it": _us(lambda: draft_of(members_of(event), ())),
        "numbers, CRC, joining": _us(lambda: stamp(batch, 1, 1), 20) / BATCH_EVENTS,
        "emit, the writing thread included": _us(lambda: writer.emit(event), 100_000),
    }
    writer.close(60)
    return rows


def drafting_rows(place: Path) -> dict[str, float]:
    """Returns µs of the parts of an append that come before the queue."""
    with thence.open(place / "drafts") as log:
        new = HostEvent("trade.done", PAYLOAD, "order/1", "ada")
        drafting = _us(lambda: log._drafted(new), 40_000)
    return {"drafting an event, code and data hot": drafting}


def _us(call: Callable[[], object], count: int = 200_000) -> float:
    return min(timeit.repeat(call, number=count, repeat=3)) / count * 1e6
