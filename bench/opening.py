"""A large log opened: closed properly before, or its writer killed in the midst of writing."""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import thence

LOG_BYTES = 1024 * 1024 * 1024
PAYLOAD = {"text": "x" * 2_000}
OPENINGS = 7
WRITTEN = 200


def written(folder: Path) -> None:
    """Writes a log of 1 GB and closes it."""
    with thence.open(folder) as log:
        for number in range(LOG_BYTES // 2_200):
            log.emit("trade.seen", {"number": number, **PAYLOAD})


def _opened_s(folder: Path) -> float:
    start = time.perf_counter()
    log = thence.open(folder)
    log.append("trade.done")
    seconds = time.perf_counter() - start
    log.close()
    return seconds


def after_a_close(folder: Path) -> float:
    """Returns the median seconds from opening a clean log to its first durable append."""
    return statistics.median(_opened_s(folder) for _ in range(OPENINGS))


def after_a_kill(folder: Path) -> tuple[float, float]:
    """Returns the median and the longest seconds of the same when the last writer was killed."""
    found = list(_killed(folder))
    return statistics.median(found), max(found)


def _killed(folder: Path) -> Iterator[float]:
    for _ in range(OPENINGS):
        heard, told = os.pipe()
        process = os.fork()
        if process == 0:
            log = thence.open(folder)
            for number in range(WRITTEN):
                log.append("trade.done", {"number": number})
            os.write(told, b"ready")
            while True:
                log.emit("trade.seen", PAYLOAD)
        os.read(heard, 5)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(heard)
        os.close(told)
        yield _opened_s(folder)
