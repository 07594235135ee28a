"""The settings of a run: the scenario, what the caller changes of it, and its config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from thence.sim.config import SimulationConfig
from thence.sim.settings import EventSettings

_S = TypeVar("_S", bound=msgspec.Struct)


def read_config(given: SimulationConfig | Mapping[str, Any] | str | Path) -> SimulationConfig:
    """Returns a scenario from a configuration, a mapping, a path or a name."""
    if isinstance(given, SimulationConfig):
        return given
    if isinstance(given, Mapping):
        return SimulationConfig.from_mapping(given)
    return SimulationConfig.from_file(given)


def with_changes(settings: _S, **given: Any) -> _S:
    """Returns settings with the given values that are not None."""
    changes = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(settings, **changes)


def run_config(config: SimulationConfig, settings: EventSettings, run_id: str) -> dict[str, Any]:
    """Returns the content of config.json: the scenario as given, and the settings in force."""
    source = str(config.source) if config.source else None
    return {
        "run_id": run_id,
        "source": source,
        "simulation": msgspec.to_builtins(config.simulation),
        "events": msgspec.to_builtins(settings),
        "scenario": dict(config.given),
    }
