"""What stands between many hands and the disk: threads woken, a lock polled, numbers read."""

import fcntl
import os
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Lock, Thread

from bench.contended import timed
from bench.durable import PAYLOAD
from bench.parts import UnsyncedDisk
from thence.core.vocabulary import PLAIN
from thence.log.open import Log
from thence.log.read.opening import prepare

HANDOVERS = 20_000
APPENDS = 2_000
PROCESSES = 8
LINES_EACH = 750
LINE = b"x" * 334 + b"\n"
POLL_S = 0.00005
HELD_S = 0.00003
WAIT_S = 60.0


def handover_us() -> float:
    """Returns µs in which two threads wake each other once, there and back."""
    ours, theirs = Lock(), Lock()
    ours.acquire()
    theirs.acquire()

    def answer() -> None:
        for _ in range(HANDOVERS):
            ours.acquire(timeout=WAIT_S)
            theirs.release()

    thread = Thread(target=answer)
    thread.start()
    start = time.perf_counter()
    for _ in range(HANDOVERS):
        ours.release()
        theirs.acquire(timeout=WAIT_S)
    found = (time.perf_counter() - start) / HANDOVERS * 1e6
    thread.join()
    return found


def in_turns_us(place: Path) -> float:
    """Returns µs of an append without its sync when another opening appends in between."""
    prepare(UnsyncedDisk(), place, PLAIN)
    logs = [Log(place, PLAIN, disk=UnsyncedDisk()) for _ in range(2)]
    found = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(APPENDS):
            for log in logs:
                log.append("trade.done", PAYLOAD, subject="order/1", actor="ada")
        found.append((time.perf_counter() - start) / APPENDS / len(logs) * 1e6)
    for log in logs:
        log.close()
    return min(found)


def _bare(folder: str, is_polled: bool, held_s: float, start: Barrier, end: Barrier) -> None:
    lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT)
    descriptor = os.open(f"{folder}/raw", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    start.wait(WAIT_S)
    for _ in range(LINES_EACH):
        while is_polled:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(POLL_S)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
        until = time.perf_counter() + held_s
        while time.perf_counter() < until:
            pass
        os.write(descriptor, LINE)
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.fdatasync(descriptor)
    end.wait(WAIT_S)


def bare_processes(place: Path) -> dict[str, float]:
    """Returns events a second of eight processes that do the system calls and little else."""
    found = {}
    ways = {
        "waits for the lock": (False, 0.0),
        "polls for it": (True, 0.0),
        "polls for it and holds it for 30 µs": (True, HELD_S),
    }
    for name, way in ways.items():
        folder = place / name.replace(" ", "-")
        folder.mkdir()
        seconds = timed(_bare, PROCESSES, (str(folder), *way))
        found[name] = PROCESSES * LINES_EACH / seconds
    return found
