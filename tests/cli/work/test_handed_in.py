"""What was handed in is what lands; what is not known is told as unknown."""

import pytest
from tests.cli.warm import warm
from tests.cli.work.test_landed import BRANCH, here, remote, shown, told
from tests.cli.work.three_packages import SLUG, done, handed_in, moved, refused, work
from tests.git.repositories import commit, git
from tests.work.boards import BOARD, clone, synced

pytestmark = pytest.mark.promise("L15")
__all__ = ["remote"]  # a fixture
UNSHALLOW = "git fetch --unshallow"
FETCH_BOARD = ("fetch", "--quiet", "origin", f"{BOARD}:refs/remotes/origin/{BOARD}")


def amended(worktree):
    """Amend what was handed in; return the short id of the commit that was."""
    reviewed = git(worktree, "rev-parse", "HEAD")
    (worktree / "page.py").write_text("another page\n")
    git(worktree, "commit", "--quiet", "--all", "--amend", "--no-edit")
    return reviewed[:7]


def added(worktree):
    reviewed = git(worktree, "rev-parse", "HEAD")
    commit(worktree, {"more.py": "nobody has seen it\n"})
    return reviewed[:7]


@pytest.mark.parametrize("change", [amended, added])
def test_commit_that_nobody_reviewed_is_told_and_not_done(project, change):
    worktree = handed_in(project)
    sentence = f"changed since it was handed in at {change(worktree)}"
    assert sentence in shown(project)
    merged = warm("work", "merge", "WP03", cwd=project)
    assert (merged.code, sentence in merged.out) == (0, True), merged.out
    assert sentence in shown(project)
    for command in (("accept", "WP03"), ("move-task", "WP03", "--to", "done")):
        error = refused(project, "changed_since", *command)
        assert sentence in error["cause"]
        assert "--force --reason TEXT" in error["hint"]
    agent = {"THENCE_RUN": "01M7XANXT4000000020000NF6Y"}
    force = ("accept", "WP03", "--force", "--reason", "it is fine", "--json")
    ended = warm("work", *force, cwd=project, env=agent)
    assert ended.json["error"]["guard"] == "changed_since"
    done(project, "accept", "WP03", "--force", "--reason", "I have read it")
    assert told(project, "WPStatusChanged")[-1]["reason"] == "I have read it"


def test_changed_package_is_handed_in_again_and_done(project):
    worktree = handed_in(project)
    amended(worktree)
    done(project, "merge", "WP03")
    refused(project, "changed_since", "accept", "WP03")
    done(project, "move-task", "WP03", "--to", "doing", "--reason", "read it again")
    done(project, "move-task", "WP03", "--to", "for_review", "--actor", "ada")
    done(project, "accept", "WP03")
    assert told(project, "WPReviewed")[-1]["commit"] == git(worktree, "rev-parse", "HEAD")


def test_commit_with_another_message_alone_is_no_change(project):
    worktree = handed_in(project)
    git(worktree, "commit", "--quiet", "--amend", "-m", "Say it better")
    assert "changed since" not in shown(project)
    done(project, "merge", "WP03")
    assert done(project, "accept", "WP03")["accepted"] == ["WP03"]


def test_code_that_others_pushed_after_the_review_is_told_as_changed(project, remote, tmp_path):
    worktree = handed_in(project)
    git(worktree, "push", "--quiet", "origin", BRANCH)
    other = clone(remote, tmp_path / "other", "--branch", BRANCH)
    commit(other, {"more.py": "nobody has seen it\n"})
    git(other, "push", "--quiet", "origin", BRANCH)
    git(project, "fetch", "--quiet")
    done(project, "merge", "WP03")
    git(project, "push", "--quiet", "origin", "main")
    sentence = f"changed since it was handed in at {git(worktree, 'rev-parse', 'HEAD')[:7]}"
    assert sentence in refused(project, "changed_since", "accept", "WP03")["cause"]
    assert sentence in shown(project)


def test_merge_that_took_nothing_is_no_landing(project):
    handed_in(project)
    commit(project, {"other.py": "other\n"})
    git(project, "merge", "--quiet", "--no-edit", "-s", "ours", BRANCH)
    assert "is not in main" in refused(project, "not_landed", "accept", "WP03")["cause"]
    error = refused(project, "not_landed", "merge", "WP03")
    assert "its code would still be missing in main" in error["cause"]


@pytest.fixture
def shallow(project, remote, tmp_path):
    """A clone of the last commits of a project whose WP03 landed long ago."""
    handed_in(project)
    done(project, "merge", "WP03")
    git(project, "push", "--quiet", "origin", "main")
    for number in range(3):
        commit(project, {f"later{number}.py": "later\n"})
    git(project, "push", "--quiet", "origin", "main")
    done(project, "accept", "WP03")
    synced(project)
    shallow = clone(remote, tmp_path / "shallow", "--depth", "2")
    git(shallow, *FETCH_BOARD, "--depth", "2")
    return shallow


def test_shallow_clone_says_unknown_and_no_command_acts_on_it(shallow):
    assert here(shallow) == "shallow"
    assert "not in origin/main" not in shown(shallow)
    assert f"next: {UNSHALLOW}" in shown(shallow)
    reason = ("--reason", "its code is gone")
    work(shallow, "merge")
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert here(shallow) == "landed"
    done(shallow, "move-task", "WP03", "--to", "doing", *reason)


def test_shallow_clone_accepts_no_code_that_it_can_not_see(shallow, project):
    moved(project, "WP03", "doing", reason="look again")
    moved(project, "WP03", "for_review")
    synced(project)
    git(shallow, *FETCH_BOARD)
    assert f"next: {UNSHALLOW}" in shown(shallow)
    for more in ((), ("--no-code", "none")):
        error = refused(shallow, "not_landed", "accept", "WP03", *more)
        assert UNSHALLOW in error["hint"]
    git(shallow, "fetch", "--quiet", "--unshallow")
    done(shallow, "accept", "WP03")


def test_work_done_in_a_shallow_clone_is_judged_as_in_any_other(shallow):
    handed_in(shallow, {"outbox.py": "kept\n"}, wp_id="WP01", ticks=["T001"])
    error = refused(shallow, "not_landed", "accept", "WP01")
    assert f"{SLUG}-WP01, is not in origin/main" in error["cause"]
    done(shallow, "merge", "WP01")
    git(shallow, "push", "--quiet", "origin", "main")
    done(shallow, "accept", "WP01")
