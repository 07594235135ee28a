"""Mesa's model of agents that pass money on: `python -m bench.peers.mesa_money AGENTS TURNS`.

It is the wealth model of Mesa's own examples, with their two reporters. Only its agents choose
from a list: each choice from `model.agents` would list all agents anew, which is slow. It prints
JSON on one line: `played_s` is the processor time of the turns after the first, in seconds.
"""

import json
import sys
import time

from mesa import Agent, Model
from mesa.datacollection import DataCollector

SEED = 1


class Giver(Agent):
    """An agent that gives one unit to anybody, itself included, while it has any."""

    def __init__(self, model: "Money") -> None:
        super().__init__(model)
        self.wealth = 1

    def give(self) -> None:
        if self.wealth > 0:
            receiver = self.random.choice(self.model.everyone)
            receiver.wealth += 1
            self.wealth -= 1


class Money(Model):
    """The model; a DataCollector keeps the Gini coefficient and the wealth of each agent."""

    def __init__(self, agents: int) -> None:
        super().__init__(seed=SEED)
        self.everyone = list(Giver.create_agents(self, agents))
        self.datacollector = DataCollector(
            model_reporters={"Gini": gini}, agent_reporters={"Wealth": "wealth"}
        )
        self.datacollector.collect(self)

    def step(self) -> None:
        self.agents.shuffle_do("give")
        self.datacollector.collect(self)


def gini(model: Money) -> float:
    """Returns the Gini coefficient: 0 when all have the same, near 1 when one has everything."""
    wealths = sorted(agent.wealth for agent in model.agents)
    count = len(wealths)
    ranked = sum(rank * wealth for rank, wealth in enumerate(wealths, start=1))
    return 2 * ranked / (count * sum(wealths)) - (count + 1) / count


def play(agents: int, turns: int) -> dict[str, float]:
    """Plays a run; returns its cost."""
    model = Money(agents)
    model.step()
    begun_s = time.process_time()
    for _ in range(turns - 1):
        model.step()
    played_s = time.process_time() - begun_s
    assert sum(agent.wealth for agent in model.everyone) == agents
    return {"played_s": played_s}


if __name__ == "__main__":
    print(json.dumps(play(*map(int, sys.argv[1:]))))
