"""How the server answers under load, beside itself at rest: `python -m bench.serving`.

A run of a million events is served while a writer appends 5,000 a second. 16 clients ask 10
times a second each: 70 % pages of 100, 20 % single events, 10 % cones. `/health` is asked
20 times a second, first with the server at rest. Then, under the same load, 50 clients listen
live: to all events of another run, 20 a second, and to the rare ones of the loaded run, 50 a
second. All events of that one would be 250,000 frames a second. Before, with nothing else asked,
they listen to a small run that grows by 200 events a second.

What an answer costs is told in steps: one client asks one question behind the other, for nothing,
then what the clients ask, with the writer at rest and at work.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.listening import LISTENERS, RARE, WITHIN_MS, listening, writing
from bench.load import (
    APPENDED_PER_S,
    ASKED_PER_S,
    CLIENTS,
    MEMORY_MB,
    Client,
    Load,
    Took,
    grown,
    health_ms_max,
    p,
    peak_mb,
    probe,
    processor_s,
    question,
    served,
    under_load,
)
from thence.log.files.segment import current_path

EVENTS = 1_000_000
RUN = "big"
REST_S = 15.0
LOAD_S = 30.0
ALONE_S = 10.0
QUIET = "quiet"
QUIET_PER_S = 20
LIVELY = "lively"
LIVELY_PER_S = 200
SHARES = {"p50": 0.5, "p99": 0.99}


class Measured(NamedTuple):
    """What each thing took, in ms: /health at rest, under load, the questions, the live events.

    `heard` tells of listeners to a lively run, to a quiet one, and to the rare events of the
    loaded one. `spent` is how much of a processor the server had under load, in s. `alone` is what
    an answer cost the processor with nothing else asked, in ms, by what was asked.
    """

    rest: list[float]
    load: list[float]
    took: Took
    heard: Took
    spent: float
    alone: dict[str, float]


async def alone(asked: Load, process: int, draw: Callable[[], str]) -> float:
    """Asks one question behind the other; returns what an answer costs the processor, in ms."""
    count, end = 0, time.monotonic() + ALONE_S
    async with Client(asked.port) as client:
        before = processor_s(process)
        while time.monotonic() < end:
            await client.body(draw())
            count += 1
    return (processor_s(process) - before) / count * 1000


async def measured(asked: Load, root: Path, process: int) -> Measured:
    """Measures the server at rest, under load, and under load with each kind of listeners."""
    async with Client(asked.port) as client:
        await client.get(f"/simulations/{RUN}/events?limit=1")  # makes the index
    rest = await probe(asked.port, REST_S)
    chance = random.Random(0)

    def drawn() -> str:
        return question(chance, asked)[1]

    cost = {
        "/health": await alone(asked, process, lambda: "/health"),
        "a question, the log at rest": await alone(asked, process, drawn),
    }
    took: Took = defaultdict(list)
    heard: Took = {}
    async with writing(root / LIVELY, LIVELY, LIVELY_PER_S):
        path = f"/simulations/{LIVELY}/events/live?tail=0"
        async with listening(asked.port, path, LISTENERS) as told:
            await asyncio.sleep(LOAD_S)
            heard["of a lively run, nothing asked"] = list(told)
    async with writing(root / RUN, RUN, APPENDED_PER_S):
        cost["a question, the log growing"] = await alone(asked, process, drawn)
        before = processor_s(process)
        load = await under_load(asked, LOAD_S, took)
        spent = processor_s(process) - before
        async with writing(root / QUIET, QUIET, QUIET_PER_S):
            path = f"/simulations/{QUIET}/events/live?tail=0"
            heard["of a quiet run"] = await heard_under_load(asked, path)
        path = f"/simulations/{RUN}/events/live?tail=0&event_types={RARE}"
        heard["of rare events"] = await heard_under_load(asked, path)
    return Measured(rest, load, took, heard, spent, cost)


async def heard_under_load(asked: Load, path: str) -> list[float]:
    """Has listeners listen while the clients ask; returns how long events were under way."""
    async with listening(asked.port, path, LISTENERS) as heard:
        await under_load(asked, LOAD_S, defaultdict(list))
        return list(heard)


def main() -> None:
    """Prints what was measured."""
    place = Path(tempfile.mkdtemp(dir="."))
    try:
        ids = grown(place / RUN, EVENTS)
        with served(place) as (port, process):
            asked = Load(port, RUN, EVENTS, ids)
            rest, load, took, heard, processor, cost = asyncio.run(measured(asked, place, process))
            memory = peak_mb(process)
        size = current_path(place / RUN).stat().st_size
    finally:
        shutil.rmtree(place)
    found_p99 = p(load, 0.99)
    verdict = "reached" if found_p99 <= health_ms_max(rest) else "NOT REACHED"
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
    answers = sum(map(len, took.values()))
    per_second = answers / LOAD_S
    due = CLIENTS * ASKED_PER_S
    print(f"answered {per_second:.0f} a second of {due} that are due, "
          f"the log at the end {size / 1e6:.0f} MB")  # fmt: skip
    print(f"meanwhile the server had {processor / LOAD_S:.2f} of a processor, "
          f"{1000 * processor / answers:.1f} ms an answer")  # fmt: skip
    for what, ms in cost.items():
        print(f"    asked one behind the other: {what:<30} {ms:.1f} ms an answer")


if __name__ == "__main__":
    main()
