"""What is wrong with a scenario, each problem with its line, key and a hint."""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from thence.errors import ScenarioError

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]


class Source:
    """Where the values of a scenario stand: the file's name, the line of each path."""

    def __init__(self, file: str = "", lines: Mapping[Path, int] | None = None) -> None:
        self.file = file
        self._lines = lines or {}

    def line(self, path: Path) -> int:
        """Returns the line of a value, or of the nearest thing around it; 0 if unknown."""
        for end in range(len(path), -1, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0


class Problems:
    """The problems found so far; `raise_any` raises them all at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[dict[str, object]] = []

    def add(self, path: Path, message: str, hint: str = "") -> None:
        """Notes a problem with the value at a path."""
        self.add_at(self._source.line(path), key_of(path), message, hint)

    def add_at(self, line: int, key: str, message: str, hint: str = "") -> None:
        """Notes a problem at a line."""
        problem = {
            "file": self._source.file,
            "line": line,
            "key": key,
            "message": message,
            "hint": hint,
        }
        if problem not in self._found:
            self._found.append(problem)

    def validated(
        self, model: type[M], data: object, at: Path = (), more_known: Iterable[str] = ()
    ) -> M | None:
        """Returns data as a model, or None after noting what does not fit it.

        `more_known` are keys that may stand beside the model's own, for hints.
        """
        try:
            return model.model_validate_json(json.dumps(data, default=repr))
        except ValidationError as error:
            for each in error.errors(include_url=False):
                self._add_unfit(model, dict(each), at, more_known)
            return None

    def raise_any(self) -> None:
        """Raises a ScenarioError if anything was noted."""
        if not self._found:
            return
        found = sorted(self._found, key=lambda problem: typing.cast(int, problem["line"]))
        first = found[0]
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise ScenarioError(
            "read the scenario",
            place=f"{self._source.file or 'given as a mapping'}",
            cause=f"line {first['line']}: {first['key']}: {first['message']}{more}",
            hint=str(first["hint"]),
            problems=found,
        )

    def _add_unfit(
        self, model: type[BaseModel], error: dict[str, Any], at: Path, more_known: Iterable[str]
    ) -> None:
        loc: Path = error["loc"]
        kind = error["type"]
        if kind == "extra_forbidden":
            known = fields_at(model, loc[:-1])
            if len(loc) == 1:
                known = [*known, *more_known]
            self.add((*at, *loc), "this key is not known", nearest(str(loc[-1]), known))
        elif kind == "missing":
            self.add((*at, *loc), "this key is missing", "add it")
        else:
            given = f", not {error['input']!r:.60}"
            message = str(error["msg"])
            self.add((*at, *loc), message[:1].lower() + message[1:] + given)


def key_of(path: Path) -> str:
    """Returns a path as people write it: `agents[2].goods`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def nearest(name: str, known: Sequence[str], word: str = "known") -> str:
    """Returns a hint that names the nearest known name."""
    found = difflib.get_close_matches(name, known, 1, 0)
    return f"the nearest {word} is {found[0]}" if found else f"none is {word} here"


def fields_at(model: object, path: Path) -> list[str]:
    """Returns the keys that are known at a path inside a model."""
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
