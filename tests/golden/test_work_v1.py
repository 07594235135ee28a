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
    """Return a board without ids of last events: what waited is appended under a new id."""
    if isinstance(board, dict):
        return {key: as_shown(value) for key, value in board.items() if key != "last_event"}
    return [as_shown(item) for item in board] if isinstance(board, list) else board
