"""A run of a population: `python -m bench.crowd money|epidemic ROWS TURNS FOLDER`.

It prints JSON on one line: `whole_s` are the seconds of processor time, all threads, of the program
from its start until the log is closed, `why_s` those of the causes of one row after the last turn.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from thence.sim import BaseEngine, Population, RunResult, SimulationOrchestrator
from thence.sim.populations.population import Rows
from thence.sim.populations.why import why_row


class Money(Population):
    """Each gives one unit to anybody while it has any."""

    def __init__(self, size: int) -> None:
        super().__init__("people", size, {"money": ("int32", 1)})

    def decide(self, rows: Rows) -> None:
        """Gives by a draw for each row."""
        has_any = rows["money"] > 0
        rows.add("money", -1, where=has_any)
        rows.add("money", 1, where=has_any, of=rows.integers("to", 0, rows.size))


class Epidemic(Population):
    """Each lives beside the next one, may catch what that one has, and is well again in a week."""

    def __init__(self, size: int) -> None:
        super().__init__("people", size, {"state": "int8", "days": "int8"})

    def start(self, rows: Rows) -> None:
        """Makes one of 1,000 sick."""
        rows.set("state", 1, where=rows.ids % 1_000 == 0)

    def decide(self, rows: Rows) -> None:
        """Catches by a draw for each row."""
        state, days = rows["state"], rows["days"]
        beside = rows.get("state", of=(rows.ids + 1) % rows.size)
        sick = state == 1
        heals = sick & (days >= 7)
        rows.set("state", 1, where=(state == 0) & (beside == 1) & (rows.random("catch") < 0.3))
        rows.set("state", 2, where=heals)
        rows.add("days", 1, where=sick)


KINDS = {"money": Money, "epidemic": Epidemic}


def play(kind: str, size: int, turns: int, folder: Path) -> dict[str, Any]:
    """Plays a run; returns its costs."""
    run = SimulationOrchestrator(
        {"simulation": {"name": kind, "max_turns": turns, "seed": 1}},
        output_root=folder,
        agents=[KINDS[kind](size)],
        engine=BaseEngine(),
    )
    result = run.run()
    whole_s = time.process_time()
    assert isinstance(result, RunResult)
    assert (result.status, result.turns, result.dropped) == ("completed", turns, 0), result.error
    column = {"money": "money", "epidemic": "state"}[kind]
    why = why_row(
        result.output_dir,
        f"people/{size // 2}/{column}",
        agents=[KINDS[kind](size)],
        engine=BaseEngine(),
    )
    assert why.turn == turns
    return {"whole_s": whole_s, "why_s": time.process_time() - whole_s}


if __name__ == "__main__":
    kind_, rows_, turns_, folder_ = sys.argv[1:]
    print(json.dumps(play(kind_, int(rows_), int(turns_), Path(folder_))))
