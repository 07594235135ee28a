"""The class that a scenario's `type` names, and the keys of its parameters.

A type is a shipped name, an entry point of the groups `thence.agents`, `thence.engines` or
`thence.validators`, `package.module:Class`, or `./file.py:Class` relative to the scenario.
"""

import importlib
import inspect
import typing
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from pydantic import BaseModel

Kind = Literal["agents", "engines", "validators"]
SHIPPED: Mapping[Kind, Mapping[str, str]] = {
    "agents": {
        "careful_fisher": "thence.sim.components.fishers:CarefulFisher",
        "following_fisher": "thence.sim.components.fishers:FollowingFisher",
        "greedy_fisher": "thence.sim.components.fishers:GreedyFisher",
        "trader": "thence.sim.components.trader:Trader",
    },
    "engines": {
        "base": "thence.sim.engine:BaseEngine",
        "fishery": "thence.sim.components.fishery:Fishery",
        "trade_network": "thence.sim.components.trade_network:TradeNetwork",
    },
    "validators": {
        "base": "thence.sim.validator:BaseValidator",
        "fishing_quota": "thence.sim.components.fishing_quota:FishingQuota",
        "trade_inspector": "thence.sim.components.trade_inspector:TradeInspector",
    },
}
_BASES: Mapping[Kind, str] = {
    "agents": "thence.sim.agents:BaseAgent",
    "engines": "thence.sim.engine:BaseEngine",
    "validators": "thence.sim.validator:BaseValidator",
}
_FRAMEWORK_PARAMETERS = ("self", "name", "config")


class ComponentNotFound(LookupError):
    """An error for a type without a class; the message is the reason."""


def known_types(kind: Kind) -> list[str]:
    """Returns the types without a colon: shipped ones and entry points."""
    return sorted({*SHIPPED[kind], *_entry_points(kind)})


def component_class(kind: Kind, type_: str, folder: Path | None) -> type:
    """Returns the class that a type names; `./file.py` is relative to `folder`.

    Raises ComponentNotFound.
    """
    target = SHIPPED[kind].get(type_) or type_
    if ":" not in target:  # the look-up reads the metadata of every installed package
        target = _entry_points(kind).get(type_) or type_
    location, colon, name = target.partition(":")
    if not colon:
        raise ComponentNotFound(f"there is no {kind[:-1]} type {type_!r}")
    try:
        module = (
            _load_file(location, folder)
            if location.endswith(".py")
            else importlib.import_module(location)
        )
    except Exception as error:  # door: a user's module may raise anything when imported
        raise ComponentNotFound(f"{location} can't be imported: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise ComponentNotFound(f"{location} has no class {name}")
    base = _base(kind)
    if not issubclass(found, base):
        raise ComponentNotFound(f"{name} is not a {base.__name__}")
    return found


def build(kind: Kind, cls: type, params: Mapping[str, Any], **given: object) -> Any:
    """Makes a component with checked parameters; `given` are name and config."""
    import json

    model = params_model(cls)
    checked = model.model_validate_json(json.dumps(dict(params), default=repr))
    values = {name: getattr(checked, name) for name in checked.model_fields_set}
    accepted = inspect.signature(cls).parameters
    return cls(**{name: given[name] for name in given if name in accepted}, **values)


@cache
def params_model(cls: type) -> "type[BaseModel]":
    """Returns a pydantic model of the keyword parameters of a class."""
    from pydantic import ConfigDict, create_model

    parameters = inspect.signature(cls).parameters.values()
    try:
        hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    except NameError:
        hints = {}
    fields: dict[str, Any] = {}
    is_open = False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif (
            parameter.name not in _FRAMEWORK_PARAMETERS
            and parameter.kind is not parameter.VAR_POSITIONAL
        ):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
    extra: Literal["allow", "forbid"] = "allow" if is_open else "forbid"
    config = ConfigDict(extra=extra, strict=True, arbitrary_types_allowed=True)
    return create_model(cls.__name__, __config__=config, **fields)


def _base(kind: Kind) -> type:
    """Returns the class that all components of a kind descend from.

    The bases are named, not imported: they import the configuration, whose reader calls this.
    """
    module, _, name = _BASES[kind].partition(":")
    return cast(type, getattr(importlib.import_module(module), name))


def _entry_points(kind: Kind) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in entry_points(group=f"thence.{kind}")}


def _load_file(location: str, folder: Path | None) -> ModuleType:
    import importlib.util
    import sys

    path = ((folder or Path()) / location).resolve()
    name = f"thence_scenario_{blake2b(str(path).encode(), digest_size=8).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
