"""The sections of a scenario, whose types say what a file may hold."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from thence.sim.models.settings import ModelSettings
from thence.sim.scenario.state import Declaration, Name

AgentErrorPolicy = Literal["fail", "skip", "pause"]
VerbosityName = Literal["MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL"]
SightLevel = Literal["unaware", "external", "insider"]
TimeoutSeconds = Annotated[float, Meta(gt=0, le=86_400)]


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `simulation`.

    `checkpoint_interval` is in turns, 0 means no checkpoints; `timeout_s` are the seconds of one
    call. `order` is how agents act in a turn: together, in turn, random, or as a function says,
    `./file.py:name`, which takes a view and returns the names of those that act.
    """

    name: Name
    max_turns: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 100
    seed: int = 0
    checkpoint_interval: Annotated[int, Meta(ge=0)] = 10
    on_agent_error: AgentErrorPolicy = "fail"
    timeout_s: TimeoutSeconds | None = None
    threads: Annotated[int, Meta(ge=0, le=1_000)] = 32
    order: str = "together"


class EventSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `events`; sizes are in bytes and events."""

    verbosity: VerbosityName = "ACTION"
    mode: Literal["async", "sync"] = "async"
    max_file_size: Annotated[int, Meta(ge=1)] = 500 * 1024 * 1024
    max_queue_size: Annotated[int, Meta(ge=1)] = 10_000
    on_full: Literal["drop", "block"] = "block"
    output_root: str = "output"


class VariableSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `state_variables`."""

    global_vars: tuple[Declaration, ...] = ()
    place_vars: tuple[Declaration, ...] = ()
    agent_vars: tuple[Declaration, ...] = ()


class SightSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sight of an agent, of variables that are not its own.

    `unaware` sees none, `external` all but the internal ones, `insider` all. Beyond `within` steps
    the level is `beyond`; variables without a place are never beyond.
    """

    level: SightLevel = "external"
    within: Annotated[int, Meta(ge=0)] | None = None
    beyond: SightLevel = "unaware"


class PlaceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place; `initial` are values of its variables before the first turn."""

    name: Name
    initial: Mapping[str, Any] = {}


class RoadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way between two places that takes some turns in both directions."""

    between: tuple[str, str]
    turns: Annotated[int, Meta(ge=1)] = 1


class GridSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grid of cells, each with 4 or 8 neighbours; one that wraps has no edge."""

    width: Annotated[int, Meta(ge=1, le=1_000)]
    height: Annotated[int, Meta(ge=1, le=1_000)]
    neighbours: Literal[4, 8] = 4
    wraps: bool = False


class EdgeSettings(msgspec.Struct, frozen=True, array_like=True):
    """An edge of a network: `[a, b]`, or `[a, b, attributes]`."""

    start: Name | int
    goal: Name | int
    attributes: Mapping[str, Any] = {}

    @property
    def ends(self) -> tuple[str, str]:
        """The names of its two places."""
        return str(self.start), str(self.goal)


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network of places, or of the agents themselves; edges are given here, or in a JSON file."""

    edges: tuple[EdgeSettings, ...] = ()
    file: str | None = None
    directed: bool = False
    nodes: Literal["places", "agents"] = "places"


class SpatialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `spatial`; `moves` says whether agents change their position."""

    places: tuple[PlaceSettings, ...] = ()
    roads: tuple[RoadSettings, ...] = ()
    grid: GridSettings | None = None
    network: NetworkSettings | None = None
    moves: bool = True

    @property
    def has_world(self) -> bool:
        """True if there is a grid or a network."""
        return self.grid is not None or self.network is not None


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `agents`, for `count` of them; its other keys are those of the type."""

    name: Name
    type: str
    count: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    initial_location: str | None = None
    initial: Mapping[str, Any] = {}
    timeout_s: TimeoutSeconds | None = None
    blocks: bool = False
    sight: SightSettings | None = None


class AgentSettings(AgentEntry, frozen=True, kw_only=True):
    """One agent: its entry, with the values of the keys of its type.

    `initial` are values of its variables before the first turn, with that of its location.
    """

    params: Mapping[str, Any] = {}


class EngineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The section `engine`; its other keys are those of the type."""

    type: str = "base"
    reach: Literal["neighbours"] | None = None


class ComponentSettings(EngineEntry, frozen=True, kw_only=True):
    """An engine or validator: its type, with the values of the keys of that type."""

    params: Mapping[str, Any] = {}


class ValidatorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The section `validator`; its other keys are those of the type."""

    type: str = "base"
    retries: Annotated[int, Meta(ge=0, le=10)] = 0


class Sections(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario as its file holds it."""

    simulation: RunSettings
    events: EventSettings = EventSettings()
    state_variables: VariableSettings = VariableSettings()
    agents: tuple[AgentEntry, ...] = ()
    engine: EngineEntry = EngineEntry()
    validator: ValidatorEntry = ValidatorEntry()
    spatial: SpatialSettings = SpatialSettings()
    llm: ModelSettings = ModelSettings()
