"""The sight of agents: which variables one sees, and from where.

A variable that can't be seen raises `not_seen` and is no cause. Where its distance decides whether
it can be seen, the two positions are causes.
"""

from collections.abc import Mapping
from typing import Any

from thence.errors import ThenceError
from thence.sim.record.ledger import Ids
from thence.sim.run.agents import Observation, RecordedView
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.sections import SightSettings
from thence.sim.scenario.state import MAP
from thence.sim.space.worlds import POSITION, Grid, World

_ALL = SightSettings()


def sights_of(config: SimulationConfig) -> Mapping[str, SightSettings] | None:
    """Returns the sight of each agent that has one of its own; None if all agents see all."""
    sights = {agent.name: agent.sight for agent in config.agents if agent.sight is not None}
    variables = config.state_variables
    declared = (*variables.global_vars, *variables.place_vars, *variables.agent_vars)
    has_internal = any(declaration.sight == "internal" for declaration in declared)
    has_internal = has_internal or config.has_talk
    return sights if sights or has_internal else None


class SightedObservation(Observation):
    """The state as an agent with a limited sight sees it; its own variables are always seen."""

    # the places within sight, once they were searched, and what the search has read
    near_places: frozenset[str] | None = None
    way: Mapping[int, Ids] = {}

    def value(self, index: int) -> Any:
        """Returns the value of a variable; raises `not_seen` for one that is not seen."""
        variable = self.ledger.table[index]
        if not self.sees(variable.scope, variable.declaration.name):
            cause = f"agent {self.agent_id} can't see it"
            hint = "ask observation.sees(scope, name) before, or widen sight in the scenario"
            place, code = variable.subject, "not_seen"
            raise ThenceError("could not see", place=place, cause=cause, hint=hint, code=code)
        return super().value(index)

    def sees(self, scope: str, name: str) -> bool:
        """Reports whether a variable can be seen; ThenceError if there is none."""
        declaration = self.ledger.table[self.ledger.table.index(scope, name)].declaration
        if scope == f"agent/{self.agent_id}":
            return True
        sight, level = (self.ledger.sights or {}).get(self.agent_id, _ALL), declaration.sight
        near = sight.level in ("insider", level)
        far = sight.beyond in ("insider", level)
        if sight.within is None or near == far:
            return near
        if scope == MAP:  # it tells of all who may be near, or far
            return True
        return far if self._is_beyond(scope, sight.within) else near

    def _is_beyond(self, scope: str, within: int) -> bool:
        """Reports whether an agent or place is too far away; one that is nowhere is."""
        kind, _, name = scope.partition("/")
        world = self.ledger.world
        if world is None or not name:
            return False
        here = self._place_of(world, self.agent_id)
        if kind == "agent" and name in world.gone:
            # where nobody moves, one that was out of sight is so whether it has left or not
            if world.moves or not self._is_far(world, here, world.gone[name], within):
                super().value(world.whereabouts_of(name))
            return True
        return self._is_far(world, here, self._place_of(world, name, kind), within)

    def _is_far(self, world: World, here: str, place: str, within: int) -> bool:
        """Reports whether a place is more steps away than `within`; nowhere is."""
        if not here or not place:
            return True
        if isinstance(world.shape, Grid):
            return world.shape.distance(here, place) > within
        if self.near_places is None:  # one search answers for all that the agent asks in a turn
            search = RecordedView(self.ledger, self.turn, self.agent_id)
            self.near_places = frozenset(search.world_map.within(here, within))
            self.way = search.reads
        self.reads |= self.way
        return place not in self.near_places

    def _place_of(self, world: World, name: str, kind: str = "agent") -> str:
        if kind == "place" or world.is_of_agents:
            return name
        place: str = super().value(self.ledger.table.index(f"agent/{name}", POSITION))
        return place
