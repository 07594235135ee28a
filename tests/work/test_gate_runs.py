"""A gate is run in a private checkout of one commit, which is made in no other place and goes."""

import pytest
from tests.git.repositories import commit, git, make_repository, write

from thence.errors import GitFailed
from thence.git.repository import repository
from thence.work.orchestrate.package_task import GateRun
from thence.work.project.configuration import GateConfig

PACKAGE = ("001-sync", "WP01")
GATE = GateConfig("CI_CHECK", ("true",), 60)


def test_checkout_holds_the_commit_alone_and_goes(tmp_path):
    root = make_repository(tmp_path / "r")
    first = commit(root, {"kept": "1\n", ".gitignore": "left\n"})
    commit(root, {"kept": "2\n"})
    write(root, {"left": "behind\n", "loose": "too\n"})
    made = GateRun(repository(root), root, PACKAGE, GATE, first)
    names = sorted(each.name for each in made.folder.iterdir())
    assert names == [".git", ".gitignore", "README.md", "kept"]
    assert (made.folder / "kept").read_text() == "1\n"
    assert git(made.folder, "rev-parse", "HEAD") == first
    write(made.folder, {"built": "by the gate\n", "kept": "3\n"})
    made.close()
    made.close()
    assert not [*(root / ".worktrees").iterdir()]
    assert git(root, "worktree", "list").count("\n") == 0
    assert git(root, "status", "--porcelain") == "?? loose"


def test_what_was_left_of_the_package_is_taken_away_and_nothing_else(tmp_path):
    root = make_repository(tmp_path / "r")
    head = git(root, "rev-parse", "HEAD")
    other = GateRun(repository(root), root, ("001-sync", "WP02"), GATE, head)
    left = GateRun(repository(root), root, PACKAGE, GATE, head)
    made = GateRun(repository(root), root, PACKAGE, GATE, head)
    assert {*(root / ".worktrees").iterdir()} == {other.folder, made.folder}
    assert str(left.folder) not in git(root, "worktree", "list")


def test_link_in_the_place_of_the_worktrees_is_refused(tmp_path):
    root = make_repository(tmp_path / "r")
    (tmp_path / "elsewhere").mkdir()
    (root / ".worktrees").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GitFailed, match="link"):
        GateRun(repository(root), root, PACKAGE, GATE, git(root, "rev-parse", "HEAD"))
    assert not [*(tmp_path / "elsewhere").iterdir()]
