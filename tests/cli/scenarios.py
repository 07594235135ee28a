"""Small scenarios for tests of the commands."""

from pathlib import Path

COMPONENTS = """
from thence.sim import Action, BaseAgent, BaseEngine


class Clerk(BaseAgent):
    def decide_action(self, observation):
        return Action("count", {"by": 1})


class Tired(Clerk):
    def decide_action(self, observation):
        if observation.turn == 3 and observation["counted"]:
            raise RuntimeError("the pencil broke")
        return super().decide_action(observation)


class Counter(BaseEngine):
    def apply_action(self, view, action):
        own = view.agent(action.agent_id)
        own["counted"] = own["counted"] + 1


class Broken(Counter):
    def apply_engine_rules(self, view):
        if view.turn == 3:
            raise RuntimeError("the wheel came off")
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


def counting(
    folder: Path, *, turns: int = 5, engine: str = "Counter", agent: str = "Clerk"
) -> Path:
    """Write a scenario in which one agent counts, with its components beside it."""
    (folder / "parts.py").write_text(COMPONENTS)
    path = folder / "counting.yaml"
    path.write_text(SCENARIO.format(turns=turns, engine=engine, agent=agent))
    return path
