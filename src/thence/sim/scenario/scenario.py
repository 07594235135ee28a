"""A scenario as one frozen value, read with all checks: it is whole, or all problems are raised.

Each value is checked on its own, so that a misfit hides no other. What entries say of each other,
by names above all, is checked for the entries that fit.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from thence.core.nearest import nearest
from thence.sim.models.actions import HEARD, DeclaredAction, talk_reach
from thence.sim.models.settings import EndpointSettings, ModelSettings
from thence.sim.scenario.component_classes import (
    SHIPPED,
    ComponentNotFound,
    Kind,
    component_class,
    converted,
    params_struct,
)
from thence.sim.scenario.people import with_people
from thence.sim.scenario.scenario_file import (
    KeyPath,
    Problems,
    Source,
    TableRow,
    find_file,
    named_files,
    parse_file,
    put_setting,
)
from thence.sim.scenario.sections import (
    AgentEntry,
    AgentSettings,
    ComponentSettings,
    EdgeSettings,
    EngineEntry,
    EventSettings,
    PlaceSettings,
    RoadSettings,
    RunSettings,
    Sections,
    SpatialSettings,
    ValidatorEntry,
    VariableSettings,
)
from thence.sim.scenario.state import GLOBAL, NO_DECLARATIONS, Declaration, Name, VariableTable
from thence.sim.space.worlds import POSITION, declared_by, shape_of, with_edges

S = TypeVar("S", bound=msgspec.Struct)
_TYPES_WITH_BOUNDS = ("float", "int", "list")
_NAMES_SHOWN_MAX = 12
_LIKENESS = 0.6  # of names that may be meant for each other
_SECRETS = ("key", "api_key", "apikey", "token", "secret", "password", "authorization")
_LISTS = (list, tuple, set, frozenset, Sequence)
_WORDS: Mapping[type, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    types.NoneType: "null",
}


class SimulationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A complete scenario; `given` is its input, and `source` its file, if any.

    `given` holds the agents that tables gave. `files` are the SHA-256 of the files that it names,
    and of the Python files next to it that these import; `rows` are the tables' rows by the index
    of the agent.
    """

    simulation: RunSettings
    events: EventSettings = EventSettings()
    state_variables: VariableSettings = VariableSettings()
    agents: tuple[AgentSettings, ...] = ()
    engine: ComponentSettings = ComponentSettings(type="base")
    validator: ComponentSettings = ComponentSettings(type="base")
    retries: int = 0
    spatial: SpatialSettings = SpatialSettings()
    llm: ModelSettings = ModelSettings()
    given: Mapping[str, Any] = {}
    source: Path | None = None
    files: Mapping[str, str] = {}
    rows: Mapping[int, TableRow] = {}

    @classmethod
    def from_file(cls, path: str | Path, settings: Mapping[str, object] = {}) -> "SimulationConfig":
        """Reads a scenario from a YAML file, or a shipped one by its bare name.

        `settings` are values by their keys, such as "engine.growth" or "agents.ada.step", that
        replace the file's. Raises ScenarioError, whose `problems` list everything that
        is wrong.
        """
        file = find_file(path)
        raw, lines = parse_file(file)
        problems = Problems(lines)
        for key, value in settings.items():
            place, fault = put_setting(raw, key, value)
            lines.settings[place] = key
            if fault:
                problems.add(place, fault)
        problems.raise_any()
        return cls(**_Reader(raw, lines, file).sections())

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], source: Path | None = None
    ) -> "SimulationConfig":
        """Reads a scenario from a mapping; raises ScenarioError as `from_file` does.

        `source` is the file that it comes from, next to which its components are.
        """
        return cls(**_Reader(dict(mapping), Source(), source).sections())

    @property
    def has_talk(self) -> bool:
        """True if any agent talks."""
        return any(talk_reach(agent.params.get("talk")) for agent in self.agents)

    def table(
        self,
        agents: Iterable[str],
        own_vars: Mapping[str, Iterable[Declaration]] = NO_DECLARATIONS,
    ) -> VariableTable:
        """Returns the variables of a run of this scenario with these agents.

        `own_vars` are those of agents that have others than the scenario declares.
        """
        declared = self.state_variables
        agent_vars = (*declared.agent_vars, *declared_by(self.spatial))
        places: Iterable[str] = [place.name for place in self.spatial.places]
        if self.spatial.has_world:
            places = shape_of(self.spatial).places
        if self.has_talk and not any(variable.name == HEARD for variable in agent_vars):
            agent_vars += (Declaration(name=HEARD, kind="list", sight="internal"),)
        return VariableTable(
            global_vars=declared.global_vars,
            place_vars=declared.place_vars,
            agent_vars=agent_vars,
            places=places,
            agents=agents,
            has_map=self.spatial.has_world,
            own_vars=own_vars,
        )

    def initial_values(self) -> dict[tuple[str, str], Any]:
        """Returns the initial values of agents and places, by (scope, name)."""
        owners = [(f"place/{place.name}", place.initial) for place in self.spatial.places]
        owners += [(f"agent/{agent.name}", agent.initial) for agent in self.agents]
        return {(scope, name): value for scope, values in owners for name, value in values.items()}


