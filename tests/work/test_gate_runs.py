"""A gate is run in a private checkout of one commit, which is made in no other place and goes."""

import pytest
from tests.git.repositories import git, make_repository

from thence.errors import GitFailed
from thence.git.repository import repository
from thence.work.orchestrate.package_task import check_out_for_gate

PACKAGE = ("001-sync", "WP01")


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
