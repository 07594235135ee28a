"""No modules import each other in a circle, imports in functions and for types included."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from tests.house.tree import Module, modules, parsed

# the front door takes names from inside when they are asked for
DOORS = {"thence"}


def name_of(module: Module) -> str:
    """Return a module's dotted name."""
    return module.path[len("src/") : -len(".py")].replace("/", ".").removesuffix(".__init__")


def imported(module: Module, names: set[str]) -> Iterator[str]:
    """Yield the modules of the package that one imports, wherever in its text."""
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in names else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def circle(found: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of a circle, none where there is no circle."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def graph(*inside: Module) -> dict[str, set[str]]:
    names = {name_of(module) for module in inside}
    return {
        name: {*imported(module, names)} & names - DOORS - {name}
        for module in inside
        if (name := name_of(module)) not in DOORS
    }


def test_no_modules_import_each_other():
    found = circle(graph(*modules("src")))
    assert not found, " <- ".join(found)


def test_circles_are_found():
    a = parsed("src/thence/log/a.py", "def f():\n    from thence.log.b import x")
    b = parsed("src/thence/log/b.py", "if TYPE_CHECKING:\n    from thence.log import a")
    assert circle(graph(a, b))
    assert not circle(graph(a, parsed("src/thence/log/b.py", "import os")))
