"""The reader of a scenario, which returns its checked sections or raises all problems."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from thence.sim import scenario_schema as schema
from thence.sim.component_classes import (
    ComponentNotFound,
    Kind,
    component_class,
    known_types,
    params_model,
)
from thence.sim.scenario_files import find_file, parse_file
from thence.sim.scenario_problems import Path as KeyPath
from thence.sim.scenario_problems import Problems, Source, nearest
from thence.sim.settings import (
    AgentSettings,
    ComponentSettings,
    EventSettings,
    PlaceSettings,
    RoadSettings,
    RunSettings,
    SpatialSettings,
    TerminationSettings,
    VariableSettings,
)
from thence.sim.variables import Declaration

C = TypeVar("C")
_KINDS_WITH_BOUNDS = ("float", "int", "list")


def read_file(path: str | Path, config: Callable[..., C]) -> C:
    """Returns the scenario of a file or of a shipped name; raises ScenarioError.

    `config` builds the returned value of the checked sections, given by keyword.
    """
    file = find_file(path)
    given, source = parse_file(file)
    return config(**_Reader(given, source, file).sections())


def read_mapping(given: Mapping[str, Any], config: Callable[..., C], file: Path | None = None) -> C:
    """Returns the scenario of a mapping as `read_file` does; raises ScenarioError."""
    return config(**_Reader(dict(given), Source(), file).sections())


class _Reader:
    """The reading of one scenario; every check records problems, then all are raised."""

    def __init__(self, given: dict[str, Any], source: Source, file: Path | None) -> None:
        self._given = given
        self._file = file
        self._problems = Problems(source)

    def sections(self) -> dict[str, Any]:
        model = self._problems.validate(schema.ScenarioKeys, self._given)
        self._check_components()
        if model is None:
            self._problems.raise_any()
            raise AssertionError("a refused scenario has problems")
        self._has_variables = not self._problems.has("state_variables")
        self._has_places = not self._problems.has("spatial")
        variables = self._variables(model.state_variables)
        self._check_places(model.spatial, variables)
        agents = self._agents(model, variables)
        self._check_termination(model, variables, [agent.name for agent in agents])
        self._problems.raise_any()
        validator = model.validator
        return {
            "simulation": _run(model.simulation),
            "events": EventSettings(**model.events.model_dump()),
            "state_variables": variables,
            "agents": agents,
            "engine": ComponentSettings(type=model.engine.type, params=_extra(model.engine)),
            "validator": ComponentSettings(type=validator.type, params=_extra(validator)),
            "retries": validator.retries,
            "spatial": _spatial(model.spatial),
            "given": self._given,
            "source": self._file,
        }

    def _check_components(self) -> None:
        """Checks the keys of components against their parameters, even if other keys are wrong."""
        agents = self._given.get("agents")
        for index, entry in enumerate(agents if isinstance(agents, list) else ()):
            self._check_component("agents", entry, ("agents", index), schema.AgentKeys)
        self._check_component("engines", self._given.get("engine"), ("engine",), schema.EngineKeys)
        self._check_component(
            "validators", self._given.get("validator"), ("validator",), schema.ValidatorKeys
        )

    def _check_component(
        self, kind: Kind, entry: object, path: KeyPath, common: type[BaseModel]
    ) -> None:
        if not isinstance(entry, dict) or not isinstance(entry.get("type", "base"), str):
            return
        common_keys = common.model_fields.keys()
        type_ = entry.get("type", "" if kind == "agents" else "base")
        if not type_:
            return
        try:
            cls = component_class(kind, type_, self._file.parent if self._file else None)
        except ComponentNotFound as error:
            hint = nearest(type_, known_types(kind), f"{kind[:-1]} type")
            if ":" in type_:
                hint = "write package.module:Class, or ./file.py:Class beside the scenario"
            self._problems.add((*path, "type"), str(error), hint)
            return
        params = {key: value for key, value in entry.items() if key not in common_keys}
        self._problems.validate(params_model(cls), params, path, common_keys)

    def _variables(self, model: schema.StateVariablesKeys) -> VariableSettings:
        return VariableSettings(
            global_vars=self._declarations("global_vars", model.global_vars),
            place_vars=self._declarations("place_vars", model.place_vars),
            agent_vars=self._declarations("agent_vars", model.agent_vars),
        )

    def _declarations(
        self, section: str, entries: Sequence[schema.VariableKeys]
    ) -> tuple[Declaration, ...]:
        path: KeyPath = ("state_variables", section)
        self._check_unique(path, [entry.name for entry in entries])
        return tuple(self._declaration((*path, i), entry) for i, entry in enumerate(entries))

    def _declaration(self, path: KeyPath, entry: schema.VariableKeys) -> Declaration:
        add = self._problems.add
        if entry.min is not None and entry.max is not None and entry.min > entry.max:
            add((*path, "min"), f"{entry.min:g} is above max {entry.max:g}", "swap min and max")
        for key in ("min", "max"):
            if getattr(entry, key) is not None and entry.type not in _KINDS_WITH_BOUNDS:
                add((*path, key), f"a {entry.type} variable has no bounds", "leave it out")
        if (entry.type == "categorical") != bool(entry.choices):
            add(
                (*path, "choices" if entry.choices is not None else "type"),
                "a categorical variable, and no other, has choices",
                "list at least one under choices",
            )
        declaration = Declaration(
            name=entry.name,
            kind=entry.type,
            default=_default(entry),
            minimum=entry.min,
            maximum=entry.max,
            choices=tuple(entry.choices or ()),
        )
        fault = declaration.fault(declaration.default)
        if fault and "default" in entry.model_fields_set:
            add((*path, "default"), f"{entry.name} {fault}")
        return declaration

    def _check_places(self, spatial: schema.SpatialKeys, variables: VariableSettings) -> None:
        places = [place.name for place in spatial.places]
        self._check_unique(("spatial", "places"), places)
        for index, place in enumerate(spatial.places):
            path = ("spatial", "places", index, "initial")
            self._check_initial(path, place.initial, variables.place_vars)
        for index, road in enumerate(spatial.roads):
            for end, name in enumerate(road.between):
                self._check_place(("spatial", "roads", index, "between", end), name, places)

    def _check_place(self, path: KeyPath, name: str, places: Sequence[str]) -> None:
        if self._has_places and name not in places:
            self._problems.add(path, f"there is no place {name!r}", nearest(name, places, "place"))

    def _agents(
        self, model: schema.ScenarioKeys, variables: VariableSettings
    ) -> tuple[AgentSettings, ...]:
        places = [place.name for place in model.spatial.places]
        agents = []
        owners = []
        for index, entry in enumerate(model.agents):
            path: KeyPath = ("agents", index)
            initial = dict(entry.initial)
            if entry.initial_location is not None:
                initial["location"] = entry.initial_location
                self._check_place((*path, "initial_location"), entry.initial_location, places)
            self._check_initial((*path, "initial"), initial, variables.agent_vars)
            for name in _names(entry):
                owners.append(index)
                agents.append(
                    AgentSettings(
                        name=name,
                        type=entry.type,
                        initial=initial,
                        params=_extra(entry),
                        timeout_s=entry.timeout_s,
                    )
                )
        self._check_unique(("agents",), [agent.name for agent in agents], owners)
        return tuple(agents)

    def _check_initial(
        self, path: KeyPath, initial: Mapping[str, Any], declarations: Iterable[Declaration]
    ) -> None:
        by_name = {each.name: each for each in declarations}
        for name, value in initial.items():
            if name not in by_name and not self._has_variables:
                continue
            if name not in by_name:
                hint = nearest(name, list(by_name), "variable")
                self._problems.add((*path, name), f"there is no variable {name!r}", hint)
            elif fault := by_name[name].fault(value):
                self._problems.add((*path, name), f"{name} {fault}")

    def _check_termination(
        self, model: schema.ScenarioKeys, variables: VariableSettings, agents: Sequence[str]
    ) -> None:
        subjects = [("global", each.name) for each in variables.global_vars]
        for place in model.spatial.places:
            subjects += [(f"place/{place.name}", each.name) for each in variables.place_vars]
        for agent in agents:
            subjects += [(f"agent/{agent}", each.name) for each in variables.agent_vars]
        for index, entry in enumerate(model.simulation.termination):
            path = ("simulation", "termination", index)
            is_of_agent = entry.scope.startswith("agent/") and not agents
            if is_of_agent and entry.variable in {v.name for v in variables.agent_vars}:
                continue  # the agents may come as objects, not from the scenario
            if self._has_variables and (entry.scope, entry.variable) not in subjects:
                subject = f"{entry.scope}/{entry.variable}"
                hint = nearest(subject, [f"{s}/{n}" for s, n in subjects], "variable")
                self._problems.add((*path, "variable"), f"there is no variable {subject}", hint)
            if entry.above is None and entry.below is None and entry.equals is None:
                self._problems.add(path, "says no condition", "add above, below or equals")

    def _check_unique(
        self, path: KeyPath, names: Sequence[str], owners: Sequence[int] | None = None
    ) -> None:
        """Records names that occur twice, and the name "-", which steps use for no agent."""
        names_so_far: set[str] = set()
        for position, name in enumerate(names):
            index = owners[position] if owners is not None else position
            if name in names_so_far:
                self._problems.add((*path, index, "name"), f"the name {name!r} stands twice")
            if name == "-":
                self._problems.add((*path, index, "name"), "a name can't be just '-'")
            names_so_far.add(name)


def _run(model: schema.SimulationKeys) -> RunSettings:
    return RunSettings(
        name=model.name,
        max_turns=model.max_turns,
        seed=model.seed,
        checkpoint_interval=model.checkpoint_interval,
        termination=tuple(TerminationSettings(**each.model_dump()) for each in model.termination),
        on_agent_error=model.on_agent_error,
        timeout_s=model.timeout_s,
        threads=model.threads,
    )


def _spatial(model: schema.SpatialKeys) -> SpatialSettings:
    return SpatialSettings(
        places=tuple(PlaceSettings(**place.model_dump()) for place in model.places),
        roads=tuple(
            RoadSettings(between=(road.between[0], road.between[1]), turns=road.turns)
            for road in model.roads
        ),
    )


def _names(entry: schema.AgentKeys) -> list[str]:
    """Returns the names of an entry's agents: `ada`, or `ada-1`, `ada-2` … with a count."""
    if entry.count is None:
        return [entry.name]
    return [f"{entry.name}-{number}" for number in range(1, entry.count + 1)]


def _extra(model: schema.OpenKeys) -> dict[str, Any]:
    return cast(dict[str, Any], model.model_extra)


def _default(entry: schema.VariableKeys) -> object:
    """Returns the given default, or the smallest value of the type."""
    if "default" in entry.model_fields_set:
        return entry.default
    smallest = entry.min if entry.min is not None else 0
    return {
        "float": float(smallest),
        "int": int(smallest),
        "bool": False,
        "categorical": (entry.choices or [""])[0],
        "str": "",
        "list": [],
        "dict": {},
    }[entry.type]
