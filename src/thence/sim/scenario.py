"""The sections of a scenario, checked and frozen."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from thence.sim.variables import Declaration

AgentErrorPolicy = Literal["fail", "skip", "pause"]


class TerminationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that ends a run: a variable is above, below or equal to a value."""

    variable: str
    scope: str = "global"
    above: float | None = None
    below: float | None = None
    equals: Any = None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `simulation`.

    `checkpoint_interval` is in turns, 0 means no checkpoints; `timeout_s` are the seconds of one
    call.
    """

    name: str
    max_turns: int = 100
    seed: int = 0
    termination: tuple[TerminationSettings, ...] = ()
    checkpoint_interval: int = 10
    on_agent_error: AgentErrorPolicy = "fail"
    timeout_s: float | None = None
    threads: int = 32


class EventSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `events`; sizes are in bytes and events."""

    verbosity: str = "ACTION"
    mode: Literal["async", "sync"] = "async"
    max_file_size: int = 500 * 1024 * 1024
    max_queue_size: int = 10_000
    on_full: Literal["drop", "block"] = "block"
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
    timeout_s: float | None = None


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
