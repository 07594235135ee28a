"""A feature goes on to the branch that its target was renamed to, here or on the forge."""

import pytest
from tests.cli.work.projects import TASKS, finalized_project
from tests.git.repositories import commit, git
from tests.work.boards import bare, clone, done, published, work

BRANCH = "001-sync-WP01"
NOTE = "note: main, the target of 001-sync, is trunk now"


def finished(repo):
    """Do WP01 in a worktree and merge it; return what merge and status say."""
    done(repo, "implement", "WP01")
    commit(repo / f".worktrees/{BRANCH}", {"a": "1\n"}, "Work")
    done(repo, "mark-status", "T001")
    merged = done(repo, "merge", "WP01", "--json")
    done(repo, "accept", "WP01", "--local")
    return merged, done(repo, "status")


def test_branch_that_was_renamed_here_is_followed(tmp_path):
    repo = finalized_project(tmp_path / "r")
    git(repo, "branch", "-m", "main", "middle")
    git(repo, "branch", "-m", "middle", "trunk")
    git(repo, "branch", "master")  # what would be taken for the main one
    merged, shown = finished(repo)
    assert NOTE in merged.err
    assert merged.json["target_branch"] == "trunk"
    assert git(repo, "show", "trunk:a") == "1"
    assert "(1 of 2 done)" in shown.out


@pytest.fixture
def remote(tmp_path):
    """Make a remote whose main was renamed on the forge, after a feature was begun on it."""
    remote = bare(tmp_path / "remote")
    first = clone(remote, tmp_path / "first")
    done(first, "setup-spec", "Sync")
    (first / "kitty-specs/001-sync/tasks.md").write_text(TASKS)
    done(first, "finalize-tasks")
    published(first)
    git(first, "push", "--quiet", "origin", "main", "main:release")
    git(remote, "branch", "-m", "main", "trunk")
    return remote


def test_branch_that_was_renamed_on_the_forge_is_followed_in_a_new_clone(remote, tmp_path):
    repo = clone(remote, tmp_path / "second")
    done(repo, "publish")
    merged, shown = finished(repo)
    assert NOTE in merged.err
    assert git(repo, "show", "trunk:a") == "1"
    assert "(1 of 2 done" in shown.out


def test_clone_of_one_branch_takes_no_other_for_the_target(remote, tmp_path):
    git(remote, "branch", "main", "trunk")
    repo = clone(remote, tmp_path / "second", "--single-branch", "--branch", "release")
    done(repo, "publish")
    ended = work(repo, "implement", "WP01")
    assert (ended.code != 0, "is release now" in ended.err) == (True, False)


def test_target_that_is_gone_without_a_trace_is_told_with_a_next_step(tmp_path):
    repo = finalized_project(tmp_path / "r")
    git(repo, "switch", "--quiet", "-c", "other")
    git(repo, "rm", "--quiet", "-r", "kitty-specs")
    git(repo, "commit", "--quiet", "-m", "Without")
    git(repo, "branch", "-D", "main")
    ended = work(repo, "implement", "WP01", "--json")
    error = ended.json["error"]
    assert ended.code != 0
    assert error["cause"].startswith("main is gone, here and on remotes")
    assert error["hint"] == "git branch main COMMIT makes it again"
    assert "WP01" in done(repo, "status").out
