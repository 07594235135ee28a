"""How the server answers under load, beside itself at rest: `python -m bench.serving`.

A run of a million events is served while a writer appends 5,000 a second. 16 clients ask 10
times a second each: 70 % pages of 100, 20 % single events, 10 % cones. `/health` is asked
20 times a second, first with the server at rest. Then, under the same load, 50 clients listen
live: to all events of another run, 20 a second, and to the rare ones of the loaded run, 50 a
second. All events of that one would be 250,000 frames a second.
"""

import asyncio
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from bench.listening import LISTENERS, RARE, WITHIN_MS, listening, writing
from thence.core.codec import Members, draft, stamper
from thence.core.vocabulary import SIM
from thence.log.disk import OS_DISK
from thence.log.opening import prepare
from thence.log.process import new_id, now
from thence.log.segment import current_path

EVENTS = 1_000_000
RUN = "big"
CLIENTS = 16
ASKED_PER_S = 10
REST_S = 15.0
LOAD_S = 30.0
HEALTH_EVERY_S = 0.05
APPENDED_PER_S = 5_000
QUIET = "quiet"
QUIET_PER_S = 20
MEMORY_MB = 150
SHARES = {"p50": 0.5, "p99": 0.99}
_DRAFTS = 10_000
_KEPT_IDS = 2_000
_TYPES = ("DECISION", "ACTION", "STATE", "STATE", "STATE")
Took = dict[str, list[float]]


