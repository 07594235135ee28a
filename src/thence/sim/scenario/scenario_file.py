"""The file of a scenario: its values with the line of each, and the problems found in it."""

import ast
import copy
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from thence.core.nearest import nearest
from thence.core.yaml import BYTES_MAX, reader
from thence.errors import ScenarioError

KeyPath = tuple[str | int, ...]
# the row of a table that made an agent: the entry's index, file, line, and the paths in the entry
# whose values are those of the row
TableRow = tuple[int, str, int, Collection[KeyPath]]
_FILE_CHARACTERS_MAX = 300  # of a text that may name one


class Source(msgspec.Struct, eq=False):
    """The positions of a scenario's values: the file's name, the line of each path.

    `settings` are the keys of settings, whose values are not the file's, by their paths; `rows`
    the rows of agents by index, where some are those of a table.
    """

    file: str = ""
    lines: Mapping[KeyPath, int] = {}
    settings: dict[KeyPath, str] = {}
    rows: Mapping[int, TableRow] = {}

    def line(self, path: KeyPath) -> int:
        """Returns the line of a value, or of the nearest value around it; 0 if unknown."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.settings:
                return 0
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0


class Problems:
    """The problems of a scenario, each with its line, key and a hint, raised all at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._problems: dict[tuple[str, int, str, str, str], dict[str, Any]] = {}
        self._paths: set[KeyPath] = set()  # of the problems, and of all around them

    def add(self, path: KeyPath, message: str, hint: str = "", row: TableRow | None = None) -> None:
        """Records a problem with the value at a path, which a row of a table may have."""
        self._paths.update(path[:end] for end in range(len(path) + 1))
        if row is None and len(path) > 1 and path[0] == "agents" and isinstance(path[1], int):
            row = self._source.rows.get(path[1])
        file, line = self._source.file, 0
        if row is not None:
            path = ("agents", row[0], *path[2:])
            if row[1] and any(path[2:end] in row[3] for end in range(2, len(path) + 1)):
                _, file, line, _ = row
        settings = self._source.settings
        setting = next((key for place, key in settings.items() if path[: len(place)] == place), "")
        hint = hint or (setting and f"correct the setting {setting}")
        self._add(line or self._source.line(path), _key_of(path), message, hint, file)

    def fault(self, line: int, message: str, hint: str) -> ScenarioError:
        """Returns the error for a problem behind which nothing can be read."""
        self._add(line, "", message, hint, self._source.file)
        return self._error()

    def has(self, *path: str | int) -> bool:
        """Reports whether the value at a path, or one inside it, has a problem."""
        return path in self._paths

    def raise_any(self) -> None:
        """Raises a ScenarioError if there is any problem."""
        if self._problems:
            raise self._error()

    def _add(self, line: int, key: str, message: str, hint: str, file: str) -> None:
        problem = {"file": file, "line": line, "key": key, "message": message, "hint": hint}
        self._problems.setdefault((file, line, key, message, hint), problem)

    def _error(self) -> ScenarioError:
        own = self._source.file
        problems = sorted(
            self._problems.values(), key=lambda one: (one["file"] != own, one["file"], one["line"])
        )
        first = problems[0]
        line = f"line {first['line']}: " if first["line"] else ""
        key = f"{first['key']}: " if first["key"] else ""
        others = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        place = first["file"] or "given as a mapping"
        cause = f"{line}{key}{first['message']}{others}"
        hint = first["hint"] or "correct it there, then run it again"
        what = "could not read the scenario"
        return ScenarioError(what, place=place, cause=cause, hint=hint, problems=problems)


def find_file(path: str | Path) -> Path:
    """Finds the file of a path, or of a shipped scenario's bare name."""
    file = Path(path)
    if file.is_file():
        return file
    names = {shipped.stem: shipped for shipped in shipped_files()}
    if file.name == str(path) and file.suffix in ("", ".yaml"):
        if file.stem in names:
            return names[file.stem]
        for example in shipped_files("examples"):
            if example.stem == file.stem:
                raise Problems(Source(str(path))).fault(
                    0, "this is an example, with code of its own", f"name its file: {example}"
                )
    message = "this is a folder" if file.is_dir() else "there is no such file"
    near = nearest(file.stem, names)
    hint = f"the nearest shipped scenario is {near[0]}" if near else f"shipped: {', '.join(names)}"
    raise Problems(Source(str(path))).fault(0, message, hint)


def shipped_files(kind: Literal["scenarios", "examples"] = "scenarios") -> list[Path]:
    """Returns the scenarios that come with thence: in the wheel, or in a source checkout."""
    package = Path(str(files("thence")))
    folders = (package / kind, package.parents[1] / kind)
    return next((sorted(folder.glob("*.yaml")) for folder in folders if folder.is_dir()), [])


