"""The same work as others: Mesa with its DataCollector, and Mesa that records what thence records.

One structured record of each decision and action, and of each change at STATE. The records of
others have no ids and no causes, and are never synced. All times are of the processor, all threads,
from the end of turn 1 until the log is closed, each run in a process of its own.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.playing import AGENTS, PEERS, mesa_turns_per_s, turns_per_s
from bench.rounds import measure, ratio

TURNS = 100
LOGGERS = ("structlog", "orjson")
# of Mesa that records, by logger and level
TARGETS = {("structlog", "ACTION"): 0.75, ("structlog", "STATE"): 0.85}
# agents: turns
GROWING = {1_000: 50, 10_000: 10, 100_000: 3}

Row = Callable[[str, str, str, bool], None]


def rows(place: Path, row: Row) -> None:
    """Prints turns a second of thence over those of others, then memory and bytes of an event."""
    if not PEERS.exists():
        print("    Mesa is skipped: `make .venv-bench/ready` installs it")
        return
    contenders = {"Mesa": mesa_turns_per_s, "MILESTONE": partial(turns_per_s, level="MILESTONE")}
    for level in ("ACTION", "STATE"):
        contenders[level] = partial(turns_per_s, level=level)
        for logger in LOGGERS:
            contenders[f"{logger}, {level}"] = partial(recorded_turns_per_s, level, logger)
    figures = measure(contenders, place, rounds=3)
    for level in ("MILESTONE", "ACTION", "STATE"):
        share = ratio(figures, level, "Mesa")
        print(f"    {level + ' / Mesa with its DataCollector':<58} {share:.3f}")
    for level in ("ACTION", "STATE"):
        for logger in LOGGERS:
            share, target = (
                ratio(figures, level, f"{logger}, {level}"),
                TARGETS.get((logger, level)),
            )
            name = f"turns at {level} / of Mesa with the same records by {logger}"
            if target:
                row(name, f"{share:.2f}", f"{target}", share >= target)
            else:
                print(f"    {name:<58} {share:.2f}")
    for name, values in figures.items():
        print(f"    {name:<30} {statistics.median(values):>12,.1f} turns/s")
    of_many_agents(place)


def of_many_agents(place: Path) -> None:
    """Prints µs an agent and turn, memory and bytes of an event, as the number of agents grows."""
    for agents, turns in GROWING.items():
        for level in ("ACTION", "STATE"):
            for name in ("thence", *LOGGERS):
                found = played(place, name, agents, turns, level)
                cost_us = found["played_s"] / (agents * (turns - 1)) * 1e6
                print(
                    f"    {agents:>7,} agents, {level:<6} {name:<9} {cost_us:6.1f} µs an agent and "
                    f"turn, {found['peak_mb']:,.0f} MB at most, {found['bytes']:.0f} bytes an event"
                )


def recorded_turns_per_s(level: str, logger: str, folder: Path) -> float:
    """Returns the turns of Mesa with records that a second of processor time plays."""
    return (TURNS - 1) / float(played(folder, logger, AGENTS, TURNS, level)["played_s"])


def played(place: Path, name: str, agents: int, turns: int, level: str) -> dict[str, Any]:
    """Plays a run of thence, or of Mesa with a logger, in a process; returns its costs."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        if name == "thence":
            command = [sys.executable, "-m", "bench.money", str(agents), str(turns), level, folder]
        else:
            command = [str(PEERS), "-m", "bench.peers.mesa_records", str(agents), str(turns)]
            command += [level, name, f"{folder}/records.jsonl"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        if name == "thence":
            lines = [path.read_bytes() for path in Path(folder).rglob("events*.jsonl")]
            found["bytes"] = sum(map(len, lines)) / sum(data.count(b"\n") for data in lines)
        return found
