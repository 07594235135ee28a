"""A scenario as one frozen value, with the methods that read it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from thence.sim.scenario import (
    AgentSettings,
    ComponentSettings,
    EventSettings,
    RunSettings,
    SpatialSettings,
    VariableSettings,
)
from thence.sim.state import VariableTable


class SimulationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A complete scenario; `given` is its input, and `source` its file, if any."""

    simulation: RunSettings
    events: EventSettings = EventSettings()
    state_variables: VariableSettings = VariableSettings()
    agents: tuple[AgentSettings, ...] = ()
    engine: ComponentSettings = ComponentSettings(type="base")
    validator: ComponentSettings = ComponentSettings(type="base")
    retries: int = 0
    spatial: SpatialSettings = SpatialSettings()
    given: Mapping[str, Any] = {}
    source: Path | None = None

    @classmethod
    def from_file(cls, path: str | Path) -> "SimulationConfig":
        """Reads a scenario from a YAML file, or a shipped one by its bare name.

        Raises ScenarioError, whose `problems` list everything that is wrong.
        """
        from thence.sim.scenario_reader import read_file

        return read_file(path, cls)

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], source: Path | None = None
    ) -> "SimulationConfig":
        """Reads a scenario from a mapping; raises ScenarioError as `from_file` does.

        `source` is the file that it comes from, beside which its components lie.
        """
        from thence.sim.scenario_reader import read_mapping

        return read_mapping(mapping, cls, source)

    def table(self, agents: Iterable[str]) -> VariableTable:
        """Returns the variables of a run of this scenario with these agents."""
        declared = self.state_variables
        return VariableTable(
            global_vars=declared.global_vars,
            place_vars=declared.place_vars,
            agent_vars=declared.agent_vars,
            places=[place.name for place in self.spatial.places],
            agents=agents,
        )

    def initial_values(self) -> dict[tuple[str, str], Any]:
        """Returns the initial values of agents and places, by (scope, name)."""
        owners = [(f"place/{place.name}", place.initial) for place in self.spatial.places]
        owners += [(f"agent/{agent.name}", agent.initial) for agent in self.agents]
        return {(scope, name): value for scope, values in owners for name, value in values.items()}
