"""Turns of rule agents that pass money on, beside Mesa's; how they grow with agents and turns.

All times are of the processor, all threads, from the end of turn 1 until the log is closed, each
run in a process of its own.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.sim import ring

from bench.rounds import measure, ratio
from thence.sim import replay

AGENTS = 1_000
TURNS = 100
MESA_TURNS = 300
PEERS = Path(__file__).resolve().parent.parent / ".venv-bench/bin/python"
TARGETS = {"MILESTONE": 0.35, "ACTION": 0.12, "STATE": 0.08}
LEVELS = ("MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL")
# agents: turns
GROWING = {1_000: 100, 10_000: 20, 100_000: 5}

Row = Callable[[str, str, str, bool], None]


def rows(place: Path, row: Row) -> None:
    """Prints what a turn costs beside Mesa's, with more agents, and late in a run."""
    if PEERS.exists():
        beside_mesa(place, row)
    else:
        print("    Mesa is skipped: `make .venv-bench/ready` installs it")
    of_many_agents(place, row)
    late_turns(place, row)
    replays(place, row)


def beside_mesa(place: Path, row: Row) -> None:
    """Prints turns a second at three levels over those of Mesa, by turns in three rounds."""
    contenders = {level: partial(turns_per_s, level=level) for level in TARGETS}
    figures = measure({"Mesa": mesa_turns_per_s, **contenders}, place, rounds=3)
    for level, target in TARGETS.items():
        found = ratio(figures, level, "Mesa")
        name = f"turns of {AGENTS:,} rule agents at {level} / Mesa's"
        row(name, f"{found:.3f}", f"{target}", found >= target)
    for name, values in figures.items():
        print(f"    {name:<30} {statistics.median(values):>12,.1f} turns/s")


def of_many_agents(place: Path, row: Row) -> None:
    """Prints agents x turns a second as the number of agents grows, and the memory they take."""
    rates = {}
    for agents, turns in GROWING.items():
        found = played(place, agents, turns, "MILESTONE")
        rates[agents] = agents * (turns - 1) / found["played_s"]
        told = f"{rates[agents]:,.0f} agents x turns/s"
        print(f"    {agents:>7,} agents: {told}, {found['peak_mb']:,.0f} MB at most")
    share = rates[max(GROWING)] / rates[min(GROWING)]
    row("agents x turns/s of 100,000 agents / of 1,000", f"{share:.2f}", "0.7", share >= 0.7)


def late_turns(place: Path, row: Row) -> None:
    """Prints what turn 300 of 100 agents costs over turn 10; each the median of ten around it."""
    for level in LEVELS:
        costs_s = played(place, 100, 306, level)["costs_s"]
        early, late = (statistics.median(costs_s[turn - 7 : turn + 3]) for turn in (10, 300))
        found = late / early
        row(f"turn 300 / turn 10, 100 agents, {level}", f"{found:.2f}", "1.2", found <= 1.2)


def replays(place: Path, row: Row) -> None:
    """Prints what a replay of people who read their neighbours costs over the run."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        start_s = time.process_time()
        result = ring.orchestrator(Path(folder), "ACTION", reaches=True).run()
        run_s = time.process_time() - start_s
        start_s = time.process_time()
        replay(result.output_dir, **ring.components(reaches=True))
        share = (time.process_time() - start_s) / run_s
        print(f"    {result.events:,} lines")
    row("replay / run of 200 people who read their neighbours", f"{share:.2f}", "3", share <= 3)


def turns_per_s(folder: Path, level: str) -> float:
    """Returns the turns of a run that a second of processor time plays."""
    return (TURNS - 1) / float(played(folder, AGENTS, TURNS, level)["played_s"])


def mesa_turns_per_s(_: Path) -> float:
    """Returns the same of Mesa's model."""
    found = _answer(str(PEERS), "bench.peers.mesa_money", AGENTS, MESA_TURNS)
    return (MESA_TURNS - 1) / float(found["played_s"])


def played(place: Path, agents: int, turns: int, level: str) -> dict[str, Any]:
    """Plays a run in a process and a folder of its own; returns its costs."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        return _answer(sys.executable, "bench.money", agents, turns, level, folder)


def _answer(python: str, program: str, *given: object) -> dict[str, Any]:
    command = [python, "-m", program, *map(str, given)]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer
