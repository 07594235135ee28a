"""What two people must hold in their heads only gets lighter."""

from collections import Counter
from collections.abc import Iterable

import pytest
from tests.house.exceptions import WEIGHTS
from tests.house.tree import Module, modules, parsed

# a room that is being rewritten may stand so far above both of its figures meanwhile
LINES_SLACK = 300


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


def test_every_room_has_a_weight():
    assert weights(modules("src")).keys() == WEIGHTS.keys()


@pytest.mark.parametrize("room", WEIGHTS)
def test_no_room_gains_weight(room):
    lines, _ = weights(modules("src"))[room]
    lines_max = LINES_SLACK + max(figure for figure, _ in WEIGHTS[room])
    assert lines <= lines_max, f"{room} has {lines} lines, {lines_max} are allowed"


def test_weight_is_counted():
    sample = parsed("src/thence/cli/commands/work/a.py", "class C:\n    known: int\n")
    assert weights([sample, parsed("src/thence/files.py", "\n")]) == {
        "cli": (2, 1),
        "thence": (1, 1),
    }
