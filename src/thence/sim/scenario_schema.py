"""The keys of a scenario with their types, as pydantic models.

Import it only where a scenario is read: pydantic takes long to load.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9_-]+$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Scalar = bool | int | float | str


class Section(BaseModel):
    """A part of a scenario that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Open(BaseModel):
    """A part whose other keys belong to a component."""

    model_config = ConfigDict(extra="allow", strict=True)


class Termination(Section):
    """One entry of `simulation.termination`."""

    variable: Name
    scope: str = "global"
    above: float | None = None
    below: float | None = None
    equals: Scalar | None = None


class Simulation(Section):
    """The section `simulation`."""

    name: Name
    max_turns: int = Field(default=100, ge=1)
    seed: int = 0
    termination: list[Termination] = []


class Events(Section):
    """The section `events`."""

    verbosity: Literal["MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL"] = "ACTION"
    mode: Literal["async", "sync"] = "async"
    max_file_size: int = Field(default=500 * 1024 * 1024, ge=1)
    max_queue_size: int = Field(default=10_000, ge=1)
    on_full: Literal["drop", "block"] = "drop"
    output_root: str = "output"


class Variable(Section):
    """One entry of `state_variables`."""

    name: Name
    type: Literal["float", "int", "bool", "categorical", "str", "list", "dict"]
    default: Any = None
    min: float | None = None
    max: float | None = None
    choices: list[str] | None = None


class StateVariables(Section):
    """The section `state_variables`."""

    global_vars: list[Variable] = []
    place_vars: list[Variable] = []
    agent_vars: list[Variable] = []


class Agent(Open):
    """One entry of `agents`."""

    name: Name
    type: str
    count: int | None = Field(default=None, ge=1, le=100_000)
    initial_location: str | None = None
    initial: dict[str, Any] = {}


class Engine(Open):
    """The section `engine`."""

    type: str = "base"


class Validator(Open):
    """The section `validator`."""

    type: str = "base"
    retries: int = Field(default=0, ge=0, le=10)


class Place(Section):
    """One entry of `spatial.places`."""

    name: Name
    initial: dict[str, Any] = {}


class Road(Section):
    """One entry of `spatial.roads`."""

    between: Annotated[list[str], Field(min_length=2, max_length=2)]
    turns: int = Field(default=1, ge=1)


class Spatial(Section):
    """The section `spatial`."""

    places: list[Place] = []
    roads: list[Road] = []


class Scenario(Section):
    """A whole scenario."""

    simulation: Simulation
    events: Events = Events()
    state_variables: StateVariables = StateVariables()
    agents: list[Agent] = []
    engine: Engine = Engine()
    validator: Validator = Validator()
    spatial: Spatial = Spatial()
