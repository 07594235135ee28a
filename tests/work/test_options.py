"""What a team has chosen in `.kittify/config.yaml`."""

from pathlib import Path

import pytest
from tests.git.repositories import make_repository, write

from thence.errors import PlanningError
from thence.work.project.options import ProjectOptions, options_of, read_options
from thence.work.project.project import find_project
from thence.work.project.project_id import CONFIG


def test_a_file_of_another_tool_says_nothing() -> None:
    assert options_of(b"vcs: git\n  broken: [\n", CONFIG) == ProjectOptions()


def test_all_that_a_team_can_choose(tmp_path: Path) -> None:
    folder = make_repository(tmp_path)
    project = find_project(folder)
    assert read_options(project) == ProjectOptions(board_branch="thence-board")
    chosen = (
        f"project_uuid: {project.uuid}\nother: [tool]\n"
        "board: {remote: team, branch: boards/one}\nrules: {author_may_approve: false}\n"
        "worktree: {setup: [[npm, ci], [make, env]]}\n"
    )
    write(folder, {CONFIG: chosen})
    setup = (("npm", "ci"), ("make", "env"))
    assert read_options(project) == ProjectOptions("team", "boards/one", False, setup)


@pytest.mark.parametrize(
    ("text", "place", "cause"),
    [
        ("a: 1\nrules: {author_may_approve: perhaps}\n", "2:29", "author_may_approve is 'perhaps'"),
        ("board: {branch: 'a..b'}\n", "1:17", "'a..b' is not a name of a branch"),
        ("board: {branches: b}\n", "1:9", "board has no 'branches'"),
        ("rules: [author_may_approve]\n", "1:8", "rules is not a map"),
        ("worktree: {setup: npm ci}\n", "1:19", "setup is not a list"),
        ("worktree: {setup: [npm ci]}\n", "1:20", "a command of setup is not a list"),
        ("worktree: {set: []}\n", "1:12", "worktree has no 'set'"),
        ("rules: [\n", "2:1", ""),
    ],
)
def test_a_fault_names_its_place(text: str, place: str, cause: str) -> None:
    with pytest.raises(PlanningError) as caught:
        options_of(text.encode(), CONFIG)
    assert caught.value.place == f"{CONFIG}:{place}"
    assert cause in caught.value.cause
