"""The settings of a run: the scenario, what the caller changes of it, and its config.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from thence.sim.config import SimulationConfig
from thence.sim.scenario import EventSettings
from thence.sim.verbosity import VerbosityLevel, level_of
from thence.sim.writer import EventWriter, WriteMode

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


def event_settings(
    scenario: EventSettings,
    output_root: str | Path | None,
    verbosity: VerbosityLevel | str | None,
    mode: WriteMode | str | None,
    **others: object,
) -> EventSettings:
    """Returns the settings of a scenario's events with what the caller gave, if not None."""
    return with_changes(
        scenario,
        output_root=None if output_root is None else str(output_root),
        verbosity=None if verbosity is None else level_of(verbosity).name,
        mode=None if mode is None else WriteMode(mode).value,
        **others,
    )


def run_config(
    config: SimulationConfig,
    settings: EventSettings,
    run_id: str,
    *,
    parent: Mapping[str, Any] | None,
    given_as_objects: Sequence[str],
) -> dict[str, Any]:
    """Returns the content of config.json: the scenario as given, and the settings in force.

    `parent` is the run that this one branches from; `given_as_objects` are the kinds of components
    that the scenario did not make.
    """
    source = str(config.source) if config.source else None
    found: dict[str, Any] = {
        "run_id": run_id,
        "source": source,
        "simulation": msgspec.to_builtins(config.simulation),
        "events": msgspec.to_builtins(settings),
        "scenario": dict(config.given),
    }
    if given_as_objects:
        found["given_as_objects"] = list(given_as_objects)
    if parent is not None:
        found["parent"] = dict(parent)
    return found


def writer_of(folder: Path, settings: EventSettings) -> EventWriter:
    """Returns the writer of a run's events, whose id is the name of its folder."""
    return EventWriter(
        folder,
        folder.name,
        verbosity=level_of(settings.verbosity),
        max_queue_size=settings.max_queue_size,
        max_file_size=settings.max_file_size,
        mode=settings.mode,
        on_full=settings.on_full,
    )
