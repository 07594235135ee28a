"""What a scenario says, checked and frozen."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from thence.sim.variables import Declaration, VariableTable


class TerminationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that ends a run: a variable is above, below or equal to a value."""

    variable: str
    scope: str = "global"
    above: float | None = None
    below: float | None = None
    equals: Any = None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `simulation`."""

    name: str
    max_turns: int = 100
    seed: int = 0
    termination: tuple[TerminationSettings, ...] = ()


class EventSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `events`; sizes are in bytes and events."""

    verbosity: str = "ACTION"
    mode: Literal["async", "sync"] = "async"
    max_file_size: int = 500 * 1024 * 1024
    max_queue_size: int = 10_000
    on_full: Literal["drop", "block"] = "drop"
    output_root: str = "output"


class VariableSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `state_variables`."""

    global_vars: tuple[Declaration, ...] = ()
    place_vars: tuple[Declaration, ...] = ()
    agent_vars: tuple[Declaration, ...] = ()


class ComponentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An engine or validator: its type, with the parameters of that type."""

    type: str
    params: Mapping[str, Any] = {}


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One agent; `initial` are values of its variables before the first turn."""

    name: str
    type: str
    initial: Mapping[str, Any] = {}
    params: Mapping[str, Any] = {}


class PlaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One place; `initial` are values of its variables before the first turn."""

    name: str
    initial: Mapping[str, Any] = {}


class RoadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A way between two places that takes some turns in both directions."""

    between: tuple[str, str]
    turns: int = 1


class SpatialSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `spatial`."""

    places: tuple[PlaceSettings, ...] = ()
    roads: tuple[RoadSettings, ...] = ()


class SimulationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole scenario; `given` is what it was made of and `source` its file, if any."""

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

        Raises ScenarioError, whose `problems` list everything that is wrong with it.
        """
        from thence.sim.scenario import read_file

        return read_file(path)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> "SimulationConfig":
        """Reads a scenario from a mapping; raises ScenarioError as `from_file` does."""
        from thence.sim.scenario import read_mapping

        return read_mapping(given)

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
        """Returns the values that agents and places begin with, by (scope, name)."""
        owners = [(f"place/{place.name}", place.initial) for place in self.spatial.places]
        owners += [(f"agent/{agent.name}", agent.initial) for agent in self.agents]
        return {(scope, name): value for scope, own in owners for name, value in own.items()}
