"""The process that is killed: it appends for ever and tells what was acknowledged.

Every id goes to the ledger, a pipe to the harness, after the call that acknowledged it has
returned, by one write: what the harness has read was promised. The ways to write are in
`hands`.
"""

import os
import random
import signal
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event
from typing import NamedTuple

from tests.crash.hands import HANDS, Job

from thence.log.files.disk import OS_DISK, Disk


class Life(NamedTuple):
    """How one process writes until it is killed.

    `dies_at` is the number of the call to the disk at which it kills itself, 0 for never;
    with `dies_writing` it is that of the write, half of which goes out.
    """

    kind: str
    seed: int
    line_bytes_max: int
    file_bytes_max: int
    dies_at: int
    dies_writing: bool


class DeadlyDisk(Disk):
    """The real disk, at whose n-th call the process is killed: before it, behind it, half-way.

    It dies only while `may_die` is set: who counts what it queues stops before.
    """

    def __init__(self, life: Life, chance: random.Random, may_die: Event) -> None:
        self._calls = count(1)
        self._dies_at = life.dies_at
        self._dies_writing = life.dies_writing
        self._chance = chance
        self._may_die = may_die

    def write(self, descriptor: int, data: bytes) -> int:
        if next(self._calls) != self._dies_at:
            return super().write(descriptor, data)
        os.write(descriptor, data[: self._chance.randrange(len(data) + 1)])
        self.die()
        return 0

    def around(self, call: Callable[[], object]) -> object:
        """Make a call that is no write; if it is the last, die before it or behind it.

        It dies behind one that fails too, as a `link` does when others were quicker.
        """
        is_last = not self._dies_writing and next(self._calls) == self._dies_at
        if is_last and self._chance.random() < 0.5:
            self.die()
        try:
            return call()
        finally:
            if is_last:
                self.die()

    def die(self) -> None:
        """Kill this process as the system would: nothing is cleaned up, nothing flushed."""
        self._may_die.wait()
        os.kill(os.getpid(), signal.SIGKILL)


def _deadly(name: str) -> Callable[..., object]:
    def call(self: DeadlyDisk, *arguments: object) -> object:
        return self.around(lambda: getattr(Disk, name)(self, *arguments))

    return call


for _name in ("open_append", "sync_data", "sync_folder", "truncate", "rename", "link", "unlink"):
    setattr(DeadlyDisk, _name, _deadly(_name))


def write(folder: str, life: Life, ledger: Connection) -> None:
    """Append until killed; the ids go to the ledger once they are acknowledged."""
    chance = random.Random(life.seed)
    may_die = Event()
    may_die.set()
    disk = DeadlyDisk(life, chance, may_die) if life.dies_at else OS_DISK

    def tell(mark: str, ids: list[str]) -> None:
        os.write(ledger.fileno(), "".join(f"{mark}{event_id}\n" for event_id in ids).encode())

    HANDS[life.kind](
        Job(Path(folder), life.file_bytes_max, life.line_bytes_max, disk, chance, tell, may_die)
    )
