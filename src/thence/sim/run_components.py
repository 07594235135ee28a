"""The components of one run: agents, engine, validator, and what they keep between turns."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from thence.errors import ScenarioError, ThenceError
from thence.sim.agents import BaseAgent, BaseValidator
from thence.sim.component_classes import ComponentNotFound, build, component_class
from thence.sim.engine import BaseEngine
from thence.sim.roster import check_name
from thence.sim.scenario import SimulationConfig


class Components(msgspec.Struct, frozen=True):
    """The components of one run; each run needs its own objects."""

    agents: tuple[BaseAgent, ...]
    engine: BaseEngine
    validator: BaseValidator


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


def component_states(components: Components) -> dict[str, Any] | None:
    """Returns what the components keep, by `engine`, `validator` and `agent/<name>`.

    That is what their `get_state()` returns, as JSON values. None if an agent remembers and has
    no `get_state`.
    """
    states: dict[str, Any] = {}
    for name, component in _named(components):
        get_state = getattr(component, "get_state", None)
        if get_state is not None:
            states[name] = get_state()
        elif isinstance(component, BaseAgent) and component.remembers:
            return None
    return states


def restore_components(components: Components, states: Mapping[str, Any]) -> None:
    """Gives each component its state back, by `set_state`; raises ThenceError if it lacks one."""
    for name, component in _named(components):
        if name not in states:
            continue
        set_state = getattr(component, "set_state", None)
        if set_state is None:
            raise ThenceError(
                "could not go on from a checkpoint",
                place=name,
                cause=f"{type(component).__name__} has get_state and no set_state",
                hint="add set_state(state), which takes what get_state returned",
            )
        set_state(states[name])


def _named(components: Components) -> list[tuple[str, object]]:
    agents = [(f"agent/{agent.name}", agent) for agent in components.agents]
    return [("engine", components.engine), ("validator", components.validator), *agents]


def _make(config: SimulationConfig, kind: Any, type_: str, params: Any, name: str) -> Any:
    try:
        cls = component_class(kind, type_, config.source.parent if config.source else None)
        return build(cls, params, name=name, config=config)
    except (ComponentNotFound, ValueError, TypeError) as error:
        place = str(config.source or "given as a mapping")
        problem = {"file": place, "line": 0, "key": name, "message": str(error), "hint": ""}
        raise ScenarioError(
            f"could not make {name} of type {type_}", place=place, cause=error, problems=[problem]
        ) from error


def _check_names(agents: Sequence[BaseAgent]) -> None:
    seen: set[str] = set()
    for agent in agents:
        check_name(getattr(agent, "name", None), seen)
        seen.add(agent.name)
