"""The components of a run, made by its scenario or given as objects."""

from collections.abc import Sequence
from typing import Any

from thence.errors import ScenarioError
from thence.sim.agents import BaseAgent
from thence.sim.config import SimulationConfig
from thence.sim.engine import BaseEngine
from thence.sim.simulation import Components
from thence.sim.validator import BaseValidator


def make_components(
    config: SimulationConfig,
    agents: Sequence[BaseAgent] | None = None,
    engine: BaseEngine | None = None,
    validator: BaseValidator | None = None,
) -> Components:
    """Returns the components of a new run; given objects replace those of the scenario.

    Raises ScenarioError if a component refuses its parameters, or two agents share a name.
    """
    if agents is None:
        agents = [
            _make(config, "agents", agent.type, agent.params, agent.name) for agent in config.agents
        ]
    else:
        _check_names(agents)
    settings = config.engine
    if engine is None:
        engine = _make(config, "engines", settings.type, settings.params, "engine")
    settings = config.validator
    if validator is None:
        validator = _make(config, "validators", settings.type, settings.params, "validator")
    return Components(tuple(agents), engine, validator)


def _make(config: SimulationConfig, kind: Any, type_: str, params: Any, name: str) -> Any:
    from thence.sim.component_classes import ComponentNotFound, build, component_class

    try:
        cls = component_class(kind, type_, config.source.parent if config.source else None)
        return build(kind, cls, params, name=name, config=config)
    except (ComponentNotFound, ValueError, TypeError) as error:
        place = str(config.source or "given as a mapping")
        problem = {"file": place, "line": 0, "key": name, "message": str(error), "hint": ""}
        raise ScenarioError(
            f"could not make {name} of type {type_}", place=place, cause=error, problems=[problem]
        ) from error


def _check_names(agents: Sequence[BaseAgent]) -> None:
    import re

    seen: set[str] = set()
    for agent in agents:
        name = getattr(agent, "name", None)
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == "-":
            raise ScenarioError(
                "could not take the agents",
                cause=f"{name!r} is no name for an agent",
                hint="names have letters, digits, '_' and '-'; call super().__init__(name)",
            )
        if name in seen:
            raise ScenarioError(
                "could not take the agents", cause=f"the name {name!r} stands twice"
            )
        seen.add(name)
