"""The docstring of a public function says which errors it raises."""

import ast
import inspect
import re
from importlib import import_module

import pytest
from tests.house.tree import PACKAGE, modules
from tests.test_error_codes import CODES
from tools.api_site import FRONTS

from thence import errors

PUBLIC = [
    getattr(module, name)
    for module in map(import_module, FRONTS)
    for name in getattr(module, "__all__", ())
]


def functions():
    """The definitions of the exported functions and the public methods of exported classes."""
    names = {
        (value.__module__, value.__qualname__)
        for value in PUBLIC
        if inspect.isclass(value) or inspect.isfunction(value)
    }
    for module in modules(PACKAGE):
        path = module.path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__")
        dotted = path.replace("/", ".")
        for node in module.syntax.body:
            if (dotted, getattr(node, "name", "")) in names:
                within = node.body if isinstance(node, ast.ClassDef) else [node]
                yield from ((module.syntax, each) for each in within if is_public(each))


def is_public(node):
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return is_function and not node.name.startswith("_") and ast.get_docstring(node)


def raised(tree, function):
    """Find which errors of ours a function raises itself, or by a helper that returns one."""
    ours = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    helpers = {
        node.name: ast.unparse(node.returns)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func)
            yield from {helpers.get(name, name)} & ours


def unsaid(tree, function):
    told = ast.get_docstring(function)
    if "ThenceError" in told or set(re.findall(r"`(\w+)`", told)) & CODES.keys():
        return []
    return [name for name in raised(tree, function) if name not in told]


def test_docstrings_say_which_error_a_public_function_raises():
    found = [(node.name, name) for tree, node in functions() for name in unsaid(tree, node)]
    assert not found
    assert len(list(functions())) > 50


@pytest.mark.parametrize(
    ("body", "is_said"),
    [
        ('"""Raises LogBusy."""\n    raise LogBusy("x")', True),
        ('"""Raises `log_busy`."""\n    raise ThenceError("x", code="log_busy")', True),
        ('"""Waits."""\n    raise ThenceError("x", code="log_busy")', False),
        ('"""Waits."""\n    raise LogBusy("x")', False),
        ('"""Waits."""\n    raise _busy()', False),
        ('"""Waits."""\n    raise ValueError("x")', True),
    ],
)
def test_unsaid_errors_are_found(body, is_said):
    tree = ast.parse(f"def f():\n    {body}\ndef _busy() -> LogBusy: ...\n")
    assert (not unsaid(tree, tree.body[0])) is is_said
