"""The sight of agents: which variables one sees, from where, and how well.

A variable that can't be seen raises NotSeen and is no cause. Whether it can be seen may depend on
positions, which are causes then, as those that a question of who is near depends on.
"""

from collections.abc import Mapping
from typing import Any

from thence.errors import NotSeen
from thence.sim.agents import Observation, RecordedView
from thence.sim.ledger import Ledger
from thence.sim.scenario import SimulationConfig
from thence.sim.scenario_sections import SightSettings
from thence.sim.state import GLOBAL, MAP

_DEFAULT = SightSettings()


def sights_of(config: SimulationConfig) -> Mapping[str, SightSettings] | None:
    """Returns the sight of each agent that has one of its own; None if all agents see all."""
    sights = {agent.name: agent.sight for agent in config.agents if agent.sight is not None}
    variables = config.state_variables
    declared = (*variables.global_vars, *variables.place_vars, *variables.agent_vars)
    has_internal = any(declaration.sight == "internal" for declaration in declared)
    return sights if sights or has_internal else None


class SightedObservation(Observation):
    """The state as an agent with a limited sight sees it; its own variables are always seen."""

    __slots__ = ("_mine", "_sight")

    def __init__(self, ledger: Ledger, turn: int, agent_id: str) -> None:
        super().__init__(ledger, turn, agent_id)
        self._mine = frozenset((*self._own.values(), *ledger.table.of_scope(MAP)))
        self._sight = (ledger.sights or {}).get(agent_id, _DEFAULT)

    def value(self, index: int) -> Any:
        """Returns the value of a variable, with noise; raises NotSeen for one that is not seen."""
        if index in self._mine:
            return super().value(index)
        variable = self.ledger.table[index]
        if not self.may_read(index):
            raise NotSeen(
                "could not see",
                place=variable.subject,
                cause=f"it is out of the sight of agent {self.agent_id}",
                hint="ask observation.sees(scope, name) before, or widen sight in the scenario",
            )
        value = super().value(index)
        if not self._sight.noise or type(value) not in (int, float):
            return value
        share = self._sight.noise * self.random(f"sight of {variable.subject}").uniform(-1, 1)
        seen = value * (1 + share)
        return variable.declaration.nearest(round(seen) if type(value) is int else seen)

    def may_read(self, index: int) -> bool:
        """Reports whether the variable with an index can be seen."""
        if index in self._mine:
            return True
        variable, sight = self.ledger.table[index], self._sight
        level = sight.level
        if (
            sight.within is not None
            and variable.scope != GLOBAL
            and self._is_beyond(variable.scope)
        ):
            level = sight.beyond
        if level == "external":
            return variable.declaration.sight == "external"
        return level == "insider"

    def _is_beyond(self, scope: str) -> bool:
        """Reports whether an agent or place is too far away; one without a place is."""
        kind, _, name = scope.partition("/")
        if self.ledger.world is None:
            return False
        all_seeing = RecordedView(self.ledger, self.turn, self.agent_id)
        all_seeing.reads = self.reads
        world_map, within = all_seeing.world_map, self._sight.within
        here = world_map.position(self.agent_id)
        place = world_map.position(name) if kind == "agent" else name
        if not here or not place:
            return True
        distance = world_map.distance(here, place)
        return distance is None or within is None or distance > within