def grown(folder: Path) -> list[str]:
    """Writes the run, unsynced; returns ids of events all over it."""
    prepare(OS_DISK, folder, SIM)
    stamp = stamper("3f9ac1d2e4b5")
    causes: tuple[str, ...] = ()
    kept: list[str] = []
    with current_path(folder).open("ab") as file:
        for begin in range(0, EVENTS, _DRAFTS):
            drafts = []
            for at in range(begin, begin + _DRAFTS):
                event = Members(
                    new_id(),
                    _TYPES[at % len(_TYPES)],
                    1,
                    now(),
                    causes,
                    simulation_id=RUN,
                    turn_number=at // 100,
                    agent_id=f"ada{at % 50}",
                    details={"variable_name": f"x{at % 40}", "old_value": at, "new_value": at + 1,
                             "scope": f"agent/ada{at % 50}", "why": "a text of usual length"},
                )  # fmt: skip
                drafts.append(draft(event))
                causes = (*causes[-1:], event.event_id)
                if not at % (EVENTS // _KEPT_IDS):
                    kept.append(event.event_id)
            file.write(b"".join(stamp(drafts, begin + 1, begin + 1)))
    return kept


class Client:
    """One connection that is kept open, as cheap as a client can be."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[StreamReader, StreamWriter] | None = None

    async def get(self, path: str) -> float:
        """Asks, reads the whole answer; returns how long it took, in ms."""
        start = time.perf_counter()
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.splitlines()[0]!r}")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        else:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        return (time.perf_counter() - start) * 1000


def question(chance: random.Random, ids: list[str]) -> tuple[str, str]:
    """Draws what is asked next: its kind, its path."""
    drawn, base = chance.random(), f"/simulations/{RUN}"
    if drawn < 0.7:
        narrowed = chance.choice(
            ("", f"&agent_ids=ada{chance.randrange(50)}", "&event_types=ACTION")
        )
        offset = chance.randrange(EVENTS // (20 if narrowed else 1))
        return "page", f"{base}/events?limit=100&offset={offset}{narrowed}"
    if drawn < 0.9:
        return "event", f"{base}/events/{chance.choice(ids)}"
    return "cone", f"{base}/causality/{chance.choice(ids)}?depth={chance.randrange(1, 21)}"


async def ask(port: int, seed: int, ids: list[str], took: Took) -> None:
    """Asks as one client does, as often as is due."""
    chance, client = random.Random(seed), Client(port)
    due = time.monotonic() + chance.random() / ASKED_PER_S
    end = due + LOAD_S
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        kind, path = question(chance, ids)
        took[kind].append(await client.get(path))
        due += 1 / ASKED_PER_S


async def probe(port: int, for_s: float) -> list[float]:
    """Asks for /health for some seconds."""
    client, took = Client(port), []
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        took.append(await client.get("/health"))
        await asyncio.sleep(HEALTH_EVERY_S)
    return took


class Measured(NamedTuple):
    """What each thing took, in ms: /health at rest, under load, the questions, the live events.

    `heard` tells of listeners to a quiet run, and to the rare events of the loaded one.
    """

    rest: list[float]
    load: list[float]
    took: Took
    heard: Took


async def measured(port: int, ids: list[str], root: Path) -> Measured:
    """Measures the server at rest, under load, and under load with each kind of listeners."""
    await Client(port).get(f"/simulations/{RUN}/events?limit=1")  # makes the index
    rest = await probe(port, REST_S)
    took: Took = defaultdict(list)
    heard: Took = {}
    async with writing(root / RUN, RUN, APPENDED_PER_S):
        load = await under_load(port, ids, took)
        async with writing(root / QUIET, QUIET, QUIET_PER_S):
            path = f"/simulations/{QUIET}/events/live?tail=0"
            heard["of a quiet run"] = await heard_under_load(port, path, ids)
        path = f"/simulations/{RUN}/events/live?tail=0&event_types={RARE}"
        heard["of rare events"] = await heard_under_load(port, path, ids)
    return Measured(rest, load, took, heard)


async def under_load(port: int, ids: list[str], took: Took) -> list[float]:
    """Has the clients ask for some seconds; returns how long /health took meanwhile."""
    asking = [ask(port, seed, ids, took) for seed in range(CLIENTS)]
    load, *_ = await asyncio.gather(probe(port, LOAD_S), *asking)
    return load


async def heard_under_load(port: int, path: str, ids: list[str]) -> list[float]:
    """Has listeners listen while the clients ask; returns how long events were under way."""
    async with listening(port, path, LISTENERS) as heard:
        await under_load(port, ids, defaultdict(list))
        return list(heard)


def p(values: list[float], share: float) -> float:
    """Returns a percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def peak_mb(process: int) -> float:
    """Returns the most memory that a process has had, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    """Prints what was measured."""
    place = Path(tempfile.mkdtemp(dir="."))
    try:
        ids = grown(place / RUN)
        thence = Path(sys.executable).with_name("thence")
        command = [str(thence), "serve", str(place), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            assert server.stdout is not None
            told = server.stdout.readline().decode()
            found = re.search(r"127\.0\.0\.1:(\d+)", told)
            if found is None:
                raise RuntimeError(told)
            rest, load, took, heard = asyncio.run(measured(int(found[1]), ids, place))
            memory = peak_mb(server.pid)
        finally:
            server.terminate()
            server.wait()
        size = current_path(place / RUN).stat().st_size
    finally:
        shutil.rmtree(place)
    bound = 5 * p(rest, 0.99) + 20
    found_p99 = p(load, 0.99)
    verdict = "reached" if found_p99 <= bound else "NOT REACHED"
    print(f"/health p99 at rest {p(rest, 0.99):.1f} ms, under load {found_p99:.1f}: {verdict}")
    verdict = "reached" if memory <= MEMORY_MB else "NOT REACHED"
    print(f"memory of the server {memory:.0f} MB, at most {MEMORY_MB}: {verdict}")
    for kind, times in sorted(took.items()):
        spans = ", ".join(f"{name} {p(times, share):.1f}" for name, share in SHARES.items())
        print(f"{kind}: {len(times)} asked, ms {spans}, the longest {max(times):.1f}")
    for kind, times in heard.items():
        found_p95 = p(times, 0.95)
        verdict = "reached" if found_p95 <= WITHIN_MS else "NOT REACHED"
        print(f"{LISTENERS} listeners {kind}, {len(times) / LOAD_S:.0f} events sent a second: "
              f"ms p50 {p(times, 0.5):.1f}, p95 {found_p95:.1f}, the longest {max(times):.1f}; "
              f"at most {WITHIN_MS} at p95: {verdict}")  # fmt: skip
    asked = sum(map(len, took.values())) / LOAD_S
    print(f"asked {asked:.0f} a second, the log at the end {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
