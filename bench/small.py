"""What a question to a small run costs the server: one that was simulated, nothing else asked."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.load import Client, processor_s, served
from thence.log.files.segment import current_path
from thence.sim.run.run import SimulationOrchestrator

SCENARIO = "spatial_trade_network"
# of about 72 events each
TURNS = (42, 137)
ASKED = 300
MANY = 25
SEED = 20261122
_DRAWN = 40

Costs = dict[str, float]


class Small(NamedTuple):
    """What each question cost the processor, in ms, by how many events the run has.

    `why_causes` is how many causes its mean answer tells, `in_turn_ms` what a page of one event
    costs that is asked of 25 runs in turn.
    """

    ms: dict[int, Costs]
    why_causes: dict[int, float]
    in_turn_ms: float


def measured(place: Path) -> Small:
    """Simulates the runs below a folder, serves them and asks."""
    ids = {turns: _simulated(place, f"r{turns}", turns) for turns in TURNS}
    for number in range(MANY):
        _simulated(place, f"m{number}", TURNS[0])
    with served(place) as (port, process):
        return asyncio.run(_asked(port, process, ids))


def _simulated(place: Path, run: str, turns: int) -> list[str]:
    SimulationOrchestrator(SCENARIO, output_root=place, run_id=run, max_turns=turns).run()
    lines = current_path(place / run).read_bytes().splitlines()
    return [json.loads(line)["event_id"] for line in lines]


async def _asked(port: int, process: int, ids: dict[int, list[str]]) -> Small:
    ms: dict[int, Costs] = {}
    causes: dict[int, float] = {}
    async with Client(port) as client:
        await client.body("/simulations")  # looks at all of them, which the server does meanwhile
        for turns, known in ids.items():
            asked = _questions(f"/simulations/r{turns}", known)
            ms[len(known)] = {
                name: await _cost_ms(client, process, paths) for name, paths in asked.items()
            }
            told = [json.loads(await client.body(path))["causes"] for path in asked["why"]]
            causes[len(known)] = sum(map(len, told)) / len(told)
        many = [f"/simulations/m{number}/events?limit=1" for number in range(MANY)]
        return Small(ms, causes, await _cost_ms(client, process, many))


def _questions(run: str, ids: Sequence[str]) -> dict[str, list[str]]:
    """Returns the paths that ask the same of different events, by what they ask."""
    drawn = random.Random(SEED).sample(ids, _DRAWN)
    offsets = range(0, len(ids) - 100, 97)
    return {
        "events?limit=1": [f"{run}/events?limit=1"],
        "a page of 100": [f"{run}/events?limit=100&offset={offset}" for offset in offsets],
        "one event": [f"{run}/events/{event_id}" for event_id in drawn],
        "causes and effects, 5 far": [f"{run}/causality/{event_id}" for event_id in drawn],
        "status": [run],
        "why": [f"{run}/why/{event_id}" for event_id in drawn],
    }


async def _cost_ms(client: Client, process: int, paths: Sequence[str]) -> float:
    """Asks them in turn, once for nothing; returns what an answer costs the processor, in ms."""
    for path in paths:
        await client.body(path)
    before = processor_s(process)
    for number in range(ASKED):
        await client.body(paths[number % len(paths)])
    return (processor_s(process) - before) / ASKED * 1000
