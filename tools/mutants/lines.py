"""Which lines of the sources a mutant alters, and which lines a test runs."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from coverage import Coverage
from tools.mutants.copy import ROOT, Mutant

SOURCES = ROOT / "src"
_HUNK = re.compile(r"@@ -(\d+)")


class Watch:
    """Notes which lines each test runs in this process: `begin` before thence is imported."""

    def __init__(self) -> None:
        self._coverage = Coverage(
            data_file=None, config_file=False, include=[f"{SOURCES}/thence/*"]
        )

    def begin(self) -> None:
        """Watch from now on."""
        self._coverage.start()

    def turn_to(self, test: str) -> None:
        """Have what runs from now on be that test's."""
        self._coverage.switch_context(test)

    def ran(self, room: str) -> dict[str, dict[str, list[int]]]:
        """End; list the lines that each test ran, by module of a room."""
        self._coverage.stop()
        data = self._coverage.get_data()
        found: dict[str, dict[str, list[int]]] = {}
        for name in sorted(data.measured_files()):
            module = str(Path(name).relative_to(SOURCES / "thence").with_suffix(""))
            if not module.startswith(f"{room}/"):
                continue
            for line, tests in data.contexts_by_lineno(name).items():
                for test in filter(None, tests):
                    found.setdefault(test, {}).setdefault(module, []).append(line)
        return found


def altered(mutant: Mutant) -> set[int]:
    """Find the lines of the statement that a mutant alters; none where it can't be told."""
    function, number = definition(mutant), removed(mutant.diff)
    if function is None or number is None:
        return set()
    line = first_line(function) + number - 1
    within = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.stmt | ast.ExceptHandler)
        and node is not function
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    if not within:
        return set()
    inner = max(within, key=lambda node: node.lineno)
    body = getattr(inner, "body", None)
    end = body[0].lineno - 1 if body else inner.end_lineno or inner.lineno
    return set(range(inner.lineno, max(end, inner.lineno) + 1))


def body_of(mutant: Mutant) -> set[int]:
    """List the lines of a mutant's function, its signature apart."""
    function = definition(mutant)
    if function is None:
        return set()
    return set(range(function.body[0].lineno, (function.end_lineno or 0) + 1))


def definition(mutant: Mutant) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Find a mutant's function in the sources."""
    tree = parsed(SOURCES / "thence" / f"{mutant.module}.py")
    name = mutant.function.partition(":")[2]
    return next((node for each, node in functions(tree) if each == name), None)


def first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Number the first line of a function, decorators included."""
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


@cache
def parsed(path: Path) -> ast.Module:
    """Parse a module of the sources."""
    return ast.parse(path.read_text())


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the functions of a module and the methods of its classes, with their names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def removed(diff: str) -> int | None:
    """Find the first line that a diff takes away, counted from the function's own first."""
    number = 0
    for line in diff.splitlines():
        if found := _HUNK.match(line):
            number = int(found[1])
        elif number and line.startswith(("-", "+")):
            return number
        elif number:
            number += 1
    return None
