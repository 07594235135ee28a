"""Fishers, of three kinds: each decides how many hours to stay out.

They decide only by their observation and read no more than they need. A refused fisher goes out
for as long as the refusal allows.
"""

import asyncio
import math
from collections.abc import Sequence

from thence.sim.actions import Action
from thence.sim.agents import BaseAgent
from thence.sim.components.fishing_ground import FishingGround
from thence.sim.views import Observation

_DAY = 12.0  # hours, at most


class GreedyFisher(BaseAgent):
    """An agent that stays out longer after each turn that paid, by `step`, and else shorter."""

    remembers = False

    def __init__(self, name: str, *, step: float = 0.08) -> None:
        super().__init__(name)
        self.step = step

    def decide_action(self, observation: Observation) -> Action | None:
        """Returns its hours, by its own last catch."""
        if observation.rejections:
            return _allowed_trip(observation)
        hours: float = observation["hours"]
        ground: FishingGround = observation.facts
        if observation.turn == 1:
            return _trip(hours, "to begin")
        if ground.gain(observation["catch"], hours) > 0:
            return _trip(hours * (1 + self.step), "for fishing pays")
        return _trip(hours * (1 - self.step), "for fishing does not pay")


class CarefulFisher(BaseAgent):
    """An agent that looks for fish, and takes its part of what they grow by, times `caution`.

    It sees the stock up to the share `error` too large or too small, and stays ashore while less
    than `reserve` of the capacity is left.
    """

    remembers = False

    def __init__(
        self, name: str, *, caution: float = 0.9, reserve: float = 0.2, error: float = 0.1
    ) -> None:
        super().__init__(name)
        self.caution = caution
        self.reserve = reserve
        self.error = error

    def decide_action(self, observation: Observation) -> Action | None:
        """Returns its hours, by the fish that it sees."""
        if observation.rejections:
            return _allowed_trip(observation)
        ground: FishingGround = observation.facts
        blur = 1 + self.error * observation.random("look").uniform(-1, 1)
        seen = min(observation.world["fish"] * blur, ground.capacity)
        if seen < self.reserve * ground.capacity:
            return _trip(0.0, f"for only {seen:.0f} tons are left")
        part = self.caution * ground.surplus(seen) / ground.fishers
        return _trip(part / (ground.catchability * seen), f"for about {seen:.0f} tons are there")


class FollowingFisher(BaseAgent):
    """An agent that does as its `neighbours` did: each turn it comes nearer to their hours.

    It asks them as one asks a service, and is therefore an `async` agent.
    """

    remembers = False

    def __init__(self, name: str, *, neighbours: Sequence[str], pace: float = 0.5) -> None:
        super().__init__(name)
        if not neighbours:
            raise ValueError(f"{name} has no neighbours to follow")
        self.neighbours = tuple(neighbours)
        self.pace = pace

    async def decide_action(self, observation: Observation) -> Action | None:
        """Returns its hours, by the last ones of its neighbours."""
        if observation.rejections:
            return _allowed_trip(observation)
        hours: float = observation["hours"]
        answers = await asyncio.gather(*(_ask(observation, name) for name in self.neighbours))
        mean = sum(answers) / len(answers)
        return _trip(hours + self.pace * (mean - hours), f"for the others were out {mean:.1f}")


async def _ask(observation: Observation, name: str) -> float:
    await asyncio.sleep(0)
    hours: float = observation.agent(name)["hours"]
    return hours


def _allowed_trip(observation: Observation) -> Action | None:
    """Returns the longest trip that the last refusal allows, None if it names none."""
    at_most = observation.rejections[-1].verdict.facts.get("hours_max")
    return _trip(at_most, "for that is allowed") if isinstance(at_most, float) else None


def _trip(hours: float, reason: str) -> Action:
    hours = math.floor(min(max(hours, 0.0), _DAY) * 100) / 100
    text = f"go out for {hours} hours, {reason}" if hours else f"stay ashore, {reason}"
    return Action("fish", {"hours": hours}, decision=text, decision_type="effort")
