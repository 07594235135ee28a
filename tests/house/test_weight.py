"""What two people must hold in their heads only gets lighter."""

import ast
from collections import Counter
from collections.abc import Iterable

import pytest
from tests.house.exceptions import NAMED_BY_NOTHING, WEIGHTS
from tests.house.tree import ROOT, Module, modules, parsed

# a room that is being rewritten may stand so far above both of its figures meanwhile
LINES_SLACK = 300
# values are named by what they are: these words say how the writer came to them
WORDS = "found known given made there shown wanted asked left begun more each"
NAMELESS = frozenset(WORDS.split())
# the door of `work` to a project: what most callers don't need belongs to those that do
SESSION = "src/thence/work/session/session.py"
SESSION_MEMBERS_MAX = 15


def part_of(module: Module) -> str:
    """Returns the room that a module counts for, the modules beside the rooms being one."""
    return module.room if "/" in module.path.removeprefix("src/thence/") else "thence"


def weights(inside: Iterable[Module]) -> dict[str, tuple[int, int]]:
    """Returns the lines and files of each room."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for module in inside:
        lines[part_of(module)] += len(module.lines)
        files[part_of(module)] += 1
    return {part: (lines[part], files[part]) for part in lines}


def nameless_values(module: Module) -> int:
    """Counts the local names, loop targets and parameters that say nothing of a value.

    Members of classes keep theirs: a format or a caller may need them.
    """
    nodes = list(ast.walk(module.syntax))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    members = {
        line.target for owner in classes for line in owner.body if isinstance(line, ast.AnnAssign)
    }
    names = [
        node.arg if isinstance(node, ast.arg) else node.id
        for node in nodes
        if isinstance(node, ast.arg)
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
        if node not in members
    ]
    return sum(name in NAMELESS for name in names)


def test_every_room_has_a_weight():
    assert weights(modules("src")).keys() == WEIGHTS.keys()


@pytest.mark.parametrize("room", WEIGHTS)
def test_no_room_gains_weight(room):
    lines, _ = weights(modules("src"))[room]
    lines_max = LINES_SLACK + max(figure for figure, _ in WEIGHTS[room])
    assert lines <= lines_max, f"{room} has {lines} lines, {lines_max} are allowed"


def test_values_are_named_by_what_they_are():
    counts: Counter[str] = Counter()
    for module in modules("src"):
        counts[module.room] += nameless_values(module)
    found = {room: count for room, count in counts.items() if count}
    assert found == NAMED_BY_NOTHING, "a count may only fall, and exceptions.py follows it"


def public_members(module: Module, name: str) -> list[str]:
    """Returns the public methods and properties of a module's class."""
    (body,) = (
        node.body
        for node in module.syntax.body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return [name for name in names if not name.startswith("_")]


def test_a_session_is_one_thing():
    (module,) = (module for module in modules("src") if module.path == SESSION)
    members = public_members(module, "Session")
    assert len(members) <= SESSION_MEMBERS_MAX, members


def test_weight_and_nameless_values_are_counted():
    text = "class C:\n    known: int\n    def f(found, rows):\n"
    text += "        for each in rows:\n            made: int = each\n        return rows"
    sample = parsed("src/thence/cli/commands/work/a.py", text)
    assert nameless_values(sample) == 3
    text = (
        "class A:\n    def f(self): ...\n    @property\n    def g(self): ...\n    def _h(self): ..."
    )
    assert public_members(parsed("src/thence/work/a.py", text), "A") == ["f", "g"]
    assert weights([sample, parsed("src/thence/files.py", "\n")]) == {
        "cli": (6, 1),
        "thence": (1, 1),
    }


def test_script_of_the_pages_stays_small():
    scripts = (ROOT / "src/thence/server/web/static").glob("*.js")
    assert sum(len(script.read_text("utf-8").splitlines()) for script in scripts) <= 1_300
