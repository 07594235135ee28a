"""What its events cost a simulation: the shipped scenario with them and without."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import asdict

from thence.core.event import EventFields
from thence.sim import EventWriter, SimulationConfig
from thence.sim.record.events import Event, VerbosityLevel
from thence.sim.run.simulation import Simulation, make_components

TURNS = 200


class Played(NamedTuple):
    """How long a run took, in seconds, and how many events it told of.

    `own_s` is what the thread that played had of a processor, `all_s` all threads.
    """

    seconds: float
    own_s: float
    all_s: float
    events: int


class Cost(NamedTuple):
    """What an event costs in µs: by the clock, in the thread that plays, in those that write."""

    wall_us: float
    playing_us: float
    writing_us: float


def play(writer: EventWriter | None) -> Played:
    """Plays the scenario for 200 turns; without a writer its events go nowhere."""
    count = 0

    def dropped(event: Event) -> None:
        nonlocal count
        count += 1

    def written(event: Event) -> None:
        nonlocal count
        count += 1
        assert writer is not None
        writer.emit(event)

    simulation = _simulation(dropped if writer is None else written)
    start, own_s, all_s = time.perf_counter(), time.thread_time(), time.process_time()
    asyncio.run(simulation.run())
    if writer is not None and not writer.close(60):
        raise SystemExit("the writer did not drain")
    return Played(
        time.perf_counter() - start, time.thread_time() - own_s, time.process_time() - all_s, count
    )


def _simulation(emit: Callable[[Event], object]) -> Simulation:
    config = SimulationConfig.from_file("spatial_trade_network")
    settings = msgspec.structs.replace(config.simulation, max_turns=TURNS)
    config = msgspec.structs.replace(config, simulation=settings)

    def emit_each(piece: Sequence[EventFields]) -> None:
        for members in piece:
            emit(Event.from_dict(asdict(members)))

    return Simulation(config, make_components(config), emit_each)


def in_a_row_us(folder: Path) -> float:
    """Returns what `emit` takes of a processor for the same events, one behind the other, ASYNC."""
    events: list[Event] = []
    asyncio.run(_simulation(events.append).run())
    with EventWriter(folder, "run", VerbosityLevel.DETAIL, mode="async", on_full="block") as writer:
        start = time.thread_time()
        for event in events:
            writer.emit(event)
        return (time.thread_time() - start) / len(events) * 1e6


def cost(folder: Path, mode: str) -> Cost:
    """Returns what an event costs, synced to disk: with events less without."""
    without = play(None)
    level = VerbosityLevel.DETAIL
    with_events = play(EventWriter(folder, "run", level, mode=mode, on_full="block"))
    if without.events != with_events.events:
        raise SystemExit("the two runs differ")
    us = 1e6 / with_events.events
    playing_us = (with_events.own_s - without.own_s) * us
    both_us = (with_events.all_s - without.all_s) * us
    return Cost((with_events.seconds - without.seconds) * us, playing_us, both_us - playing_us)
