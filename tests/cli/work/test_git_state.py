"""What the user has staged and half done is the same before and after each command."""

import json
import os

import pytest
from tests.cli.installed import THENCE
from tests.cli.warm import warm
from tests.cli.work.three_packages import SLUG, begun, done, plan, work
from tests.git.repositories import commit, git, hook
from tests.work.boards import NAMED


@pytest.fixture
def project(tmp_path):
    return plan(tmp_path / "sync é", {"a.txt": "a\n", "b.txt": "b\n", **NAMED})


def patches(folder):
    return git(folder, "diff"), git(folder, "diff", "--cached")


def test_staged_and_half_done_work_stays_through_a_whole_feature(project):
    (project / "a.txt").write_text("staged\n")
    git(project, "add", "a.txt")
    (project / "a.txt").write_text("staged, and half done\n")
    (project / "b.txt").write_text("half done\n")
    (project / "new.txt").write_text("staged anew\n")
    git(project, "add", "new.txt")
    (project / "loose.txt").write_text("never added\n")
    before = patches(project)
    commit(begun(project, actor="Ada"), {"outbox.py": "kept\n"})
    for command in (
        ("mark-status", "T001"),
        ("move-task", "WP01", "--to", "for_review"),
        ("finalize-tasks", "--add", "One more"),
        ("merge", "WP01"),
        ("accept", "WP01"),
    ):
        done(project, *command, "--feature", SLUG)
        assert patches(project) == before, command
    assert (project / "loose.txt").read_text() == "never added\n"
    assert (project / "outbox.py").read_text() == "kept\n"


def test_commit_that_the_user_leaves_behind_at_once_is_no_fault(project):
    before = git(project, "rev-parse", "HEAD")
    hook(project, "post-commit", "git reset --quiet --hard HEAD~1")
    assert (
        done(project, "finalize-tasks", "--add", "One more", "--feature", SLUG)["wp_id"] == "WP04"
    )
    assert git(project, "rev-parse", "HEAD") == before


@pytest.mark.parametrize("operation", ["merge", "rebase"])
def test_operation_of_the_user_is_waited_for_and_the_event_is_kept(project, operation):
    git(project, "checkout", "--quiet", "-b", "side")
    commit(project, {"a.txt": "side\n"})
    git(project, "checkout", "--quiet", "main")
    commit(project, {"a.txt": "main\n"})
    git(project, operation, "side", check=False)
    tip, before = git(project, "rev-parse", "main"), git(project, "status", "--porcelain")
    assert "UU a.txt" in before
    ended, told = work(project, "move-task", "WP03", "--to", "doing")
    assert ended.code == 0
    assert git(project, "status", "--porcelain") == before
    added = done(project, "finalize-tasks", "--add", "More")
    assert added["commit"] is None
    assert git(project, "rev-parse", "main") == tip
    git(project, operation, "--abort")
    assert done(project, "finalize-tasks", "--add", "Again")["commit"]
    path = next((project / ".kittify" / "events").glob("*.jsonl"))
    assert told["events"][0] in path.read_text()


def test_hook_that_tells_something_does_it_from_within_git(project):
    worktree = begun(project)
    hook(project, "post-commit", f"exec '{THENCE}' work add-history WP01 'it was committed' -q")
    commit(worktree, {"outbox.py": "kept\n"})
    events = warm("log", "--type", "HistoryAdded", "--json", cwd=project).out.splitlines()
    assert [json.loads(line)["payload"]["entry_content"] for line in events] == ["it was committed"]
    done(project, "mark-status", "T001")
    events = warm("log", "--type", "HistoryAdded", "--json", cwd=project).out.splitlines()
    assert len(events) == 1, "commits of ours run no hooks"


def test_nobody_to_commit_as_is_told_before_anything_is_begun(project):
    git(project, "config", "--unset", "user.name")
    git(project, "config", "user.useConfigOnly", "true")
    events = warm("log", "--json", cwd=project).out
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "", "GIT_COMMITTER_NAME": ""}
    for command in (("setup-spec", "More"), ("finalize-tasks", "--add", "More")):
        ended = warm("work", *command, "--json", cwd=project, env=nobody)
        assert ended.code == 1
        assert "user.name" in ended.json["error"]["hint"]
    begun = warm("log", "--json", cwd=project).out.removeprefix(events).splitlines()
    assert {json.loads(line)["event_type"] for line in begun} == {"ErrorLogged"}
