"""Every promise has a test, and every test that claims a promise names one that was made."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import ROOT, Module, modules, parsed

PAGE = "docs/reference/promises.md"
SOAKED = "pytest.mark.whole(alone=True)"
PROMISE = re.compile(r"^- \*\*([A-Z]+\d+[a-z]?)\*\* (.*)$", re.MULTILINE)


def promises(page: str) -> dict[str, str]:
    """Read the promises of a page; an id stands once."""
    listed = PROMISE.findall(page)
    assert len(dict(listed)) == len(listed), "an id is listed twice"
    return dict(listed)


def marks(module: Module) -> Iterator[tuple[str, str]]:
    """Yield the ids that a test file claims, with the place; nothing is imported.

    What the soak alone runs holds no promise.
    """
    decorators = [getattr(node, "decorator_list", []) for node in ast.walk(module.syntax)]
    soaked = [each for each in decorators if SOAKED in map(ast.unparse, each)]
    others = {id(node) for each in soaked for node in each}
    for node in ast.walk(module.syntax):
        if id(node) in others:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            place = f"{module.path}:{node.lineno}"
            for argument in node.args or [node]:
                is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                yield (argument.value if is_text else ast.unparse(argument)), place


def judged(listed: dict[str, str], claimed: list[tuple[str, str]]) -> list[str]:
    """Compare what is promised with what is tested, in both directions."""
    tested = {name for name, _ in claimed}
    untested = [f"{name} is promised in {PAGE} and has no test" for name in listed.keys() - tested]
    unknown = [
        f"{place}: {name} is no promise of {PAGE}" for name, place in claimed if name not in listed
    ]
    return sorted(untested) + unknown


def test_promises_and_tests_name_each_other():
    claimed = [
        mark
        for module in modules("tests")
        if not module.path.startswith("tests/house/")
        for mark in marks(module)
    ]
    wrong = judged(promises((ROOT / PAGE).read_text(encoding="utf-8")), claimed)
    assert not wrong, "\n".join(wrong)


def test_promise_lines_are_read():
    page = "# Promises\n\n- **W1** It opens.\n- **E2a** It\n  goes on.\n- other\n"
    assert promises(page) == {"W1": "It opens.", "E2a": "It"}


def test_marks_are_read_on_functions_on_classes_and_on_modules():
    sample = parsed(
        "tests/test_a.py",
        (
            'pytestmark = pytest.mark.promise("W1")\n'
            '@pytest.mark.promise("W2", "W3")\ndef test_a(): ...\n'
            '@pytest.mark.promise("W4")\nclass TestB: ...\n'
            '@pytest.mark.promise("W5")\n@pytest.mark.whole(alone=True)\ndef test_c(): ...\n'
        ),
    )
    assert [name for name, _ in marks(sample)] == ["W1", "W2", "W3", "W4"]


def test_untested_promise_and_unknown_mark_are_found():
    assert not judged({"W1": ""}, [("W1", "a:1")])
    assert judged({"W1": "", "W2": ""}, [("W1", "a:1")])
    assert judged({"W1": ""}, [("W1", "a:1"), ("W9", "a:2")])
