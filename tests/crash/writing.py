"""The process that is killed: it appends for ever and tells what was acknowledged.

Every id goes to the ledger, a pipe to the harness, after the call that acknowledged it has
returned, by one write: what the harness has read was promised.
"""

import os
import random
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from thence.core.vocabulary import PLAIN
from thence.log.disk import OS_DISK, Disk
from thence.replica import Replica
from thence.sim.builders import create_action_event
from thence.sim.writer import EventWriter, WriteMode

EVENTS_MAX = 100_000
BATCH_EVENTS_MAX = 25
TEXT_CHARACTERS_MAX = 400


class Life(NamedTuple):
    """How one process writes until it is killed.

    `dies_at` is the number of the call to the disk at which it kills itself, 0 for never;
    with `dies_writing` it is that of the write, half of which goes out.
    """

    kind: str
    seed: int
    file_bytes_max: int
    dies_at: int
    dies_writing: bool


class DeadlyDisk(Disk):
    """The real disk, at whose n-th call the process is killed: before it, behind it, half-way."""

    def __init__(self, life: Life, chance: random.Random) -> None:
        self._left = life.dies_at
        self._dies_writing = life.dies_writing
        self._chance = chance

    def write(self, descriptor: int, data: bytes) -> int:
        self._left -= 1
        if self._left:
            return super().write(descriptor, data)
        os.write(descriptor, data[: self._chance.randrange(len(data) + 1)])
        die()
        return 0

    def around(self, call: Callable[[], object]) -> object:
        """Make a call that is no write; die before it or behind it if it is the last."""
        if not self._dies_writing:
            self._left -= 1
        if self._left == 0 and self._chance.random() < 0.5:
            die()
        result = call()
        if self._left == 0:
            die()
        return result


def _deadly(name: str) -> Callable[..., object]:
    def call(self: DeadlyDisk, *arguments: object) -> object:
        return self.around(lambda: getattr(Disk, name)(self, *arguments))

    return call


for _name in ("open_append", "sync_data", "sync_folder", "truncate", "rename", "link", "unlink"):
    setattr(DeadlyDisk, _name, _deadly(_name))


def die() -> None:
    """Kill this process as the system would: nothing is cleaned up, nothing flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def write(folder: str, life: Life, ledger: Connection) -> None:
    """Append until killed; the ids go to the ledger once they are acknowledged."""
    chance = random.Random(life.seed)
    disk = DeadlyDisk(life, chance) if life.dies_at else OS_DISK
    for ids in KINDS[life.kind](Path(folder), life.file_bytes_max, disk, chance):
        os.write(ledger.fileno(), "".join(f"{event_id}\n" for event_id in ids).encode())


def append(folder: Path, limit: int, disk: Disk, chance: random.Random) -> Iterator[list[str]]:
    """Append one by one, from `Replica`."""
    log = Replica(folder, PLAIN, max_file_size=limit, disk=disk)
    for number in range(EVENTS_MAX):
        yield [log.append("worked", {"n": number, "text": text(chance)}).event_id]


def emit(folder: Path, limit: int, disk: Disk, chance: random.Random) -> Iterator[list[str]]:
    """Emit a few, then flush, from `Replica`."""
    log = Replica(folder, PLAIN, max_file_size=limit, disk=disk)
    for number in range(EVENTS_MAX):
        count = chance.randrange(1, BATCH_EVENTS_MAX)
        ids = [log.emit("worked", {"n": number, "text": text(chance)}) for _ in range(count)]
        log.flush()
        yield ids


def sync(folder: Path, limit: int, disk: Disk, chance: random.Random) -> Iterator[list[str]]:
    """Emit in SYNC mode, from `EventWriter`."""
    writer = EventWriter(folder, "run", max_file_size=limit, mode=WriteMode.SYNC, disk=disk)
    for number in range(EVENTS_MAX):
        event = create_action_event("run", number, "ada", "worked", {"text": text(chance)})
        assert writer.emit(event)
        yield [event.event_id]


def async_(folder: Path, limit: int, disk: Disk, chance: random.Random) -> Iterator[list[str]]:
    """Emit in ASYNC mode and flush now and then, from `EventWriter`."""
    writer = EventWriter(folder, "run", max_file_size=limit, mode=WriteMode.ASYNC, disk=disk)
    for number in range(EVENTS_MAX):
        events = [
            create_action_event("run", number, "ada", "worked", {"text": text(chance)})
            for _ in range(chance.randrange(1, BATCH_EVENTS_MAX))
        ]
        assert all(map(writer.emit, events))
        writer.flush()
        yield [event.event_id for event in events]


def lie(folder: Path, limit: int, disk: Disk, chance: random.Random) -> Iterator[list[str]]:
    """Acknowledge what is only queued, as no writer may: the harness must notice."""
    log = Replica(folder, PLAIN, max_file_size=limit, disk=disk)
    log.append("worked")
    for _ in range(EVENTS_MAX):
        yield [log.emit("worked", {"text": text(chance)}) for _ in range(BATCH_EVENTS_MAX)]


def text(chance: random.Random) -> str:
    """Make a text with what tears badly in it: quotes, newlines, letters of many bytes."""
    return chance.choice('xé"\n😀') * chance.randrange(TEXT_CHARACTERS_MAX)


KINDS = {"append": append, "emit": emit, "sync": sync, "async": async_, "lie": lie}
