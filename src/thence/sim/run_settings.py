"""The settings of a run: what the constructor gives stands over what the scenario says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from thence.sim.config import EventSettings, SimulationConfig

_S = TypeVar("_S", bound=msgspec.Struct)


def read_config(given: SimulationConfig | Mapping[str, Any] | str | Path) -> SimulationConfig:
    """Returns a scenario, however it is given."""
    if isinstance(given, SimulationConfig):
        return given
    if isinstance(given, Mapping):
        return SimulationConfig.from_mapping(given)
    return SimulationConfig.from_file(given)


def merged(settings: _S, **given: Any) -> _S:
    """Returns the settings of the scenario, with those of the constructor over them."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, **chosen)


def in_force(config: SimulationConfig, settings: EventSettings, run_id: str) -> dict[str, Any]:
    """Returns what config.json holds: the scenario as given, and the settings in force."""
    source = str(config.source) if config.source else None
    return {
        "run_id": run_id,
        "source": source,
        "simulation": msgspec.to_builtins(config.simulation),
        "events": msgspec.to_builtins(settings),
        "scenario": dict(config.given),
    }
