"""A small scenario to sweep over, one of whose runs does something to a process."""

from pathlib import Path

from thence.core.event import Event
from thence.sim import open_run
from thence.sim.again.replay import content_hash

COMPONENTS = """
import asyncio
import os
import signal
from pathlib import Path

from thence.sim import Action, BaseAgent, BaseEngine

MARK = Path(__file__).with_name("done")
SENT = {
    "dies": (os.getpid(), signal.SIGKILL),
    "always dies": (os.getpid(), signal.SIGKILL),
    "kills the sweep": (os.getppid(), signal.SIGKILL),
    "outlives the sweep": (os.getppid(), signal.SIGKILL),
    "interrupts the sweep": (os.getppid(), signal.SIGINT),
}


class Clerk(BaseAgent):
    remembers = False

    def __init__(self, name, config, deed: str = "", by: int = 1):
        super().__init__(name)
        self.deed, self.by, self.seed = deed, by, config.simulation.seed

    async def decide_action(self, observation):
        if observation.turn == 3 and self.seed == 2:
            if self.deed == "fails":
                raise RuntimeError("the pencil broke")
            if self.deed and (self.deed == "always dies" or not MARK.exists()):
                MARK.touch()
                print("a deed")
                os.kill(*SENT[self.deed])
                try:
                    await asyncio.Event().wait()  # until the run is interrupted
                finally:
                    if self.deed == "outlives the sweep":
                        MARK.with_name("gate").read_text()
        print("counted", self.by)
        return Action("count", {"by": self.by * self.seed})


class Counter(BaseEngine):
    def apply_action(self, view, action):
        own = view.agent(action.agent_id)
        own["counted"] = own["counted"] + action.payload["by"]
"""
SCENARIO = """
simulation: {{name: counting, max_turns: {turns}, seed: 1, checkpoint_interval: 2}}
events: {{verbosity: STATE}}
state_variables:
  agent_vars:
    - {{name: counted, type: int, default: 0}}
    - {{name: mood, type: str, default: "=good"}}
agents:
  - {{name: ada, type: "./clerks.py:Clerk", deed: "{deed}"}}
engine: {{type: "./clerks.py:Counter"}}
"""


def counting(folder: Path, deed: str = "", turns: int = 5) -> Path:
    """Writes a scenario in which ada counts by her seed; in turn 3 that of seed 2 does a deed."""
    (folder / "clerks.py").write_text(COMPONENTS)
    path = folder / "counting.yaml"
    path.write_text(SCENARIO.format(turns=turns, deed=deed))
    return path


def of_a_process(event: Event) -> bool:
    """Reports whether an event tells of the process that played: a checkpoint, or an end."""
    is_end = event.payload.get("milestone_type") == "simulation_end"
    return event.event_type == "SYSTEM" or is_end


def content(sweep: Path) -> dict[str, str]:
    """Returns the hash of each run's content, but for who played it and where it ended before."""
    hashes = {}
    for folder in sorted(sweep.glob("set-*")):
        with open_run(folder) as run:
            events = [event for event in run.log.read() if not of_a_process(event)]
            hashes[folder.name] = content_hash(events)
    return hashes


def first_ids(sweep: Path) -> dict[str, str]:
    """Returns the id of the first event of each run: it stays when the run is resumed."""
    ids = {}
    for folder in sweep.glob("set-*"):
        with open_run(folder) as run:
            ids[folder.name] = next(iter(run.log.read())).event_id
    return ids