class _Shapes:
    """The check of values against types; `fitting` returns the entries that fit, with paths."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._fitting: dict[type, list[tuple[KeyPath, Any]]] = {}

    def fitting(self, kind: type[S]) -> list[tuple[KeyPath, S]]:
        return self._fitting.get(kind, [])

    def check(
        self, kind: Any, value: object, path: KeyPath = (), other_keys: Iterable[str] = ()
    ) -> bool:
        """Records each misfit of a value and what it holds, and reports whether all fits.

        `other_keys` are allowed beside those of the type.
        """
        if value is not None and _is_union(kind):
            members = [one for one in typing.get_args(kind) if one is not types.NoneType]
            kind = members[0] if len(members) == 1 else kind
        keys = _keys_of(kind)
        if keys is not None and isinstance(value, dict):
            fits = self._check_keys(kind, keys, value, path, other_keys)
        else:
            inner = _inner_values(kind, value)
            fits = sum(not self.check(of, part, (*path, key)) for key, of, part in inner) == 0
        if not fits:
            return False
        try:
            result = converted(value, kind)
        except msgspec.ValidationError as error:
            word = str(error).partition(" ")[0]
            if keys is not None and word in keys:  # what a section says of its parts
                self._problems.add((*path, word), str(error))
            elif path[-1:] == ("key_env",):  # maybe a key, which nothing shows
                self._problems.add(path, "names no environment variable", "such as LOCAL_KEY")
            elif isinstance(value, str) and (kind is Name or "regex" in str(error)):
                dash = ", '_' and '-'" if kind is Name else " and '_'"
                hint = f"names have letters, digits{dash} only, 100 at most"
                self._problems.add(path, f"{value!r:.60} is not a name", hint)
            else:
                hint = "begin each entry with -" if isinstance(value, dict) else ""
                words = f"should be {expected(kind)}, not {value!r:.60}"
                self._problems.add(path, words, hint)
            return False
        if keys is not None:
            self._fitting.setdefault(kind, []).append((path, result))
        return True

    def _check_keys(
        self,
        kind: Any,
        keys: Mapping[str, tuple[Any, bool]],
        value: Mapping[str, Any],
        path: KeyPath,
        other_keys: Iterable[str],
    ) -> bool:
        fits = True
        for key, (of, is_required) in keys.items():
            if key in value:
                fits = self.check(of, value[key], (*path, key)) and fits
            elif is_required:
                self._problems.add((*path, key), "this key is missing", "add it")
                fits = False
        config = getattr(kind, "__struct_config__", None)
        is_open = config is not None and not config.forbid_unknown_fields
        for key in () if is_open else value:
            if key in keys:
                continue
            hint = _nearest(key, [*keys, *other_keys])
            if kind is EndpointSettings and key in _SECRETS:
                hint = "write key_env: NAME, the environment variable that holds it"
            self._problems.add((*path, key), "this key is not known", hint)
            fits = False
        return fits


class _Reader:
    """The reading of one scenario; every check records problems, then all are raised."""

    def __init__(self, raw: Mapping[str, Any], source: Source, file: Path | None) -> None:
        folder = file.parent if file else Path()
        self._raw, source.rows, files, self._faults, self._fillings = with_people(raw, folder)
        if isinstance(entries := self._raw.get("agents"), list):
            self._raw = {**self._raw, "agents": [*entries]}  # which get the texts of their prompts
        self._files = {**named_files(raw, folder), **files}
        self._rows = source.rows
        self._file = file
        self._problems = Problems(source)
        self._shapes = _Shapes(self._problems)
        self._data: dict[str, Any] = self._plain(self._raw, ())
        self._spatial = SpatialSettings()
        self._location = "location"  # the variable that initial_location sets
        self._agents: list[str] = []
        self._places: list[str] = []
        self._asking: list[tuple[KeyPath, object]] = []
        self._sees: list[tuple[KeyPath, str]] = []

    def sections(self) -> dict[str, Any]:
        """Returns the sections of SimulationConfig, by keyword; raises ScenarioError."""
        self._problems.raise_any()
        self._shapes.check(Sections, self._data)
        fitting = self._shapes.fitting
        self._agents = [name for _, entry in fitting(AgentEntry) for name in _names(entry)]
        self._places = [place.name for _, place in fitting(PlaceSettings)]
        data = self._data  # the keys of components are checked even if other ones are wrong
        agents = data.get("agents")
        entries = enumerate(agents) if isinstance(agents, list) else ()
        for index, entry in agents.items() if isinstance(agents, dict) else entries:
            self._check_component("agents", entry, ("agents", index), AgentEntry)
        self._check_component("engines", data.get("engine"), ("engine",), EngineEntry)
        self._check_component("validators", data.get("validator"), ("validator",), ValidatorEntry)
        for fault in self._faults:
            self._problems.add(*fault)
        self._check_declarations()
        self._check_places()
        self._check_agents()
        self._check_models()
        self._check_sees()
        self._problems.raise_any()
        sections: Sections = converted(self._data, Sections)
        settings: list[AgentSettings] = []
        for entry, raw in zip(sections.agents, self._data.get("agents", ()), strict=True):
            place = entry.initial_location
            initial = entry.initial if place is None else {**entry.initial, self._location: place}
            own = {"initial": initial, "params": _params(raw, AgentEntry)}
            members = msgspec.structs.asdict(entry) | own
            settings += [AgentSettings(**{**members, "name": name}) for name in _names(entry)]
        return msgspec.structs.asdict(sections) | {
            "agents": tuple(settings),
            "engine": _component(sections.engine, self._data.get("engine", {})),
            "validator": _component(sections.validator, self._data.get("validator", {})),
            "retries": sections.validator.retries,
            "spatial": self._spatial,
            "given": self._raw,
            "source": self._file,
            "files": self._files,
            "rows": self._rows,
        }

    def _plain(self, value: object, path: KeyPath) -> Any:
        """Returns maps, lists and scalars as JSON has them, anything else as its `repr`."""
        if isinstance(value, Mapping):
            return {
                str(key): self._plain(part, (*path, self._plain(str(key), (*path, str(key)))))
                for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._plain(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                half = value[error.start : error.end]
                self._problems.add(path, f"{half!r} is half a character", "write it whole")
        return value if isinstance(value, bool | int | float | str | None) else repr(value)

    def _check_component(
        self, kind: Kind, entry: object, path: KeyPath, common: type[msgspec.Struct]
    ) -> None:
        if not isinstance(entry, dict):
            return
        type_ = entry.get("type", "" if kind == "agents" else "base")
        cls = None
        if isinstance(type_, str) and type_:
            try:
                cls = component_class(kind, type_, self._file.parent if self._file else None)
            except ComponentNotFound as error:
                hint = _nearest(type_, sorted(SHIPPED[kind]), f"{kind[:-1]} type")
                if ":" in type_ or "." in type_ or hint.startswith("write"):
                    hint = "write package.module:Class, or ./file.py:Class next to the scenario"
                self._problems.add((*path, "type"), str(error), hint)
        if cls is None:  # a key that is like none of these may be one of the class
            absent = [name for name in common.__struct_fields__ if name not in entry]
            for key in _params(entry, common):
                if nearest(key, absent, likeness=_LIKENESS):
                    self._problems.add((*path, key), "this key is not known", _nearest(key, absent))
            return
        is_prompted = "PromptedAgent" in [base.__name__ for base in cls.__mro__]
        if is_prompted and "prompt_file" in entry and isinstance(path[-1], int):
            self._take_prompt(entry, path[-1])
        if getattr(cls, "asks_models", False):
            self._asking.append(((*path, "endpoint"), entry.get("endpoint")))
            sees = entry.get("sees") if is_prompted else None
            patterns = enumerate(sees if isinstance(sees, list) else ())
            self._sees += [((*path, "sees", at), str(pattern)) for at, pattern in patterns]
        common_keys = common.__struct_fields__
        self._shapes.check(params_struct(cls), _params(entry, common), path, common_keys)

    def _take_prompt(self, entry: dict[str, Any], index: int) -> None:
        """Puts the text of `prompt_file` in place of it: a run keeps the prompt that it had."""
        name = str(entry.pop("prompt_file"))
        try:
            data = ((self._file.parent if self._file else Path()) / name).read_bytes()
            entry["prompt"] = data.decode()
        except (OSError, ValueError) as error:
            path, message = ("agents", index, "prompt_file"), f"prompt_file can't be read: {error}"
            self._problems.add(path, message, "name a text file")
            return
        self._files[str(Path(name))] = sha256(data).hexdigest()
        if index in self._fillings:
            entry["prompt"] = self._fillings[index].fill(entry["prompt"], ("prompt",))
        agent = {**self._raw["agents"][index], "prompt": entry["prompt"]}
        del agent["prompt_file"]
        self._raw["agents"][index] = agent

    def _check_declarations(self) -> None:
        declarations, add = self._shapes.fitting(Declaration), self._problems.add
        self._check_unique((path, declaration.name) for path, declaration in declarations)
        for path, declaration in declarations:
            lowest, highest, kind = declaration.minimum, declaration.maximum, declaration.kind
            if lowest is not None and highest is not None and lowest > highest:
                add((*path, "min"), f"{lowest:g} is above max {highest:g}", "swap min and max")
            for name, bound in (("min", lowest), ("max", highest)):
                if bound is not None and kind not in _TYPES_WITH_BOUNDS:
                    add((*path, name), f"a {kind} variable has no bounds", "leave it out")
            raw: Any = self._data
            for key in path:
                raw = raw[key]
            if (kind == "categorical") != bool(declaration.choices):
                add(
                    (*path, "choices" if "choices" in raw else "type"),
                    "only a categorical variable has choices",
                    "list at least one under choices",
                )
            fault = declaration.fault(declaration.default)
            if fault and "default" in raw:
                add((*path, "default"), f"{declaration.name} {fault}")

    def _check_models(self) -> None:
        """Checks the names of actions, and that who asks a model has an endpoint."""
        actions = self._shapes.fitting(DeclaredAction)
        self._check_unique((path, action.name) for path, action in actions)
        if self._problems.has("llm"):
            return
        settings = next((llm for _, llm in self._shapes.fitting(ModelSettings)), ModelSettings())
        names, add = [*settings.endpoints], self._problems.add
        for path, name in (*self._asking, (("llm", "default"), settings.default)):
            if name is not None and name not in names:
                add(path, f"there is no endpoint {name!r}", _nearest(str(name), names, "endpoint"))
            elif not names and path[0] != "llm":
                hint = "write llm: {endpoints: {local: {base_url: …, model: …}}}"
                add(path, "it asks a model, and there is no endpoint", hint)

    def _check_sees(self) -> None:
        """Checks that what agents see, and what their actions depend on, is declared."""
        whens = [
            ((*path, "when"), name)
            for path, action in self._shapes.fitting(DeclaredAction)
            for name in action.reads
        ]
        for path, name in whens:
            if name.rpartition("/")[0] not in ("", GLOBAL):
                hint = "name one of its own, money, or a global one, global/price"
                self._problems.add(path, f"{name!r} is another's variable", hint)
        sees = [*self._sees, *whens]
        for path, pattern in () if self._problems.has("state_variables") else sees:
            scope, _, name = pattern.rpartition("/")
            section = f"{scope.partition('/')[0] or 'agent'}_vars"
            names = [*self._declarations(section), *([HEARD] if section == "agent_vars" else ())]
            if not any(fnmatchcase(one, name) for one in names):
                hint = _nearest(name, names, "variable")
                self._problems.add(path, f"there is no variable {pattern!r}", hint)

    def _check_places(self) -> None:
        places = self._shapes.fitting(PlaceSettings)
        self._check_unique((path, place.name) for path, place in places)
        declarations = self._declarations("place_vars")
        for path, place in places:
            self._check_initial((*path, "initial"), place.initial, declarations)
        for _, spatial in self._shapes.fitting(SpatialSettings):
            self._check_world(spatial)
        for path, road in self._shapes.fitting(RoadSettings):
            for end, name in enumerate(road.between):
                self._check_place((*path, "between", end), name, self._places)

    def _check_world(self, spatial: SpatialSettings) -> None:
        folder = self._file.parent if self._file else Path()
        declared = self._declarations("agent_vars")
        self._spatial, faults = with_edges(spatial, folder, self._agents)
        for path, message, hint in faults:
            self._problems.add(("spatial", *path), message, hint)
        for variable in declared_by(self._spatial):
            if variable.name in declared:
                message = f"the world declares {variable.name} itself"
                self._problems.add(("state_variables", "agent_vars"), message, "leave it out")
        self._location = POSITION if spatial.has_world else self._location

    def _check_place(self, path: KeyPath, name: str, places: Sequence[str]) -> None:
        if name not in places and not self._problems.has("spatial"):
            self._problems.add(path, f"there is no place {name!r}", _nearest(name, places, "place"))

    def _check_agents(self) -> None:
        has_world = self._spatial.has_world
        places = list(shape_of(self._spatial).places) if has_world else self._places
        entries = self._shapes.fitting(AgentEntry)
        self._check_unique((path, name) for path, entry in entries for name in _names(entry))
        declarations = self._declarations("agent_vars")
        for path, entry in entries:
            if entry.initial_location is not None:
                self._check_place((*path, "initial_location"), entry.initial_location, places)
                location = (self._location, entry.initial_location)
                self._check_value((*path, "initial_location"), *location, declarations)
            self._check_initial((*path, "initial"), entry.initial, declarations)

    def _check_initial(
        self, path: KeyPath, initial: Mapping[str, Any], declarations: Mapping[str, Declaration]
    ) -> None:
        for name, value in initial.items():
            self._check_value((*path, name), name, value, declarations)

    def _check_value(
        self, path: KeyPath, name: str, value: object, declarations: Mapping[str, Declaration]
    ) -> None:
        if name in declarations:
            fault = declarations[name].fault(value)
            if fault:
                self._problems.add(path, f"{name} {fault}")
        elif not self._problems.has("state_variables"):
            hint = _nearest(name, list(declarations), "variable")
            self._problems.add(path, f"there is no variable {name!r}", hint)

    def _declarations(self, section: str) -> dict[str, Declaration]:
        declarations = {
            declaration.name: declaration
            for path, declaration in self._shapes.fitting(Declaration)
            if path[1] == section
        }
        of_world = declared_by(self._spatial) if section == "agent_vars" else ()
        return {**declarations, **{declaration.name: declaration for declaration in of_world}}

    def _check_unique(self, names: Iterable[tuple[KeyPath, str]]) -> None:
        """Records names that occur twice, and the name "-", which steps use for no agent."""
        names_so_far: set[tuple[KeyPath, str]] = set()
        for path, name in names:
            if (path[:-1], name) in names_so_far:
                self._problems.add((*path, "name"), f"the name {name!r} appears twice")
            if name == "-":
                self._problems.add((*path, "name"), "a name can't be just '-'")
            names_so_far.add((path[:-1], name))


def _names(entry: AgentEntry) -> list[str]:
    """Returns the names of an entry's agents: `ada`, or `ada-1`, `ada-2` … with a count."""
    if entry.count is None:
        return [entry.name]
    return [f"{entry.name}-{number}" for number in range(1, entry.count + 1)]


