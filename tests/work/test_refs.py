"""A branch moves if it stands where it was seen, and only when it is told to."""

import pytest
from tests.work.repositories import commit, git, make_repository

from thence.errors import GitFailed
from thence.work.git import Git
from thence.work.refs import MovedMeanwhile, move


def two_commits(path) -> tuple[Git, str, str]:
    top = make_repository(path)
    old = git(top, "rev-parse", "HEAD")
    new = commit(top, {"a": "1\n"})
    git(top, "branch", "target", old)
    return Git(top), old, new


def tip(runner: Git, branch: str = "target") -> str:
    return git(runner.folder, "rev-parse", "--verify", "--quiet", branch, check=False)


def test_branch_moves_on_commit_and_the_reflog_tells_why(tmp_path):
    runner, old, new = two_commits(tmp_path)
    with move(runner, "target", "because ö") as ref:
        ref.prepare(new, old)
        assert tip(runner) == old
        ref.commit()
    assert tip(runner) == new
    assert git(tmp_path, "reflog", "-1", "--format=%gs", "target") == "because ö"


def test_branch_stays_and_is_free_again_if_the_block_is_left_before(tmp_path):
    runner, old, new = two_commits(tmp_path)
    with move(runner, "target", "why") as ref:
        ref.prepare(new, old)
        with pytest.raises(AssertionError, match="cannot lock ref"):
            git(tmp_path, "branch", "--force", "target", new)
    assert tip(runner) == old
    git(tmp_path, "branch", "--force", "target", new)


def test_branch_that_stands_elsewhere_or_came_or_went_meanwhile_is_told(tmp_path):
    runner, old, new = two_commits(tmp_path)
    for branch, seen in (("target", new), ("target", None), ("gone", old)):
        with pytest.raises(MovedMeanwhile), move(runner, branch, "why") as ref:
            ref.prepare(new, seen)
    assert (tip(runner), tip(runner, "gone")) == (old, "")


def test_commit_that_was_pruned_meanwhile_is_to_be_made_again(tmp_path):
    runner, old, new = two_commits(tmp_path)
    tree = git(tmp_path, "rev-parse", f"{new}^{{tree}}").strip()
    lost = git(tmp_path, "commit-tree", tree, "-m", "Nobody names it").strip()
    git(tmp_path, "gc", "--quiet", "--prune=now")
    with (
        pytest.raises(MovedMeanwhile, match="nonexistent object"),
        move(runner, "target", "why") as ref,
    ):
        ref.prepare(lost, old)
    assert tip(runner) == old


def test_branch_is_made_where_there_was_none(tmp_path):
    runner, _, new = two_commits(tmp_path)
    with move(runner, "made/ö", "why") as ref:
        ref.prepare(new, None)
        ref.commit()
    assert tip(runner, "made/ö") == new


def test_name_and_commit_that_git_refuses_are_told_in_its_words(tmp_path):
    runner, old, new = two_commits(tmp_path)
    for branch, to in (("target/below", new), ("a..b", new), ("target", "1" * 7)):
        with (
            pytest.raises(GitFailed, match="could not move branch"),
            move(runner, branch, "why") as ref,
        ):
            ref.prepare(to, old if branch == "target" else None)
    assert tip(runner) == old
