"""A fishery: fishers of three kinds share one stock of fish, which a quota may protect.

Each rule of the engine writes one variable and reads only what matters to it. Hours stay as they
are until a fisher decides on others. Fishers decide only by their observation and read no more
than they need; a refused one goes out for as long as the refusal allows.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from thence.sim import (
    Action,
    BaseAgent,
    BaseEngine,
    BaseValidator,
    Observation,
    RecordedState,
    SimulationConfig,
    Verdict,
    View,
)

_DAY = 12.0  # hours, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class FishingGround:
    """The water that all fishers share; fish and catches are in tons, `hours` by turn.

    The stock grows by `growth` of itself a turn while it is small, and not beyond `capacity`
    (logistic growth). An hour catches the share `catchability` of the stock, costs `hour_cost`,
    and a ton sells for `price`. One of the `fishers` takes an equal part of the stock at most.
    """

    capacity: float
    growth: float
    catchability: float
    price: float
    hour_cost: float
    fishers: int

    def surplus(self, fish: float) -> float:
        """Returns the growth of a turn, which can be caught without shrinking the stock."""
        return self.growth * fish * (1 - fish / self.capacity)

    def catch(self, fish: float, hours: float, luck: float = 1.0) -> float:
        """Returns the tons that a fisher catches; `luck` is 1.0 on an average day."""
        share = min(self.catchability * hours * luck, 1 / self.fishers)
        return round(fish * share, 2)

    def gain(self, catch: float, hours: float) -> float:
        """Returns what a catch earns after its costs, negative for a loss."""
        return round(catch * self.price - hours * self.hour_cost, 2)


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
        mean = math.fsum(answers) / len(answers)
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


class FishingQuota(BaseValidator):
    """A validator that refuses trips which would bring more than `quota` tons on an average day.

    Without a quota it accepts every trip, and reads nothing.
    """

    def __init__(self, config: SimulationConfig, *, quota: float | None = None) -> None:
        super().__init__(config)
        self.quota = quota

    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Returns a rejection with `hours_max`, or accepts."""
        hours = action.payload.get("hours")
        if self.quota is None or not isinstance(hours, int | float):
            return Verdict.accept()
        ground: FishingGround = state.facts
        fish: float = state.world["fish"]
        catch = ground.catch(fish, hours)
        if catch <= self.quota:
            return Verdict.accept()
        hours_max = math.floor(100 * self.quota / (ground.catchability * fish)) / 100
        return Verdict.reject(
            f"{hours} hours bring {catch} tons, the quota is {self.quota}", hours_max=hours_max
        )


class Fishery(BaseEngine):
    """An engine with one stock of fish, the global variable `fish`, that all agents catch from.

    The run ends when less than `collapse_below` of `capacity` is left. `luck` is by how much a
    day's catch differs from the average at most: 0.2 for a fifth. All other parameters are those
    of `FishingGround`.
    """

    facts: FishingGround

    def __init__(
        self,
        config: SimulationConfig,
        *,
        capacity: float = 1000.0,
        growth: float = 0.3,
        catchability: float = 0.01,
        price: float = 2.0,
        hour_cost: float = 1.0,
        luck: float = 0.2,
        collapse_below: float = 0.1,
    ) -> None:
        super().__init__(config)
        self.luck = luck
        self.collapse_below = collapse_below
        self.fishers = tuple(agent.name for agent in config.agents)
        self.facts = FishingGround(
            capacity=capacity,
            growth=growth,
            catchability=catchability,
            price=price,
            hour_cost=hour_cost,
            fishers=max(1, len(self.fishers)),
        )

    def reach(self, agent: str) -> Iterable[tuple[str, str]]:
        """Returns the one variable that a fisher's action changes: its hours."""
        return ((f"agent/{agent}", "hours"),)

    def apply_action(self, view: View, action: Action) -> None:
        """Sets the hours that a fisher stays out."""
        hours = action.payload["hours"]
        if not isinstance(hours, int | float):
            raise TypeError(f"hours are a number, not {hours!r}")
        view.agent(action.agent_id).set_within("hours", float(hours))

    def apply_engine_rules(self, view: View) -> None:
        """Lets each fisher catch and sell, then the stock grow."""
        for fisher in self.fishers:
            own = view.agent(fisher)
            with view.rule("haul"):
                luck = 1 + self.luck * view.random(f"luck/{fisher}").uniform(-1, 1)
                own.set_within("catch", self.facts.catch(view.world["fish"], own["hours"], luck))
            with view.rule("sell"):
                gain = self.facts.gain(own["catch"], own["hours"])
                own.set_within("money", round(own["money"] + gain, 2))
        with view.rule("grow"):
            caught = round(math.fsum(view.agent(fisher)["catch"] for fisher in self.fishers), 2)
            fish: float = view.world["fish"]
            rest = max(0.0, fish - caught)
            view.world.set_within("fish", round(rest + self.facts.surplus(rest), 2))
            view.explain("global", "fish", "logistic_growth", {"fish": fish, "caught": caught})

    def check_termination(self, state: RecordedState) -> str | None:
        """Returns a reason when too few fish are left."""
        fish: float = state.world["fish"]
        if fish < self.collapse_below * self.facts.capacity:
            return f"the stock collapsed: {fish:.0f} tons of fish are left"
        return None
