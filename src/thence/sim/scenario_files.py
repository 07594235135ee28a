"""The files of scenarios: how one is found and parsed."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from thence.sim.scenario_problems import Problems, Source, nearest
from thence.yaml import BYTES_MAX, reader


def find_file(path: str | Path) -> Path:
    """Finds the file of a path, or of a shipped scenario's bare name."""
    given = Path(path)
    if given.is_file():
        return given
    if given.name == str(path):
        for shipped in shipped_files():
            if given.name in (shipped.stem, shipped.name):
                return shipped
    message = "this is a folder" if given.is_dir() else "there is no such file"
    names = [shipped.stem for shipped in shipped_files()]
    problems = Problems(Source(str(path)))
    raise problems.fault(0, message, nearest(given.stem, names, "shipped scenario"))


def shipped_files() -> list[Path]:
    """Returns the scenarios that come with thence: in the wheel, or in a source checkout."""
    package = Path(str(files("thence")))
    folders = (package / "scenarios", package.parents[1] / "scenarios")
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
        node = reader("rt").load(data.decode())
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
    lines: dict[tuple[str | int, ...], int] = {}
    data = _plain_value(node, (), lines)
    if not isinstance(data, dict):
        raise problems.fault(1, "a scenario is a map of sections", "begin with simulation:")
    return data, Source(str(path), lines)


def _plain_value(node: Any, path: tuple[str | int, ...], lines: dict[Any, int]) -> Any:
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
    """Returns the line of a key or item; that of the whole map or list if it is not recorded."""
    try:
        return int(getattr(node.lc, kind)(at)[0]) + 1
    except (AttributeError, KeyError, TypeError):
        return int(node.lc.line) + 1


def _scalar(node: Any) -> Any:
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return bool(node) if type(node).__name__ == "ScalarBoolean" else str(node)
