"""Runs and logs for a server, with events that match every filter."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.cli.installed import environment
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import ENGINE, written

import thence
from thence.core.event import Event
from thence.log.open import open_log
from thence.sim import Event as SimEvent
from thence.sim import (
    EventWriter,
    SimulationConfig,
    SimulationOrchestrator,
    VerbosityLevel,
    create_milestone_event,
)

TYPES = ("ACTION", "DECISION", "STATE", "auction.closed")
AGENTS = ("ada", "ben", "wéi", None)
_WRITER = """
import sys
from thence.sim import EventWriter, create_action_event

folder, count, pauses_at, flushes_every = sys.argv[1], *map(int, sys.argv[2:])
with EventWriter(folder, "run", max_file_size=20_000, on_full="block") as writer:
    for number in range(count):
        writer.emit(create_action_event("run", number, "ada", "move", {"number": number}))
        if number == pauses_at or not number % flushes_every:
            writer.flush()
        if number == pauses_at:
            print("going", flush=True)
            sys.stdin.readline()
"""


def remove(folder: Path) -> None:
    """Deletes a run, in which a file of its index may come meanwhile."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def make_run(root: Path, name: str, count: int = 60, seed: int = 7) -> Path:
    """Writes a run of events that name earlier ones as causes."""
    folder = root / name
    chance = random.Random(seed)
    earlier: list[str] = []
    with EventWriter(folder, name, verbosity=VerbosityLevel.DETAIL) as writer:
        for number in range(count):
            if number == 0:
                event: Any = create_milestone_event(name, 0, "simulation_start")
            else:
                event = SimEvent(
                    event_type=chance.choice(TYPES),
                    simulation_id=name,
                    turn_number=number // 7,
                    agent_id=chance.choice(AGENTS),
                    caused_by=tuple(sorted(chance.sample(earlier, min(len(earlier), 2)))),
                    details={"number": number, "text": "naïve \u2028"},
                )
            assert writer.emit(event)
            earlier.append(event.event_id)
    return folder


def writing(
    folder: Path, count: int, *, pauses_at: int = -1, flushes_every: int = 1 << 30
) -> "subprocess.Popen[bytes]":
    """Begins a process that writes a run; it says where it pauses, and reads a line there."""
    argv = [sys.executable, "-c", _WRITER, *map(str, (folder, count, pauses_at, flushes_every))]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(argv, env=environment(), **piped)


def make_index(folder: Path) -> None:
    """Makes the index of a log."""
    with open_log(folder, create=False) as log:
        log.rebuild()


def make_orders(root: Path, name: str = "orders") -> list[str]:
    """Writes a log that is no simulation: placed, paid, failed because of both, and one apart."""
    with thence.open(root / name) as log:
        placed = log.append("order.placed", {"amount": 12}, subject="order/881", actor="ada")
        paid = log.append("order.paid", {"amount": 12}, actor="ben", caused_by=[placed])
        failed = log.append("order.failed", {"reason": "no stock"}, caused_by=[placed, paid])
        apart = log.append("note", {"text": "unrelated"}, stream="night")
    return [event.event_id for event in (placed, paid, failed, apart)]


def make_village(
    root: Path, run_id: str, script: Callable[[Any], Any], engine: str = ENGINE, **changes: str
) -> None:
    """Plays a run of people whose models answer by a script; the scenario lies beside it."""
    with Endpoint(script) as endpoint, ThreadPoolExecutor() as threads:
        scenario = written(root / f".{run_id}", endpoint.base_url, **changes)
        (scenario.parent / "gifts.py").write_text(engine)
        config = SimulationConfig.from_file(scenario)
        run = SimulationOrchestrator(config, output_root=root, run_id=run_id).run
        threads.submit(run).result()  # beside a browser's event loop


def stored(folder: Path) -> list[Event]:
    """Returns all events of a log in total order, read by the library."""
    with open_log(folder, create=False) as replica:
        return replica.events()


def lines(events: list[Event]) -> list[Any]:
    return [json.loads(event.line) for event in events]


def foreign(number: int, **members: object) -> bytes:
    """Returns the line of a simulation's event as another tool writes it."""
    told = {
        "event_id": f"other-{number:04}",
        "event_type": "ACTION",
        "timestamp": f"2026-11-20T07:13:{number % 60:02}.000000Z",
        "simulation_id": "other",
        "turn_number": number,
        **members,
    }
    return json.dumps(told).encode() + b"\n"
