"""The problems of a scenario, each with its line, key and a hint."""

import copy
import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from thence.core.nearest import nearest as nearest_names
from thence.errors import ScenarioError

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]
_ROUNDS_MAX = 20


class Source:
    """The positions of a scenario's values: the file's name, the line of each path."""

    def __init__(self, file: str = "", lines: Mapping[Path, int] | None = None) -> None:
        self.file = file
        self._lines = lines or {}

    def line(self, path: Path) -> int:
        """Returns the line of a value, or of the nearest value around it; 0 if unknown."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0


class Problems:
    """The problems found so far; `raise_any` raises them all at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._problems: list[dict[str, object]] = []

    def add(self, path: Path, message: str, hint: str = "") -> None:
        """Records a problem with the value at a path."""
        self.add_at(self._source.line(path), key_of(path), message, hint)

    def add_at(self, line: int, key: str, message: str, hint: str = "") -> None:
        """Records a problem at a line."""
        problem = {
            "file": self._source.file,
            "line": line,
            "key": key,
            "message": message,
            "hint": hint,
        }
        if problem not in self._problems:
            self._problems.append(problem)

    def fault(self, line: int, message: str, hint: str) -> ScenarioError:
        """Returns the error for a problem behind which nothing can be read."""
        self.add_at(line, "", message, hint)
        return self._error()

    def validate(
        self, model: type[M], data: object, at: Path = (), other_keys: Iterable[str] = ()
    ) -> M | None:
        """Returns data as a model, after recording the values that do not fit.

        Those values are then removed, so that the others can be checked too; None if
        nothing is left. `other_keys` are allowed beside the model's own keys.
        """
        remaining = copy.deepcopy(data)
        for attempt in range(_ROUNDS_MAX):
            try:
                return model.model_validate_json(json.dumps(remaining, default=repr))
            except ValidationError as error:
                misfits: list[dict[str, Any]] = [
                    dict(each) for each in error.errors(include_url=False)
                ]
            if attempt == 0:
                for each in misfits:
                    self._add_misfit(model, each, at, other_keys)
            paths: set[Path] = {each["loc"] for each in misfits}
            for path in sorted(paths, key=_removal_order, reverse=True):
                if not _remove(remaining, path):
                    return None
        return None

    def has(self, section: str) -> bool:
        """Reports whether a section has a problem."""
        return any(
            str(each["key"]).split(".")[0].split("[")[0] == section for each in self._problems
        )

    def raise_any(self) -> None:
        """Raises a ScenarioError if there is any problem."""
        if self._problems:
            raise self._error()

    def _error(self) -> ScenarioError:
        found = sorted(self._problems, key=lambda problem: typing.cast(int, problem["line"]))
        first = found[0]
        line = f"line {first['line']}: " if first["line"] else ""
        key = f"{first['key']}: " if first["key"] else ""
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return ScenarioError(
            "could not read the scenario",
            place=self._source.file or "given as a mapping",
            cause=f"{line}{key}{first['message']}{more}",
            hint=str(first["hint"]),
            problems=found,
        )

    def _add_misfit(
        self, model: type[BaseModel], error: dict[str, Any], at: Path, other_keys: Iterable[str]
    ) -> None:
        loc: Path = error["loc"]
        kind = error["type"]
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            known = fields_at(model, loc[:-1])
            if len(loc) == 1:
                known = [*known, *other_keys]
            self.add((*at, *loc), "this key is not known", nearest(str(loc[-1]), known))
        elif kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
            self.add((*at, *loc), "this key is missing", "add it")
        elif kind == "string_pattern_mismatch":
            message = f"{error['input']!r:.60} is no name"
            self.add((*at, *loc), message, "names have letters, digits, '_' and '-' only")
        else:
            message = str(error["msg"]).removeprefix("Input ").replace("valid array", "list")
            message = message.replace("an object", "a map").replace("valid dictionary", "map")
            self.add((*at, *loc), f"{message}, not {error['input']!r:.60}")


def key_of(path: Path) -> str:
    """Returns a path as text: `agents[2].goods`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def nearest(name: str, known: Sequence[str], word: str = "known") -> str:
    """Returns a hint that names the nearest known name."""
    near = nearest_names(name, known, likeness=0)
    return f"the nearest {word} is {near[0]}" if near else f"none is {word} here"


def fields_at(model: object, path: Path) -> list[str]:
    """Returns the keys of a model at a path inside it."""
    at = model
    for part in path:
        if isinstance(part, int):
            arguments = typing.get_args(at)
            at = arguments[0] if arguments else None
        else:
            at = _fields(at).get(part)
        at = _without_none(at)
    return list(_fields(at))


def _fields(kind: object) -> dict[str, object]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {}


def _without_none(kind: object) -> object:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(each for each in typing.get_args(kind) if each is not type(None))
    return kind


def _removal_order(path: Path) -> tuple[tuple[int, str], ...]:
    """Returns the sort key by which later items of a list are removed before earlier ones."""
    return tuple((part, "") if isinstance(part, int) else (0, part) for part in path)


def _remove(data: Any, path: Path) -> bool:
    """Removes the value at a path, or the nearest value around it; False if there is none."""
    found: tuple[Any, Any] | None = None
    at = data
    for part in path:
        try:
            inner = at[part]
        except (IndexError, KeyError, TypeError):
            break
        found, at = (at, part), inner
    if found is None:
        return False
    parent, key = found
    del parent[key]
    return True