def parse_file(path: Path) -> tuple[dict[str, Any], Source]:
    """Returns the content of a YAML file, with the line of each value.

    Raises ScenarioError, with line and column, for a file that is not YAML.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    problems = Problems(Source(str(path)))
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise ValueError(f"it has more than {BYTES_MAX} bytes")
        content, lines = _read_text(data.decode())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = (error.problem or error.context or "is not YAML").splitlines()[0]
        where = f"not YAML at column {column}: {message}"
        raise problems.fault(line, where, "correct the YAML there") from error
    # the YAML reader fails with look-ups and asserts for some files
    except (YAMLError, ValueError, LookupError, AssertionError, OSError) as error:
        hint = "a scenario is a YAML file in UTF-8"
        raise problems.fault(0, f"can't be read: {error}", hint) from error
    if not isinstance(content, dict):
        raise problems.fault(1, "a scenario is a map of sections", "begin with simulation:")
    return copy.deepcopy(content), Source(str(path), lines)


def named_files(raw: object, folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file that a text of a scenario names, by its name there.

    Files of Python come with those that they import from the scenario's folder. What isn't there,
    or can't be read, is left out.
    """
    digests: dict[str, str] = {}
    names = [*_texts(raw)]
    while names:
        name, _, of_module = names.pop().partition(".py:")
        name = str(Path(f"{name}.py" if of_module else name))
        with suppress(OSError, ValueError):  # a text may be no path at all
            if name in digests or not (folder / name).is_file():
                continue
            data = (folder / name).read_bytes()
            digests[name] = sha256(data).hexdigest()
            for node in ast.walk(ast.parse(data)) if name.endswith(".py") else ():
                modules = list[str]()
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules = [f"{node.module}.{alias.name}" for alias in node.names]
                for module in modules:
                    path = Path(module.replace(".", "/"))
                    for place in (path, *path.parents[:-1]):
                        names += [f"{place}.py", f"{place}/__init__.py"]
    return dict(sorted(digests.items()))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str) and "." in value and len(value) <= _FILE_CHARACTERS_MAX:
        yield value


def put_setting(raw: dict[str, Any], key: str, value: object) -> tuple[KeyPath, str]:
    """Puts a value where its key leads, and returns the path to it, and why it can't be or "".

    A key is such as `engine.growth`. An item of a list is called by its `name`, or counted from 0:
    `agents.ada.step`. A map that lacks is made: the reader of scenarios judges every key.
    """
    *parts, last = key.split(".")
    path: KeyPath = ()
    holder: Any = raw
    for part in (*parts, last):
        step: str | int = part
        if isinstance(holder, list):
            names = [item.get("name", "") if isinstance(item, dict) else "" for item in holder]
            names += map(str, range(len(holder)))
            if part not in names:
                near = " or ".join(nearest(part, names, likeness=0))
                return path, f"it has no {part!r}; the nearest is {near}"
            step = names.index(part) % len(holder)
        elif not isinstance(holder, dict):
            return path, f"it is {holder!r:.60}, in which nothing can be set"
        path = (*path, step)
        if len(path) > len(parts):
            holder[step] = value
            break
        if isinstance(step, str) and holder.get(step) is None:
            holder[step] = {}
        holder = holder[step]
    return path, ""


@lru_cache(maxsize=1)  # a sweep asks for each run, and reading takes a fifth of a short one
def _read_text(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Returns the content of a YAML text, which nobody may change, and the line of each value."""
    lines: dict[KeyPath, int] = {}
    return _plain_value(reader("rt").load(text), (), lines), lines


def _key_of(path: KeyPath) -> str:
    """Returns a path as text: `agents[2].goods`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".").encode(errors="backslashreplace").decode()


def _plain_value(node: Any, path: KeyPath, lines: dict[Any, int]) -> Any:
    """Returns plain dicts, lists and scalars, and records the line of each."""
    if isinstance(node, dict):
        for key in node:
            lines[*path, str(key)] = _line_of(node, "key", key)
        return {
            str(key): _plain_value(value, (*path, str(key)), lines) for key, value in node.items()
        }
    if isinstance(node, list):
        for index in range(len(node)):
            lines[*path, index] = _line_of(node, "item", index)
        return [_plain_value(value, (*path, index), lines) for index, value in enumerate(node)]
    return _scalar(node)


def _line_of(node: Any, kind: Literal["key", "item"], at: object) -> int:
    """Returns the line of a key or item, of the whole map or list if none is recorded."""
    try:
        return int(getattr(node.lc, kind)(at)[0]) + 1
    except (AttributeError, KeyError, TypeError):  # such as a merged key
        return int(node.lc.line) + 1


def _scalar(node: Any) -> Any:
    if node is None or isinstance(node, bool):
        return node
    if type(node).__name__ == "ScalarBoolean":  # one with an anchor is an int to Python
        return bool(node)
    return next((kind(node) for kind in (int, float) if isinstance(node, kind)), str(node))