def _component(entry: EngineEntry | ValidatorEntry, raw: Mapping[str, Any]) -> ComponentSettings:
    reach = entry.reach if isinstance(entry, EngineEntry) else None
    return ComponentSettings(type=entry.type, params=_params(raw, type(entry)), reach=reach)


def _params(raw: Mapping[str, Any], common: type[msgspec.Struct]) -> dict[str, Any]:
    """Returns the keys of an entry that are parameters of its type."""
    return {key: value for key, value in raw.items() if key not in common.__struct_fields__}


def _nearest(name: str, names: Sequence[str], word: str = "known") -> str:
    """Returns a hint with the nearest name, of places any: 8,8 for 9,9; else the first names."""
    if near := nearest(name, names, likeness=0 if word == "place" else _LIKENESS):
        return f"the nearest {word} is {near[0]}"
    listed = ", ".join(names[:_NAMES_SHOWN_MAX]) + ", …" * (len(names) > _NAMES_SHOWN_MAX)
    return f"write one of {listed}" if names else f"none is {word} here"


@cache
def _keys_of(kind: Any) -> Mapping[str, tuple[Any, bool]] | None:
    """Returns the type of each key of a Struct or dataclass, with whether it is required."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return {field.encode_name: (field.type, field.required) for field in fields}
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


def _inner_values(kind: Any, value: object) -> Iterator[tuple[str | int, Any, object]]:
    """Yields what a list or map holds, with its key and type; nothing where a type is open."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(value, list) and origin in _LISTS:
        if origin is tuple and arguments[-1] is not ...:
            if len(arguments) != len(value):
                return
        else:
            arguments = arguments[:1] * len(value)
        yield from zip(range(len(value)), arguments, value, strict=True)
    elif isinstance(value, dict) and origin in (dict, Mapping):
        for key, part in value.items():
            yield key, arguments[0], key
            yield key, arguments[1], part


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def expected(kind: Any) -> str:
    """Returns what a value should be, in words: `an integer, at least 1`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        bounds = [
            f"{word} {bound}"
            for word, member in (("above", "gt"), ("at least", "ge"), ("at most", "le"))
            if (bound := getattr(arguments[1], member)) is not None
        ]
        return ", ".join(filter(None, [expected(arguments[0]), " and ".join(bounds)]))
    if origin is Literal or _is_union(kind):
        words = [repr(part) if origin is Literal else expected(part) for part in arguments]
        return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    of = origin or kind
    if origin is tuple and arguments[-1] is not ...:
        return f"a list of {len(arguments)}"
    if of in _LISTS:
        return "a list"
    if isinstance(of, type) and issubclass(of, EdgeSettings):
        return "an edge, [a, b] or [a, b, {strength: 2}]"
    if of in (dict, Mapping) or _keys_of(of) is not None:
        return "a map"
    return _WORDS.get(of, f"a {getattr(of, '__name__', of)}")
