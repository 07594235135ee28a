"""Hands that append to one log at once, each numbering its own events, and who judges them."""

import asyncio
from collections.abc import Callable, Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread

from tests.log.faults import WAIT_S
from tests.log.processes import lines

import thence
from thence.core.codec import numbers
from thence.core.vocabulary import PLAIN
from thence.log.open import Log, LogSettings

FILE_BYTES = 40_000


def opened(folder: Path) -> Log:
    return Log(folder, PLAIN, LogSettings(max_file_size=FILE_BYTES))


def append(log: Log, hand: str, count: int) -> None:
    """Append and emit in turns; return when all of it is durable."""
    for n in range(count):
        if n % 3:
            log.emit("t", {"hand": hand, "n": n})
        else:
            log.append("t", {"hand": hand, "n": n})
    log.flush()


async def append_in_tasks(log: Log, hand: str, tasks: int, count: int) -> None:
    async def work(name: str) -> None:
        for n in range(count):
            event = await log.append_async("t", {"hand": name, "n": n})
            assert event.payload == {"hand": name, "n": n}

    await asyncio.gather(*(work(f"{hand}/task {task}") for task in range(tasks)))


def in_process(folder: Path, hand: str, count: int, start: Barrier) -> None:
    """What another process does: an opening of its own, closed at the end."""
    start.wait(WAIT_S)
    with opened(folder) as log:
        append(log, hand, count)


def in_threads(work: Callable[[str], None], hands: list[str]) -> list[Thread]:
    threads = [Thread(target=work, args=(hand,), name=hand) for hand in hands]
    for thread in threads:
        thread.start()
    return threads


def judged(folder: Path, hands: Mapping[str, int]) -> None:
    """Check that each hand's events stand there once, in its order, and all numbers in a row."""
    stamps = [numbers(line) for line in lines(folder)]
    assert len({stamp[0] for stamp in stamps if stamp}) == 1
    for place in (1, 2):
        assert [stamp[place] for stamp in stamps if stamp] == list(range(1, len(stamps) + 1))
    found: dict[str, list[int]] = {}
    with thence.open(folder) as log:
        assert log.verify().findings == ()
        for event in log.read():
            found.setdefault(event.payload["hand"], []).append(event.payload["n"])
    assert found == {hand: list(range(count)) for hand, count in hands.items()}
