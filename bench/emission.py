"""What its events cost a simulation: the shipped scenario with them and without."""

import asyncio
import time
from pathlib import Path

import msgspec

from thence.sim import EventWriter, SimulationConfig
from thence.sim.casting import cast_of
from thence.sim.events import Event, VerbosityLevel
from thence.sim.simulation import Simulation

TURNS = 200


class Played(msgspec.Struct):
    """How long a run took, in seconds, and how many events it told of."""

    seconds: float
    events: int


def play(writer: EventWriter | None) -> Played:
    """Plays the scenario for 200 turns; without a writer its events go nowhere."""
    config = SimulationConfig.from_file("spatial_trade_network")
    settings = msgspec.structs.replace(config.simulation, max_turns=TURNS)
    config = msgspec.structs.replace(config, simulation=settings)
    count = 0

    def dropped(event: Event) -> None:
        nonlocal count
        count += 1

    def written(event: Event) -> None:
        nonlocal count
        count += 1
        assert writer is not None
        writer.emit(event)

    emit = dropped if writer is None else written
    simulation = Simulation(config, cast_of(config), emit)
    start = time.perf_counter()
    asyncio.run(simulation.run())
    if writer is not None and not writer.close(60):
        raise SystemExit("the writer did not drain")
    return Played(time.perf_counter() - start, count)


def cost_us(folder: Path, mode: str) -> float:
    """Returns what an event costs in µs, synced to disk: with events less without."""
    without = play(None)
    level = VerbosityLevel.DETAIL
    with_events = play(EventWriter(folder, "run", level, mode=mode, on_full="block"))
    if without.events != with_events.events:
        raise SystemExit("the two runs differ")
    return (with_events.seconds - without.seconds) / with_events.events * 1e6
