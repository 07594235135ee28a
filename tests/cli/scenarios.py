"""Small scenarios for tests of the commands."""

from pathlib import Path

COMPONENTS = """
import os
import signal

from thence.sim import Action, BaseAgent, BaseEngine


class Clerk(BaseAgent):
    def decide_action(self, observation):
        return Action("count", {"by": 1})


class Counter(BaseEngine):
    def apply_action(self, view, action):
        own = view.agent(action.agent_id)
        own["counted"] = own["counted"] + 1


class Broken(Counter):
    def apply_engine_rules(self, view):
        if view.turn == 3:
            raise RuntimeError("the wheel came off")


class Deadly(Counter):
    def apply_engine_rules(self, view):
        if view.turn == 3:
            os.kill(os.getpid(), signal.SIGKILL)
"""
SCENARIO = """
simulation: {{name: counting, max_turns: {turns}, seed: 1}}
events: {{verbosity: STATE, on_full: block}}
state_variables:
  agent_vars:
    - {{name: counted, type: int, default: 0}}
agents:
  - {{name: ada, type: "./parts.py:{agent}"}}
engine: {{type: "./parts.py:{engine}"}}
"""


def counting(folder: Path, engine: str = "Counter") -> Path:
    """Write a scenario in which one agent counts, with its components beside it."""
    (folder / "parts.py").write_text(COMPONENTS)
    path = folder / "counting.yaml"
    path.write_text(SCENARIO.format(turns=5, engine=engine, agent="Clerk"))
    return path
