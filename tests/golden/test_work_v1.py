"""Projects that the first version wrote show the board that they showed then.

`branch` is a clone with its bare remote, whose board has a branch of its own: a package that was
renumbered, one whose number was given twice, one that landed. `tree` shares in the working tree,
and waits with events that the journal could not take. Neither has its worktrees any more.
"""

import json
import subprocess
from pathlib import Path

import pytest
from tests.work.boards import features

FOLDER = Path(__file__).parent / "work-v1"


@pytest.mark.parametrize("name", ["branch", "tree"])
def test_project_of_the_first_version_shows_its_board(name, tmp_path):
    archive = FOLDER / f"{name}.tar.xz"
    subprocess.run(["tar", "--extract", "--xz", "--file", archive], cwd=tmp_path, check=True)
    expected = json.loads((FOLDER / f"{name}.json").read_text())
    assert as_shown(json.loads(features(tmp_path / "project"))) == as_shown(expected)


def as_shown(board):
    """Return a board as this version shows it.

    It is without ids of last events: what waited is appended under a new id. A package whose number
    was given twice is WP05-p5ft, which was WP05~p5ft, and no conflict.
    """
    if isinstance(board, dict):
        board = {key: as_shown(value) for key, value in board.items() if key != "last_event"}
        if "conflicts" in board:
            board["conflicts"] = [c for c in board["conflicts"] if c["rule"] != "first_in_order"]
        return board
    if isinstance(board, list):
        return [as_shown(item) for item in board]
    return board.replace("~", "-") if isinstance(board, str) else board
