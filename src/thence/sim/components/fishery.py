"""The engine of a fishery: fishers go out, catch, earn; the fish that are left grow.

Each rule writes one variable and reads only what matters to it. Hours stay as they are until a
fisher decides on others.
"""

from collections.abc import Iterable

from thence.sim.actions import Action
from thence.sim.components.fishing_ground import FishingGround
from thence.sim.config import SimulationConfig
from thence.sim.engine import BaseEngine
from thence.sim.engine_views import View
from thence.sim.views import RecordedState


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
            self._haul(view, fisher)
            self._sell(view, fisher)
        self._grow(view)

    def check_termination(self, state: RecordedState) -> str | None:
        """Returns a reason when too few fish are left."""
        fish: float = state.world["fish"]
        if fish < self.collapse_below * self.facts.capacity:
            return f"the stock collapsed: {fish:.0f} tons of fish are left"
        return None

    def _haul(self, view: View, fisher: str) -> None:
        own = view.agent(fisher)
        with view.rule("haul"):
            luck = 1 + self.luck * view.random(f"luck/{fisher}").uniform(-1, 1)
            own.set_within("catch", self.facts.catch(view.world["fish"], own["hours"], luck))

    def _sell(self, view: View, fisher: str) -> None:
        own = view.agent(fisher)
        with view.rule("sell"):
            gain = self.facts.gain(own["catch"], own["hours"])
            own.set_within("money", round(own["money"] + gain, 2))

    def _grow(self, view: View) -> None:
        with view.rule("grow"):
            caught = round(sum(view.agent(fisher)["catch"] for fisher in self.fishers), 2)
            fish: float = view.world["fish"]
            grown = self.facts.grown(max(0.0, fish - caught))
            view.world.set_within("fish", round(grown, 2))
            view.explain("global", "fish", "logistic_growth", {"fish": fish, "caught": caught})
