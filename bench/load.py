"""What is asked of a server under load: by 16 clients, 10 times a second each.

70 % are pages of 100 anywhere in a run, 20 % single events, 10 % cones. `/health` is asked beside
them, 20 times a second.
"""

import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from thence.core.codec import draft, stamper
from thence.core.event import EventFields
from thence.core.vocabulary import SIM
from thence.log.files.disk import OS_DISK
from thence.log.files.process_state import new_id, now
from thence.log.files.segment import current_path
from thence.log.read.opening import prepare

CLIENTS = 16
ASKED_PER_S = 10
HEALTH_EVERY_S = 0.05
APPENDED_PER_S = 5_000
MEMORY_MB = 150
_DRAFTS = 10_000
_KEPT_IDS = 2_000
_TYPES = ("DECISION", "ACTION", "STATE", "STATE", "STATE")
Took = dict[str, list[float]]


class Load(NamedTuple):
    """What is asked of: a server's port, a run, how many events it has, ids of some of them."""

    port: int
    run: str
    events: int
    ids: Sequence[str]


def grown(folder: Path, events: int) -> list[str]:
    """Writes a run, unsynced, that bears its folder's name; returns ids of events all over it."""
    prepare(OS_DISK, folder, SIM)
    stamp = stamper("3f9ac1d2e4b5")
    causes: tuple[str, ...] = ()
    kept: list[str] = []
    with current_path(folder).open("ab") as file:
        for begin in range(0, events, _DRAFTS):
            drafts = []
            for at in range(begin, min(begin + _DRAFTS, events)):
                event = EventFields(
                    new_id(),
                    _TYPES[at % len(_TYPES)],
                    1,
                    now(),
                    causes,
                    simulation_id=folder.name,
                    turn_number=at // 100,
                    agent_id=f"ada{at % 50}",
                    details={"variable_name": f"x{at % 40}", "old_value": at, "new_value": at + 1,
                             "scope": f"agent/ada{at % 50}", "why": "a text of usual length"},
                )  # fmt: skip
                drafts.append(draft(event))
                causes = (*causes[-1:], event.event_id)
                if not at % max(1, events // _KEPT_IDS):
                    kept.append(event.event_id)
            file.write(b"".join(stamp(drafts, begin + 1, begin + 1)))
    return kept


class Client:
    """One connection that is kept open, as cheap as a client can be."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[StreamReader, StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ends is not None:
            self._ends[1].close()
            await self._ends[1].wait_closed()

    async def get(self, path: str) -> float:
        """Asks, reads the whole answer; returns how long it took, in ms."""
        start = time.perf_counter()
        await self.body(path)
        return (time.perf_counter() - start) * 1000

    async def body(self, path: str) -> bytes:
        """Asks and returns the whole answer."""
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.splitlines()[0]!r}")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length:
            return await reader.readexactly(int(length[1]))
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size + 2))
        await reader.readline()
        return b"".join(part[:-2] for part in parts)


def question(chance: random.Random, load: Load) -> tuple[str, str]:
    """Draws what is asked next: its kind, its path."""
    drawn, base = chance.random(), f"/simulations/{load.run}"
    if drawn < 0.7:
        narrowed = chance.choice(
            ("", f"&agent_ids=ada{chance.randrange(50)}", "&event_types=ACTION")
        )
        offset = chance.randrange(load.events // (20 if narrowed else 1))
        return "page", f"{base}/events?limit=100&offset={offset}{narrowed}"
    if drawn < 0.9:
        return "event", f"{base}/events/{chance.choice(load.ids)}"
    return "cone", f"{base}/causality/{chance.choice(load.ids)}?depth={chance.randrange(1, 21)}"


async def ask(load: Load, seed: int, for_s: float, took: Took) -> None:
    """Asks as one client does, as often as is due, or as often as it gets answers."""
    chance = random.Random(seed)
    due = time.monotonic() + chance.random() / ASKED_PER_S
    end = due + for_s
    async with Client(load.port) as client:
        while max(due, time.monotonic()) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            kind, path = question(chance, load)
            took[kind].append(await client.get(path))
            due += 1 / ASKED_PER_S


async def probe(port: int, for_s: float) -> list[float]:
    """Asks for /health for some seconds."""
    took = []
    end = time.monotonic() + for_s
    async with Client(port) as client:
        while time.monotonic() < end:
            took.append(await client.get("/health"))
            await asyncio.sleep(HEALTH_EVERY_S)
    return took


async def under_load(load: Load, for_s: float, took: Took) -> list[float]:
    """Has the clients ask for some seconds; returns how long /health took meanwhile, in ms.

    `took` is given how long each question took, by its kind.
    """
    asking = [ask(load, seed, for_s, took) for seed in range(CLIENTS)]
    health, *_ = await asyncio.gather(probe(load.port, for_s), *asking)
    return health


def health_ms_max(at_rest: Sequence[float]) -> float:
    """Returns the most that the p99 of /health may be under load."""
    return 5 * p(at_rest, 0.99) + 20


def p(values: Sequence[float], share: float) -> float:
    """Returns a percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


@contextmanager
def served(root: Path) -> Iterator[tuple[int, int]]:
    """Serves a folder by the installed command; gives its port and its process."""
    command = [str(Path(sys.executable).with_name("thence")), "serve", str(root), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert server.stdout is not None
        told = server.stdout.readline().decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", told)
        if found is None:
            raise RuntimeError(told)
        yield int(found[1]), server.pid
    finally:
        server.terminate()
        server.wait()


def processor_s(process: int) -> float:
    """Returns how many seconds a process has had of a processor."""
    words = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(process: int) -> float:
    """Returns the most memory that a process has had, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024
