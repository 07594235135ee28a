"""A gate is run in a private checkout of one commit, which is made in no other place and goes."""

import pytest
from tests.git.repositories import commit, git, make_repository, write

from thence.errors import GitFailed
from thence.git.repository import repository
from thence.git.worktrees import discard
from thence.work.orchestrate.package_task import check_out_for_gate

PACKAGE = ("001-sync", "WP01")


def test_checkout_holds_the_commit_alone_and_goes(tmp_path):
    root = make_repository(tmp_path / "r")
    first = commit(root, {"kept": "1\n", ".gitignore": "left\n"})
    commit(root, {"kept": "2\n"})
    write(root, {"left": "behind\n", "loose": "too\n"})
    folder = check_out_for_gate(repository(root), root, PACKAGE, first)
    names = sorted(each.name for each in folder.iterdir())
    assert names == [".git", ".gitignore", "README.md", "kept"]
    assert (folder / "kept").read_text() == "1\n"
    assert git(folder, "rev-parse", "HEAD") == first
    write(folder, {"built": "by the gate\n", "kept": "3\n"})
    discard(repository(root), folder)
    assert not [*(root / ".worktrees").iterdir()]
    assert git(root, "worktree", "list").count("\n") == 0
    assert git(root, "status", "--porcelain") == "?? loose"


def test_what_was_left_of_the_package_is_taken_away_and_nothing_else(tmp_path):
    root = make_repository(tmp_path / "r")
    head = git(root, "rev-parse", "HEAD")
    other = check_out_for_gate(repository(root), root, ("001-sync", "WP02"), head)
    left = check_out_for_gate(repository(root), root, PACKAGE, head)
    made = check_out_for_gate(repository(root), root, PACKAGE, head)
    assert {*(root / ".worktrees").iterdir()} == {other, made}
    assert str(left) not in git(root, "worktree", "list")


def test_link_in_the_place_of_the_worktrees_is_refused(tmp_path):
    root = make_repository(tmp_path / "r")
    (tmp_path / "elsewhere").mkdir()
    (root / ".worktrees").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GitFailed, match="link"):
        check_out_for_gate(repository(root), root, PACKAGE, git(root, "rev-parse", "HEAD"))
    assert not [*(tmp_path / "elsewhere").iterdir()]
