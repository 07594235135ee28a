"""A module is named after its subject, and a name stands for one thing."""

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath

from tests.house.tree import Module, modules, parsed

NAMELESS = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def nameless(path: str) -> set[str]:
    """Find the words in a path's folders and file that name no subject."""
    words = {word for part in PurePath(path).with_suffix("").parts for word in part.split("_")}
    return words & NAMELESS


def test_modules_are_named_after_their_subject():
    found = [module.path for module in modules("src", "bench", "tools", "tests")]
    assert found
    assert not [path for path in found if nameless(path)]


def test_nameless_modules_are_found():
    assert nameless("src/thence/log/utils.py")
    assert nameless("src/thence/common/ids.py")
    assert nameless("tests/log_helpers.py")
    assert not nameless("src/thence/log/write/committer.py")


# an event of a simulation is built before it is one of a log, and both are public
TWO_CLASSES = {"Event"}


def named_twice(inside: Iterable[Module]) -> list[str]:
    """Find public classes of one name, and modules of one name in the same room."""
    classes: dict[str, list[str]] = defaultdict(list)
    files: dict[str, list[str]] = defaultdict(list)
    for module in inside:
        room, name = module.path.split("/")[2], PurePath(module.path).name
        if name != "__init__.py":
            files[f"{room}/{name}"].append(module.path)
        for node in ast.walk(module.syntax):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(module.path)
    twice = [f"class {name}: {paths}" for name, paths in classes.items() if len(paths) > 1]
    twice = [line for line in twice if line.split(":")[0].split()[1] not in TWO_CLASSES]
    return twice + [f"module {name}: {paths}" for name, paths in files.items() if len(paths) > 1]


def test_no_class_and_no_module_is_named_twice():
    found = named_twice(modules("src"))
    assert not found, "\n".join(found)


def test_names_that_stand_twice_are_found():
    first, second = "class Place:\n    pass\n", "class _Place:\n    pass\n"
    a, b = parsed("src/thence/log/a.py", first), parsed("src/thence/work/b.py", first)
    assert len(named_twice([a, b])) == 1
    assert not named_twice([a, parsed("src/thence/work/b.py", second)])
    assert len(named_twice([a, parsed("src/thence/log/write/a.py", second)])) == 1
    assert not named_twice([a, parsed("src/thence/work/a.py", second)])
