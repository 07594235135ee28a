"""The class that a scenario's `type` names, and the keys of its parameters.

A type is a shipped name, `package.module:Class`, or `./file.py:Class` relative to the scenario.
"""

import importlib
import inspect
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePath
from typing import Any, Literal

import msgspec

from thence.core.ready import ready

Kind = Literal["agents", "engines", "validators"]
SHIPPED: Mapping[Kind, Mapping[str, str]] = {
    "agents": {
        "llm_agent": "thence.sim.run.thinking:PromptedAgent",
        "scripted": "thence.sim.run.thinking:ScriptedAgent",
    },
    "engines": {"base": "thence.sim.run.engine:BaseEngine"},
    "validators": {
        "base": "thence.sim.run.agents:BaseValidator",
        "declared": "thence.sim.run.thinking:DeclaredValidator",
    },
}
_BASES: Mapping[Kind, str] = {
    "agents": "thence.sim.run.agents:BaseAgent",
    "engines": "thence.sim.run.engine:BaseEngine",
    "validators": "thence.sim.run.agents:BaseValidator",
}
_FRAMEWORK_PARAMETERS = ("self", "name", "config")


class ComponentNotFound(LookupError):
    """An error for a type without a class; the message is the reason."""


def component_class(kind: Kind, type_: str, folder: Path | None) -> type:
    """Returns the class that a type names; `./file.py` is relative to `folder`.

    Raises ComponentNotFound.
    """
    location, colon, name = SHIPPED[kind].get(type_, type_).partition(":")
    if not colon:
        raise ComponentNotFound(f"there is no {kind[:-1]} type {type_!r}")
    component = load(location, name, folder)
    if not isinstance(component, type):
        raise ComponentNotFound(f"{location} has no class {name}")
    # named, not imported: the bases import the configuration, whose reader calls this
    module, _, base_name = _BASES[kind].partition(":")
    base: Any = load(module, base_name, None)
    if not issubclass(component, base):
        raise ComponentNotFound(f"{name} is not a {base.__name__}")
    return component


def load(location: str, name: str, folder: Path | None) -> object:
    """Returns what a module, or a file beside the scenario, calls by a name; None if nothing.

    Raises ComponentNotFound if it can't be imported.
    """
    try:
        if not location.endswith(".py"):
            return getattr(importlib.import_module(location), name, None)
        path = ((folder or Path()) / location).resolve()
        module_name = f"thence_scenario_{blake2b(str(path).encode(), digest_size=8).hexdigest()}"
        if module_name not in sys.modules:
            spec = spec_from_file_location(module_name, path)
            if spec is None or spec.loader is None or not path.is_file():
                raise ImportError(f"there is no file {path}")
            sys.modules[module_name] = module_from_spec(spec)
            try:
                spec.loader.exec_module(sys.modules[module_name])
            except BaseException:
                del sys.modules[module_name]
                raise
    except Exception as error:  # boundary: a user's module may raise anything when imported
        raise ComponentNotFound(f"{location} can't be imported: {error}") from error
    return getattr(sys.modules[module_name], name, None)


def build(cls: type, params: Mapping[str, Any], **framework: object) -> Any:
    """Makes a component with checked parameters; `framework` are its name and config.

    Raises msgspec.ValidationError for a parameter that does not fit.
    """
    struct = params_struct(cls)
    checked = converted(dict(params), struct)
    values = {
        name: getattr(checked, name) if name in struct.__struct_fields__ else value
        for name, value in params.items()
    }
    accepted = inspect.signature(cls).parameters
    return cls(**{name: framework[name] for name in framework if name in accepted}, **values)


@cache
def params_struct(cls: type) -> type[msgspec.Struct]:
    """Returns a Struct of the keyword parameters of a class.

    A parameter whose annotation msgspec can't check, a union of two lists for example, takes any
    value.
    """
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    except NameError:
        hints = {}
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    is_open = False
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif (
            parameter.name not in _FRAMEWORK_PARAMETERS
            and parameter.kind is not parameter.VAR_POSITIONAL
        ):
            field = (parameter.name, _checkable(hints.get(parameter.name, Any)))
            is_required = parameter.default is parameter.empty
            fields.append(field if is_required else (*field, msgspec.UNSET))
    return msgspec.defstruct(cls.__name__, fields, kw_only=True, forbid_unknown_fields=not is_open)


def converted(value: object, kind: Any) -> Any:
    """Returns a value of a scenario as one of a type; raises msgspec.ValidationError."""
    return msgspec.convert(value, ready(kind), str_keys=True, dec_hook=_path)


def _path(kind: Any, value: object) -> object:
    """Returns the path that a text names: msgspec knows no annotation Path."""
    if not isinstance(kind, type):
        raise ValueError(f"Expected `{kind}`")
    if isinstance(value, str) and issubclass(kind, PurePath):
        return kind(value)
    if not isinstance(value, kind):
        raise ValueError(f"Expected `{kind.__name__}`")
    return value


def _checkable(hint: Any) -> Any:
    """Returns an annotation as msgspec can check it; Any if it can't."""
    if typing.get_origin(hint) is Iterable:  # of which msgspec holds a text for one
        return Sequence[typing.get_args(hint)]  # type: ignore[misc]
    try:
        converted(None, hint)
    except msgspec.ValidationError:
        return hint
    except (TypeError, NameError):
        return Any
    return hint
