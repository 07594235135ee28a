"""A run of agents that pass money on: `python -m bench.money AGENTS TURNS VERBOSITY FOLDER`.

It prints JSON on one line: `costs_s` are the seconds of processor time, all threads, of each turn
after the first, `played_s` the sum from the end of turn 1 until the log is closed, and `peak_mb`
the most memory the process held.
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from thence.sim.run.agents import Action, BaseAgent, Observation
from thence.sim.run.engine import BaseEngine, View
from thence.sim.run.run import RunResult, SimulationOrchestrator

SEED = 1


class Giver(BaseAgent):
    """An agent that gives one unit to anybody, itself included, while it has any."""

    remembers = False

    def decide_action(self, observation: Observation) -> Action | None:
        if observation["money"] <= 0:
            return None
        receiver = observation.random("give").randrange(observation.facts)
        return Action("give", {"to": f"a{receiver}"})


class Bank(BaseEngine):
    """The engine that carries money from an agent to another; its fact is the number of agents."""

    def __init__(self, agents: int) -> None:
        super().__init__()
        self.facts = agents

    def apply_action(self, view: View, action: Action) -> None:
        giver, receiver = view.agent(action.agent_id), view.agent(action.payload["to"])
        giver["money"] -= 1
        receiver["money"] += 1


def play(agents: int, turns: int, verbosity: str, folder: Path) -> dict[str, Any]:
    """Plays a run; returns its costs."""
    ends_s: list[float] = []
    money = {"name": "money", "type": "int", "default": 1}
    run = SimulationOrchestrator(
        {
            "simulation": {"name": "money", "max_turns": turns, "seed": SEED},
            "state_variables": {"agent_vars": [money]},
        },
        output_root=folder,
        agents=[Giver(f"a{number}") for number in range(agents)],
        engine=Bank(agents),
        verbosity=verbosity,
        on_full="block",
        on_turn=lambda _: ends_s.append(time.process_time()),
    )
    result = run.run()
    closed_s = time.process_time()
    assert isinstance(result, RunResult)
    assert (result.status, result.dropped, len(ends_s)) == ("completed", 0, turns)
    assert sum(each["money"] for each in result.final_state.values()) == agents
    costs_s = [after - before for before, after in pairwise(ends_s)]
    return {"costs_s": costs_s, "played_s": closed_s - ends_s[0], "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Returns the most memory that this program has held, without that of the one before it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the system reports no peak")


if __name__ == "__main__":
    agents_, turns_, verbosity_, folder_ = sys.argv[1:]
    print(json.dumps(play(int(agents_), int(turns_), verbosity_, Path(folder_))))
