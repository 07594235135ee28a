"""People of two groups on a grid, who move away where few around them are like them.

The model is that of T. C. Schelling, Dynamic Models of Segregation, 1971.
"""

from math import fsum

from thence.sim import Action, BaseAgent, BaseEngine, Observation, View

_TRIES = 1_000


class Resident(BaseAgent):
    """An agent that wants a share `like` of those next to it to be of its own group."""

    remembers = False

    def __init__(self, name: str, *, like: float = 0.4) -> None:
        super().__init__(name)
        self.like = like

    def decide_action(self, observation: Observation) -> Action | None:
        """Returns that it moves away, or None where it is content, or alone."""
        others = observation.world_map.agents_within(self.name, 1)
        group = observation["group"]
        alike = sum(observation.agent(other)["group"] == group for other in others)
        if alike >= self.like * len(others):
            return None
        return Action("leave", decision=f"leave, for {alike} of {len(others)} are {group}")


class Segregation(BaseEngine):
    """An engine that moves whoever leaves to a free cell by chance, one after another.

    The global variable `alike` is the mean share of neighbours of one's own group.
    """

    def apply_action(self, view: View, action: Action) -> None:
        """Moves an agent to a free cell; it stays where 1,000 cells by chance are taken."""
        world, chance = view.world_map, view.random("cell")
        places = world.places()
        for _ in range(_TRIES):
            place = chance.choice(places)
            if not world.agents_at(place):
                world.move(action.agent_id, place)
                return

    def apply_engine_rules(self, view: View) -> None:
        """Measures how alike neighbours are."""
        world = view.world_map
        shares = []
        for place in world.places():
            for name in world.agents_at(place):
                others = world.agents_within(name, 1)
                group = view.agent(name)["group"]
                alike = sum(view.agent(other)["group"] == group for other in others)
                shares += [alike / len(others)] if others else []
        view.world["alike"] = fsum(shares) / len(shares) if shares else 1.0
