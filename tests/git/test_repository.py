"""What is found out of a repository, in every shape that people keep one in."""

import threading

import pytest
from tests.git.repositories import branches, commit, git, make_repository

from thence.errors import GitFailed
from thence.git.refs import refs_of
from thence.git.repository import (
    current_branch,
    git_dir_of,
    is_ancestor,
    list_worktrees,
    repository,
    tip,
)


def test_repository_is_found_from_below_from_a_worktree_and_by_strange_names(tmp_path):
    top = make_repository(tmp_path / "Über das Projekt")
    below = top / "a folder" / "ö"
    below.mkdir(parents=True)
    git(top, "worktree", "add", "--quiet", "-b", "side", tmp_path / "side wörk")
    found = repository(below)
    assert (found.top, found.common, found.git_dir) == (top, top / ".git", top / ".git")
    linked = repository(tmp_path / "side wörk")
    assert (linked.top, linked.common) == (tmp_path / "side wörk", top / ".git")
    assert linked.git_dir.parent == top / ".git/worktrees"
    assert not found.is_bare


def test_folder_without_repository_is_told_with_the_remedy(tmp_path):
    with pytest.raises(GitFailed, match="not a git repository") as caught:
        repository(tmp_path)
    assert caught.value.hint == "git init"


def test_bare_repository_has_no_top_and_its_worktrees_are_found(tmp_path):
    git(make_repository(tmp_path / "origin"), "clone", "--quiet", "--bare", ".", tmp_path / "b.git")
    bare = repository(tmp_path / "b.git")
    assert (bare.is_bare, bare.top, bare.common) == (True, None, tmp_path / "b.git")
    assert bare.folder == bare.common
    assert list_worktrees(bare) == ()
    git(bare.common, "worktree", "add", "--quiet", tmp_path / "w", "main")
    for seen in (bare, repository(tmp_path / "w")):
        (only,) = list_worktrees(seen)
        assert (only.path, only.branch, only.is_main) == (tmp_path / "w", "main", False)
        assert git_dir_of(only.path) == bare.common / "worktrees/w"


def test_branches_are_given_with_their_tips_and_one_that_is_missing_is_none(tmp_path):
    top = make_repository(tmp_path)
    first = git(top, "rev-parse", "HEAD")
    git(top, "branch", "größe/ä")
    second = commit(top, {"a": "1"})
    git(top, "tag", "größe", second)  # a name that means two things
    repo = repository(top)
    assert branches(repo) == {"main": second, "größe/ä": first}
    assert tip(repo, "größe/ä") == first
    assert tip(repo, "größe") is None
    assert is_ancestor(repo, first, second)
    assert not is_ancestor(repo, second, first)
    with pytest.raises(GitFailed):
        is_ancestor(repo, "nothing", second)


def test_repository_before_its_first_commit_has_no_branch_and_one_checkout(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    repo = repository(tmp_path)
    assert branches(repo) == {}
    (only,) = list_worktrees(repo)
    assert (only.path, only.head, only.branch) == (tmp_path, None, "main")
    assert current_branch(repo) == "main"


@pytest.mark.parametrize("listed", [list_worktrees, lambda repo: refs_of(repo).trees])
def test_worktree_that_is_just_being_made_is_waited_for(tmp_path, listed):
    folder = make_repository(tmp_path / "r")
    git(folder, "worktree", "add", "--quiet", "-b", "side", tmp_path / "tree")
    told = folder / ".git" / "worktrees" / "tree" / "commondir"
    hidden = told.with_name("hidden")
    told.rename(hidden)
    told.write_bytes(b"")  # as `git worktree add` leaves it for a moment
    threading.Timer(0.1, lambda: hidden.replace(told)).start()
    assert len(listed(repository(folder))) == 2
