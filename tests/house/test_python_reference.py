"""The page on the public names of Python says what their signatures and docstrings say."""

import ast
import inspect
import re
from importlib import import_module

import pytest
from tests.house.tree import PACKAGE, modules
from tests.test_error_codes import CODES
from tools.python_reference import ERRORS, FOLDER, FRONTS, errors, exported, reference

PUBLIC = {front: exported(import_module(front)) for front in FRONTS}


def classes():
    """The exported classes, each once, by their names."""
    found = [item for names in PUBLIC.values() for item in names.items()]
    return {kind: name for name, kind in found if inspect.isclass(kind) and kind.__name__ == name}


def written():
    return {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}


def test_pages_are_what_the_docstrings_say():
    assert written() == reference(), "run tools/python_reference.py"


def test_pages_have_each_name_method_and_error():
    pages = written()
    for front, names in {**PUBLIC, ERRORS: errors(import_module(ERRORS))}.items():
        assert pages[f"{front}.md"].startswith(f"# {front}\n")
        for name in names:
            assert f"\n## {front}.{name}\n" in pages[f"{front}.md"]
    together = "\n".join(pages.values())
    for kind, name in classes().items():
        for member, value in vars(kind).items():
            if not member.startswith("_") and inspect.isfunction(value) and value.__doc__:
                assert f"\n### {name}.{member}\n" in together


def test_pages_show_no_private_name():
    together = "\n".join(written().values())
    assert "\n### Log.append\n" in together
    assert not [line for line in together.splitlines() if line.startswith("#") and "._" in line]


def functions():
    """The definitions of the exported functions and the public methods of exported classes."""
    names = {
        (value.__module__, value.__qualname__)
        for found in PUBLIC.values()
        for value in found.values()
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
    ours = {kind.__name__ for kind in errors(import_module(ERRORS)).values()}
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
