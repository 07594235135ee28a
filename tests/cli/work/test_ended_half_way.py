"""What was left half-way, by a kill or by hand, is one sentence of `status` with what to type."""

import re
import shutil
import signal
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.cli.warm import warm
from tests.cli.work.other_git import KILL, with_git
from tests.cli.work.projects import done, project
from tests.git.repositories import commit, git
from tests.work.boards import NAMED, bare, clone, synced, work

BRANCH, MORE = "001-sync-WP01", "kitty-specs/002-more"
NOT_THERE = "its worktree is not there yet"
# what a commit of planning files asks git first
COMMITTING = "status --porcelain -z --no-renames --untracked-files=all --ignored"


def typed(repo, command):
    """Type a command that status has named."""
    return done(repo, *command.removeprefix("thence work ").split())


@pytest.mark.promise("L14")
@pytest.mark.parametrize("moment", ["before", "behind"])
def test_package_whose_command_was_killed_stays_taken_and_the_same_command_goes_on(
    repo, tmp_path, moment
):
    path = with_git(tmp_path / "bin", "worktree add", **{moment: KILL})
    implement = ("work", "implement", "WP01", "--actor", "ada")
    assert thence(*implement, cwd=repo, env={"PATH": path}).code == -9
    assert (BRANCH in git(repo, "branch")) == (moment == "behind")
    shown = done(repo, "status")
    assert (NOT_THERE in shown.out, shown.err) == (True, "")
    assert "next: thence work implement WP01" in shown.out
    refused = work(repo, "implement", "WP01", "--actor", "bob", "--json")
    assert refused.json["error"]["guard"] == "not_in_lane"
    again = done(repo, "implement", "WP01", "--actor", "ada", "--json").json
    assert git(Path(again["worktree"]), "status", "--porcelain") == ""
    assert NOT_THERE not in done(repo, "status").out
    assert warm("verify", cwd=repo).code == 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_worktree_of_a_reopened_package_is_missing_only_where_it_is_gone(repo, is_kept):
    tree = Path(done(repo, "implement", "WP01", "--json").json["worktree"])
    commit(tree, {"a": "1\n"})
    done(repo, "mark-status", "T001")
    done(repo, "merge", "WP01")
    done(repo, "accept", "WP01", "--local")
    if not is_kept:
        git(repo, "worktree", "remove", tree)
    done(repo, "move-task", "WP01", "--to", "doing", "--reason", "see it again")
    assert (NOT_THERE in done(repo, "status").out) is not is_kept


@pytest.mark.promise("L17")
@pytest.mark.parametrize(
    ("command", "where"),
    [
        (
            ("setup-spec", "More"),
            f"{MORE} is not there: its command ended half-way, or it was removed",
        ),
        (("finalize-tasks", "--add", "Next"), "WP02  Next  (its file is not there: its command"),
    ],
)
def test_addition_whose_files_a_kill_prevented_is_told(tmp_path, command, where):
    repo = project(tmp_path / "r")
    done(repo, "setup-spec", "Sync")
    done(repo, "finalize-tasks", "--add", "First")
    path = with_git(tmp_path / "bin", COMMITTING, before=KILL)
    killed = warm("work", *command, cwd=repo, env={"PATH": path})
    assert killed.code == -signal.SIGKILL
    shown = done(repo, "status", "--all")
    assert where in shown.out
    if command[0] == "setup-spec":
        how = f"next: write {MORE}/tasks.md, then thence work finalize-tasks --feature 002-more"
        assert how in shown.out
    else:
        (step,) = re.findall("half-way; (thence work .*) takes it back", shown.out)
        typed(repo, step.replace("TEXT", "half-way"))
    assert warm("verify", cwd=repo).code == 0


def test_feature_begun_by_mistake_is_ended_and_leaves_the_board_until_it_gets_a_package(tmp_path):
    repo = project(tmp_path / "r")
    done(repo, "setup-spec", "Sync")
    assert "001-sync has the same title" in done(repo, "setup-spec", "Sync").lines
    nothing = work(repo, "implement")
    assert nothing.lines[-1] == "next: thence work finalize-tasks --feature 001-sync"
    done(repo, "finalize-tasks", "--add", "First", "--feature", "001-sync")
    assert "could not accept 001-sync\n" in work(repo, "accept").err  # the one with packages
    assert "  it has no packages yet\n" in done(repo, "status").out
    refused = work(repo, "accept", "--feature", "002-sync")
    step = refused.err.split("or end it: ")[1].strip()
    assert refused.code == 2
    assert typed(repo, step.replace("TEXT", "mistake")).lines == [
        "002-sync is ended, without packages"
    ]
    assert "002-sync" not in done(repo, "status").out
    assert "002-sync  Sync  (ended)" in done(repo, "status", "--all").out
    done(repo, "finalize-tasks", "--add", "Yet", "--feature", "002-sync")
    assert "002-sync  Sync  (0 of 1 done)" in done(repo, "status").out


def test_target_that_is_not_there_is_told_and_keeps_nobody(repo):
    tree = Path(done(repo, "implement", "WP01", "--json").json["worktree"])
    git(repo, "branch", "--move", "main", "trunk")
    cause = "main, its target, is neither here nor on a remote"
    hint = "git fetch, or make it again: git branch main COMMIT"
    shown = done(repo, "status")
    assert [f"  {cause}", f"  next: {hint}"] == shown.lines[5:7], shown.out
    for command in (("implement", "WP02"), ("merge", "WP01"), ("accept", "WP01")):
        error = work(repo, *command, "--json").json["error"]
        assert (error["cause"], error["hint"]) == (cause, hint)
    git(repo, "branch", "--move", "trunk", "main")
    commit(tree, {"a": "1\n"})
    done(repo, "mark-status", "T001")
    done(repo, "merge", "WP01")
    done(repo, "accept", "WP01", "--local")
    git(repo, "switch", "--quiet", "--detach")
    git(repo, "branch", "--quiet", "--delete", "--force", "main")
    shown = done(repo, "status").out
    assert (cause in shown, "--to doing" in shown) == (True, False)


def test_target_on_a_remote_alone_is_there(tmp_path):
    remote = bare(tmp_path / "remote", files=NAMED)
    git(remote, "branch", "release", "main")
    first = clone(remote, tmp_path / "first")
    git(first, "switch", "--quiet", "release")
    done(first, "setup-spec", "Sync")
    git(first, "push", "--quiet", "origin", "release")
    synced(first)
    second = clone(remote, tmp_path / "second")
    synced(second)
    assert "neither here" not in done(second, "status").out


def test_worktree_that_git_knows_no_more_is_told(repo):
    tree = Path(done(repo, "implement", "WP01", "--json").json["worktree"])
    shutil.rmtree(repo / ".git/worktrees" / tree.name)
    told = f"git no longer knows its worktree: move {tree} away, then implement it again"
    assert told in done(repo, "status").out
    tree.rename(tree.with_name("away"))
    done(repo, "implement", "WP01")
    assert told not in done(repo, "status").out


@pytest.mark.parametrize(
    ("leaving", "place"),
    [(("switch", "--quiet", "--detach"), "no branch"), (("branch", "--move", "mine"), "mine")],
)
def test_worktree_that_left_its_branch_is_told(repo, leaving, place):
    tree = Path(done(repo, "implement", "WP01", "--json").json["worktree"])
    git(tree, *leaving)
    told = f"its worktree is on {place}: git -C {tree} switch {BRANCH}"
    assert told in done(repo, "status").out
    git(tree, "switch", "--quiet", "-c" if place == "mine" else "--no-guess", BRANCH)
    assert told not in done(repo, "status").out
