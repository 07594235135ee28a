"""An epidemic among people who know each other: a network of the agents themselves.

An infection takes a turn before it can be passed on, so that the order of people doesn't matter.
Chance comes before reading: of whom it spares nothing is read, so that causes are few.
"""

from collections.abc import Iterable

from thence.sim import Action, BaseAgent, BaseEngine, Observation, SimulationConfig, View

_NEXT = {"infected": "ill", "ill": "immune", "immune": "healthy"}


class Person(BaseAgent):
    """An agent that calls one of those it knows each turn, and stays at home if that one is ill.

    A `careless` one never calls.
    """

    remembers = False

    def __init__(self, name: str, *, careless: bool = False) -> None:
        super().__init__(name)
        self.careless = careless

    def decide_action(self, observation: Observation) -> Action | None:
        """Returns that it stays at home for this turn, or None."""
        others = observation.world_map.neighbours(self.name)
        if self.careless or not others:
            return None
        other = observation.random("call").choice(others)
        if observation.agent(other)["health"] != "ill":
            return None
        return Action("stay", decision=f"stay at home, for {other} is ill")


class Epidemic(BaseEngine):
    """An engine that lets an illness go from one to another along the edges of the network.

    `transmission` is the chance that someone ill infects someone healthy in a turn, if their edge
    has no attribute `transmission`; `recovery` is the chance that a turn of illness is the last,
    `waning` that a turn of immunity is. Who stays at home meets only those of edges with `home`.
    """

    def __init__(
        self,
        config: SimulationConfig,
        *,
        transmission: float = 0.2,
        recovery: float = 0.2,
        waning: float = 0.0,
    ) -> None:
        super().__init__(config)
        self.transmission = transmission
        self.lasting = {"infected": 1.0, "ill": recovery, "immune": waning}
        self.people = tuple(agent.name for agent in config.agents)

    def reach(self, agent: str) -> Iterable[tuple[str, str]]:
        """Returns the one variable that a person's action changes: its last turn at home."""
        return ((f"agent/{agent}", "stayed"),)

    def apply_action(self, view: View, action: Action) -> None:
        """Lets a person stay at home."""
        view.agent(action.agent_id)["stayed"] = view.turn

    def apply_engine_rules(self, view: View) -> None:
        """Lets each illness take its course, then spread."""
        for rule, apply in (("course", self._take_course), ("spread", self._spread)):
            for person in self.people:
                with view.rule(rule):
                    apply(view, person)

    def _take_course(self, view: View, person: str) -> None:
        health: str = view.agent(person)["health"]
        if view.random(f"course/{person}").random() < self.lasting.get(health, 0.0):
            view.agent(person)["health"] = _NEXT[health]

    def _spread(self, view: View, person: str) -> None:
        own, world = view.agent(person), view.world_map
        if own["health"] != "healthy":
            return
        own["health"] = "healthy"  # which depends on whom it met, too
        for other in world.neighbours(person):
            edge = world.attributes(person, other) or {}
            chance: float = edge.get("transmission", self.transmission)
            if view.random(f"contact/{person}/{other}").random() >= chance:
                continue
            if view.agent(other)["health"] == "ill" and (
                edge.get("home") or view.turn not in (own["stayed"], view.agent(other)["stayed"])
            ):
                own["health"] = "infected"
                return
