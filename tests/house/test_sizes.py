"""Modules stay short enough to read at once, functions short enough to see at once."""

import ast
from collections.abc import Iterator

from tests.house.exceptions import TOO_LONG
from tests.house.tree import Module, modules, parsed

MODULE_LINES_MAX = 700
FUNCTION_LINES_MAX = 60
FOLDERS = ("src", "bench", "tools", "tests")


def too_long(module: Module) -> Iterator[tuple[str, int]]:
    """Yield what is over its limit, with its length."""
    if len(module.lines) > MODULE_LINES_MAX:
        yield module.path, len(module.lines)
    for name, length in functions(module.syntax):
        if length > FUNCTION_LINES_MAX:
            yield f"{module.path}:{name}", length


def functions(node: ast.AST, outer: str = "") -> Iterator[tuple[str, int]]:
    """Yield each function, however deep, under the name of what holds it."""
    for child in ast.iter_child_nodes(node):
        name = outer
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{child.name}".lstrip(".")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, (child.end_lineno or child.lineno) - child.lineno + 1
        yield from functions(child, name)


def judged(found: dict[str, int], let_pass: dict[str, tuple[int, str]]) -> list[str]:
    """Compare what was found with what is let pass, in both directions."""
    wrong = []
    for name, length in found.items():
        allowed, _ = let_pass.get(name, (0, ""))
        if length > allowed:
            wrong.append(f"{name} has {length} lines")
    for name, (allowed, reason) in let_pass.items():
        if found.get(name, 0) < allowed:
            wrong.append(f"{name} has shrunk: lower or remove its exception of {allowed} lines")
        if len(reason.split()) < 4:
            wrong.append(f"{name} has an exception without a reason")
    return wrong


def test_modules_and_functions_keep_to_their_limits():
    found = dict(entry for module in modules(*FOLDERS) for entry in too_long(module))
    wrong = judged(found, TOO_LONG)
    assert not wrong, "\n".join(wrong)


def test_long_module_and_long_method_are_found():
    body = "\n".join(["        x = 1"] * FUNCTION_LINES_MAX)
    sample = parsed("src/thence/a.py", f"class C:\n    def f(self):\n{body}\n" + "\n" * 700)
    assert dict(too_long(sample)) == {"src/thence/a.py": 762, "src/thence/a.py:C.f": 61}


def test_limits_themselves_are_allowed():
    body = "\n".join(["    x = 1"] * (FUNCTION_LINES_MAX - 1))
    assert not list(too_long(parsed("a.py", f"def f():\n{body}\n" + "\n" * 640)))


def test_exceptions_only_shrink():
    reason = "one table, and splitting it would hide the order"
    assert not judged({"a": 70}, {"a": (70, reason)})
    assert judged({"a": 71}, {"a": (70, reason)})
    assert judged({"a": 69}, {"a": (70, reason)})
    assert judged({}, {"a": (70, reason)})
    assert judged({"a": 70}, {"a": (70, "later")})
