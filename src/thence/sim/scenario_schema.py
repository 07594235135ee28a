"""The keys of a scenario with their types, as pydantic models.

Import this module only where a scenario is read: pydantic is slow to load.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9_-]+$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Scalar = bool | int | float | str
TimeoutSeconds = Annotated[float, Field(gt=0, le=86_400)]


class StrictKeys(BaseModel):
    """A part of a scenario that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OpenKeys(BaseModel):
    """A part of a scenario whose other keys belong to a component."""

    model_config = ConfigDict(extra="allow", strict=True)


class TerminationKeys(StrictKeys):
    """One entry of `simulation.termination`."""

    variable: Name
    scope: str = "global"
    above: float | None = None
    below: float | None = None
    equals: Scalar | None = None


class SimulationKeys(StrictKeys):
    """The section `simulation`."""

    name: Name
    max_turns: int = Field(default=100, ge=1)
    seed: int = 0
    termination: list[TerminationKeys] = []
    checkpoint_interval: int = Field(default=10, ge=0)
    on_agent_error: Literal["fail", "skip", "pause"] = "fail"
    timeout_s: TimeoutSeconds | None = None
    threads: int = Field(default=32, ge=0, le=1_000)


class EventsKeys(StrictKeys):
    """The section `events`."""

    verbosity: Literal["MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL"] = "ACTION"
    mode: Literal["async", "sync"] = "async"
    max_file_size: int = Field(default=500 * 1024 * 1024, ge=1)
    max_queue_size: int = Field(default=10_000, ge=1)
    on_full: Literal["drop", "block"] = "block"
    output_root: str = "output"


class VariableKeys(StrictKeys):
    """One entry of `state_variables`."""

    name: Name
    type: Literal["float", "int", "bool", "categorical", "str", "list", "dict"]
    default: Any = None
    min: float | None = None
    max: float | None = None
    choices: list[str] | None = None


class StateVariablesKeys(StrictKeys):
    """The section `state_variables`."""

    global_vars: list[VariableKeys] = []
    place_vars: list[VariableKeys] = []
    agent_vars: list[VariableKeys] = []


class AgentKeys(OpenKeys):
    """One entry of `agents`."""

    name: Name
    type: str
    count: int | None = Field(default=None, ge=1, le=100_000)
    initial_location: str | None = None
    initial: dict[str, Any] = {}
    timeout_s: TimeoutSeconds | None = None


class EngineKeys(OpenKeys):
    """The section `engine`."""

    type: str = "base"


class ValidatorKeys(OpenKeys):
    """The section `validator`."""

    type: str = "base"
    retries: int = Field(default=0, ge=0, le=10)


class PlaceKeys(StrictKeys):
    """One entry of `spatial.places`."""

    name: Name
    initial: dict[str, Any] = {}


class RoadKeys(StrictKeys):
    """One entry of `spatial.roads`."""

    between: Annotated[list[str], Field(min_length=2, max_length=2)]
    turns: int = Field(default=1, ge=1)


class SpatialKeys(StrictKeys):
    """The section `spatial`."""

    places: list[PlaceKeys] = []
    roads: list[RoadKeys] = []


class ScenarioKeys(StrictKeys):
    """A complete scenario."""

    simulation: SimulationKeys
    events: EventsKeys = EventsKeys()
    state_variables: StateVariablesKeys = StateVariablesKeys()
    agents: list[AgentKeys] = []
    engine: EngineKeys = EngineKeys()
    validator: ValidatorKeys = ValidatorKeys()
    spatial: SpatialKeys = SpatialKeys()
