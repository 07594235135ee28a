"""Populations beside Mesa: whole runs with their log and start, and the causes of one row.

All times are of the processor, all threads. A run of ours counts from its program's start until
its log is closed; of Mesa the turns after the first count alone.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.playing import PEERS
from bench.rounds import measure, ratio

# rows: turns of ours, of Mesa
BESIDE_MESA = {10_000: (2_000, 20), 100_000: (200, 4)}
ROUNDS = 3
WHY_ROWS, WHY_TURNS = 100_000, 100

Row = Callable[[str, str, str, bool], None]


def rows(place: Path, row: Row) -> None:
    """Prints turns a second beside Mesa's, those of a million, and what a row's why takes."""
    if PEERS.exists():
        for size, (turns, mesa_turns) in BESIDE_MESA.items():
            ours = partial(turns_per_s, kind="money", size=size, turns=turns)
            mesa = partial(mesa_turns_per_s, size=size, turns=mesa_turns)
            share = ratio(
                measure({"ours": ours, "Mesa": mesa}, place, rounds=ROUNDS), "ours", "Mesa"
            )
            told = f"a population of {size:,}, {turns:,} turns / Mesa's turns"
            row(told, f"{share:.0f}", "20", share >= 20)
    else:
        print("    Mesa is skipped: `make .venv-bench/ready` installs it")
    rate = turns_per_s(place, "epidemic", 1_000_000, 100)
    row("an epidemic of 1,000,000, turns/s", f"{rate:.0f}", "20", rate >= 20)
    why_s = _played(place, "money", WHY_ROWS, WHY_TURNS)["why_s"]
    row(f"why of a row of {WHY_ROWS:,}, {WHY_TURNS} turns", f"{why_s:.2f} s", "3 s", why_s <= 3)


def turns_per_s(place: Path, kind: str, size: int, turns: int) -> float:
    """Returns the turns that a second plays in a whole run."""
    return turns / _played(place, kind, size, turns)["whole_s"]


def mesa_turns_per_s(_: Path, size: int, turns: int) -> float:
    """Returns the same of Mesa's model, without its start."""
    command = [str(PEERS), "-m", "bench.peers.mesa_money", str(size), str(turns)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return (turns - 1) / float(json.loads(answer)["played_s"])


def _played(place: Path, kind: str, size: int, turns: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        command = [sys.executable, "-m", "bench.crowd", kind, str(size), str(turns), folder]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    costs: dict[str, float] = json.loads(answer)
    return costs
