"""Writes the pages in docs/reference/python, one for each module with public names.

Run it after a change of a public name or docstring: `.venv/bin/python tools/python_reference.py`.
The house tests fail while a page differs from the code. Public is what the
`__all__` of a front names, and of that what begins with no underscore.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":  # run as a file, it finds its other half beside the folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.signatures import (
    Alias,
    Names,
    class_signature,
    is_made_by_users,
    is_value,
    properties,
    public_methods,
    signatures,
    variables,
)

from thence.errors import ThenceError

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference" / "python"
FRONTS = (
    "thence",
    "thence.otel",
    "thence.sim",
    "thence.sim.schemas",
    "thence.work",
    "thence.sync",
    "thence.core.merge",
    "thence.core.clock",
    "thence.core.order",
    "thence.server.app",
)
ERRORS = "thence.errors"

INDEX = "README.md"
OTHER = "other-types.md"

_HEAD = """# Public names of Python

Generated from signatures and docstrings by `tools/python_reference.py`. Begin with the
[quickstart](../../guides/program/quickstart.md); the [glossary](../glossary.md) explains the words.

Everything else is private and may change at any time: names that begin with an underscore, modules
that are not listed here, attributes of public classes that are not listed.
"""


def exported(front: ModuleType) -> dict[str, object]:
    """Returns what a front exports: functions first, then types; its errors stand apart."""
    named = {name: getattr(front, name) for name in front.__all__}
    kept = {
        name: value
        for name, value in named.items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and not _is_error(value)
    }
    return dict(sorted(kept.items(), key=lambda item: (not inspect.isfunction(item[1]), item[0])))


def errors(module: ModuleType) -> dict[str, object]:
    """Returns the errors, in the order in which the module defines them."""
    return {name: value for name, value in vars(module).items() if _is_error(value)}


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, ThenceError)


def reference() -> dict[str, str]:
    """Returns the pages by their file names."""
    rooms = {front: exported(import_module(front)) for front in FRONTS}
    rooms[ERRORS] = errors(import_module(ERRORS))
    names = Names(rooms)
    pages = {_page(room): "\n".join(_room(room, found, names)) for room, found in rooms.items()}
    pages[OTHER] = "\n".join(_other(names))
    return {INDEX: "\n".join([_HEAD, *_contents(rooms)]), **pages}


def _contents(rooms: dict[str, dict[str, object]]) -> Iterator[str]:
    for room, found in rooms.items():
        links = ", ".join(f"[{name}]({_target(f'{room}.{name}')})" for name in found)
        yield f"- [`{room}`]({_page(room)}): {links}"
    yield f"- [Other types]({OTHER}): types in the signatures of these\n"


def _room(room: str, found: dict[str, object], names: Names) -> Iterator[str]:
    yield f"# {room}\n"
    yield f"{_prose(import_module(room))}\n"
    for name, value in found.items():
        first = names.path_of(value)
        yield f"## {room}.{name}\n"
        if first != f"{room}.{name}":
            yield f"Another name of [{first}]({_target(first)}).\n"
        elif room == ERRORS and inspect.isclass(value):
            yield from _error(value)
        elif inspect.isclass(value):
            yield from _class(name, value, names)
        elif inspect.isfunction(value):
            yield from _function(name, value, names)
        else:
            yield _code([f"{name} = {names.alias_text(name, import_module(room))}"])


def _error(kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__)
    yield f"`class {kind.__name__}({bases})`\n"
    yield f"{_prose(kind)}\n"
    yield from _fields([(name, "", said) for name, _, said in properties(kind)])
    for name, function in public_methods(kind):
        yield f"**`{name}()`**: {_prose(function)}\n"


def _class(name: str, kind: type, names: Names) -> Iterator[str]:
    base = next((base for base in kind.__mro__[1:] if names.is_exported(base)), None)
    is_exported = names.is_exported(kind)
    if is_made_by_users(kind, names) if is_exported else is_value(kind):
        yield _code([class_signature(name, kind, names)])
    if base is not None:
        yield f"Has all that [{base.__name__}]({_target(names.path_of(base))}) has.\n"
    yield f"{_prose(kind)}\n"
    if issubclass(kind, Enum):
        yield "One of " + ", ".join(f"`{each.name}`" for each in kind) + ".\n"
        return
    names.is_noting, was_noting = False, names.is_noting
    kept = variables(kind, names)
    names.is_noting = was_noting
    yield from _fields([*kept, *properties(kind, names)])
    for member, function in public_methods(kind, names):
        yield f"### {name}.{member}\n"
        yield from _function(member, function, names)


def _function(name: str, function: Callable[..., object], names: Names) -> Iterator[str]:
    yield _code(signatures(name, function, names))
    yield f"{_prose(function)}\n"


def _fields(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    rows = list(rows)
    if rows:
        yield "| attribute | type | |"
        yield "|---|---|---|"
        for name, kind, said in rows:
            yield f"| `{name}` | {_cell(f'`{kind}`' if kind else '')} | {_cell(said)} |"
        yield ""


def _other(names: Names) -> Iterator[str]:
    """Describes the types in signatures that no front exports."""
    yield "# Other types\n"
    yield "Signatures of public names use these types, which are not exported.\n"
    told: set[str] = set()
    while waiting := sorted(set(names.met) - told):
        for name in waiting:
            told.add(name)
            value = names.met[name]
            yield f"## {name}\n"
            if isinstance(value, Alias):
                yield _code([f"{name} = {value.text}"])
            else:
                names.is_noting = is_value(value)
                yield from _class(name, value, names)
                names.is_noting = True


def _prose(value: object) -> str:
    return inspect.cleandoc(getattr(value, "__doc__", None) or "")


def _code(lines: Iterable[str]) -> str:
    return "```\n" + "\n".join(lines) + "\n```\n"


def _page(room: str) -> str:
    return f"{room}.md"


def _target(path: str) -> str:
    """Returns the link to a public name, such as `thence.sim.Agent`, from any of the pages."""
    room = path.rpartition(".")[0]
    return f"{_page(room)}#{path.replace('.', '').lower()}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> None:
    """Writes the pages."""
    pages = reference()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
