"""`done` is true: by every road the code of a package is in its target, or it is told why not."""

import json

import pytest
from tests.cli.warm import warm
from tests.cli.work.orchestra import orchestrate
from tests.cli.work.three_packages import SLUG, begun, done, handed_in, refused, work
from tests.git.repositories import commit, git
from tests.work.boards import keep_private, on_remote, synced

pytestmark = pytest.mark.promise("L15")
BRANCH = f"{SLUG}-WP03"


@pytest.fixture
def remote(project, tmp_path):
    """A bare remote that the project's main has as its upstream."""
    return on_remote(project, tmp_path / "remote.git")


def without_branch(project, worktree):
    git(project, "worktree", "remove", "--force", worktree)
    git(project, "branch", "--quiet", "-D", BRANCH)


def squashed_on_forge(project, remote, forge):
    """Push the branch of WP03, and stage its squash in a clone that a forge has."""
    git(project, "push", "--quiet", "origin", BRANCH)
    git(forge.parent, "clone", "--quiet", remote, forge)
    git(forge, "config", "user.name", "Forge")
    git(forge, "config", "user.email", "forge@example.org")
    git(forge, "merge", "--quiet", "--squash", f"origin/{BRANCH}")
    return forge


def told(project, kind):
    """Return the payloads of the events of a type."""
    ended = warm("log", "--type", kind, "--json", cwd=project)
    return [] if ended.code == 4 else [json.loads(line)["payload"] for line in ended.lines]


def here(project):
    """Return where the code of WP03 is, as the board tells it."""
    (found,) = done(project, "status")["here"]["landed"]
    assert found["wp_id"] == "WP03"
    return found["state"]


def shown(project):
    return warm("work", "status", cwd=project).out


@pytest.mark.parametrize("command", [("accept", "WP03"), ("move-task", "WP03", "--to", "done")])
def test_author_does_not_get_an_unmerged_package_done(project, command):
    handed_in(project)
    error = refused(project, "not_landed", *command, "--actor", "ada")
    assert "thence work merge" in error["hint"]
    done(project, "merge", "WP03")
    done(project, *command, "--actor", "ada")
    (landed,) = told(project, "WPLanded")
    assert (landed["how"], landed["commit"]) == ("ancestor", git(project, "rev-parse", BRANCH))
    assert here(project) == "landed"


def test_branch_that_was_deleted_unmerged_is_refused_until_somebody_names_the_commit(project):
    without_branch(project, handed_in(project))
    refused(project, "not_landed", "accept", "WP03")
    refused(project, "not_landed", "accept", "WP03", "--landed", "0" * 40)
    commit(project, {"unrelated.py": "by hand\n"})
    git(project, "branch", "beside")
    beside = git(project, "commit-tree", "-m", "beside", "-p", "HEAD", "HEAD^{tree}")
    refused(project, "not_landed", "accept", "WP03", "--landed", beside)
    done(project, "accept", "WP03", "--landed", "beside", "--reason", "by hand", "--actor", "bob")
    (landed,) = told(project, "WPLanded")
    stated = {"how": "stated", "commit": git(project, "rev-parse", "beside"), "reason": "by hand"}
    assert landed == {"wp_id": "WP03", **stated}


def test_squash_with_a_suggestion_is_named_by_the_refusal(project):
    handed_in(project, {"page.py": "a page\nof one\nor two\nrows\n"})
    commit(project, {"page.py": "a page\nof one\nor three\nrows\n"}, "Squashed (#7)")
    squash = git(project, "rev-parse", "HEAD")
    commit(project, {"unrelated.py": "by hand\n"})
    hint = refused(project, "not_landed", "accept", "WP03")["hint"]
    assert (
        f"(most like it: {squash[:7]}): thence work accept WP03 --feature {SLUG} --landed COMMIT"
        in hint
    )
    done(project, "accept", "WP03", "--landed", squash, "--actor", "bob")
    assert here(project) == "landed"
    git(project, "revert", "--no-edit", squash)
    assert here(project) == "reverted"


def test_package_without_a_commit_is_done_for_a_reason_alone(project):
    begun(project, "WP03")
    done(project, "merge", "WP03", "--actor", "ada")
    error = refused(project, "not_landed", "accept", "WP03")
    assert "--no-code REASON" in error["hint"]
    done(project, "accept", "WP03", "--no-code", "it was a decision")
    assert told(project, "WPLanded") == [
        {"wp_id": "WP03", "how": "no_code", "reason": "it was a decision"}
    ]
    assert here(project) == "landed"


def test_package_that_never_had_a_branch_is_done_for_a_reason_alone(project):
    done(project, "move-task", "WP03", "--to", "doing")
    done(project, "move-task", "WP03", "--to", "for_review")
    refused(project, "not_landed", "move-task", "WP03", "--to", "done")
    done(project, "accept", "WP03", "--no-code", "told the other team")
    assert told(project, "WPLanded")[0]["how"] == "no_code"


def test_code_that_git_knows_is_not_denied(project):
    handed_in(project)
    refused(project, "not_landed", "accept", "WP03", "--no-code", "none of it")


def test_merged_here_and_not_pushed_is_not_done(project, remote):
    handed_in(project)
    done(project, "merge", "WP03")
    for command in (("accept", "WP03"), ("move-task", "WP03", "--to", "done")):
        error = refused(project, "not_landed", *command)
        assert "not pushed to origin/main" in error["cause"]
    git(project, "push", "--quiet", "origin", "main")
    done(project, "accept", "WP03")
    assert here(project) == "landed"


def test_revert_shows_before_it_is_pushed(project, remote):
    handed_in(project)
    merge = done(project, "merge", "WP03")["merge_commit"]
    git(project, "push", "--quiet", "origin", "main")
    done(project, "accept", "WP03")
    git(project, "revert", "--no-edit", "-m", "1", merge)
    revert = git(project, "rev-parse", "HEAD")
    for target in ("main", "origin/main"):
        assert here(project) == "reverted"
        assert f"reverted in {target} by {revert[:7]}" in shown(project)
        git(project, "push", "--quiet", "origin", "main")
    git(project, "revert", "--no-edit", revert)
    git(project, "push", "--quiet", "origin", "main")
    git(project, "reset", "--quiet", "--hard", revert)
    assert here(project) == "landed", "the branch here is only older"


def test_reset_after_a_refused_push_is_shown(project, remote):
    handed_in(project)
    done(project, "merge", "WP03")
    hook = remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    git(project, "push", "--quiet", "origin", "main", check=False)
    done(project, "accept", "WP03", "--local")
    assert here(project) == "local"
    assert "1 done, 0 landed" in shown(project).replace("of 3 ", "")
    assert "merged here, not pushed to origin/main" in shown(project)
    git(project, "reset", "--quiet", "--hard", "origin/main")
    assert here(project) == "gone"
    assert "no longer in origin/main" in shown(project)


@pytest.mark.parametrize("is_branch_fetched", [False, True])
def test_landing_that_was_not_fetched_is_not_told_as_gone(
    project, remote, tmp_path, is_branch_fetched
):
    handed_in(project)
    if is_branch_fetched:
        git(project, "push", "--quiet", "origin", BRANCH)
    carl = tmp_path / "carl"
    git(tmp_path, "clone", "--quiet", remote, carl)
    keep_private(carl)
    synced(project)
    board = ("fetch", "--quiet", "origin", "thence-board:refs/remotes/origin/thence-board")
    git(carl, *board)
    if not is_branch_fetched:
        assert "its code is not fetched here" in shown(carl)
        assert "next: git fetch\n" in shown(carl)
        error = refused(carl, "not_landed", "accept", "WP03")
        assert "is not fetched here" in error["cause"]
    done(project, "merge", "WP03")
    git(project, "push", "--quiet", "origin", "main")
    done(project, "accept", "WP03")
    synced(project)
    git(carl, *board)
    assert here(carl) == "unfetched"
    assert "its code is not fetched here" in shown(carl)
    assert "next: git fetch\n" in shown(carl)
    git(carl, "fetch", "--quiet")
    assert here(carl) == "landed"
    git(project, "push", "--quiet", "--force", "origin", "main~1:main")
    git(carl, "fetch", "--quiet")
    assert here(carl) == "gone"


def test_agent_overrules_nothing_and_a_person_does_with_a_reason(project):
    handed_in(project)
    forced = ("move-task", "WP03", "--to", "done", "--force", "--reason", "it is fine")
    agent = {"THENCE_RUN": "01M7XANXT4000000020000NF6Y"}
    for more in (forced, ("accept", "WP03", "--landed", "HEAD")):
        ended = warm("work", *more, "--json", cwd=project, env=agent)
        assert ended.json["error"]["guard"] == "not_landed"
    assert done(project, *forced)["overruled"] == ["not_landed"]
    assert told(project, "WPLanded") == []
    assert here(project) == "missing"


def test_approval_of_what_is_not_in_review_says_that_it_does_not_count_yet(project):
    ended, _ = work(project, "add-history", "WP01", "approved", "--type", "review")
    assert ended.code == 0
    assert "WP01 is in planned: an approval counts once it is in for_review" in ended.err


def test_what_is_said_of_one_package_needs_its_name(project):
    ended, error = work(project, "accept", "--landed", "HEAD")
    assert ended.code != 0
    assert "one package" in error["error"]["cause"]


def test_orchestrator_waits_for_the_push_only_where_it_is_told_to(make, tmp_path):
    project = make({"WP01": []}, landed="upstream")
    on_remote(project.folder, tmp_path / "remote.git")
    ended = orchestrate(project)
    assert ended.code == 1
    assert "not pushed to origin/main" in ended.out + ended.err
    assert project.lanes() == {"WP01": "for_review"}
    project.setup()
    project.tell()
    assert orchestrate(project).code == 0
    assert project.events("WPLanded")[0]["payload"]["how"] == "ancestor"
    assert done(project.folder, "status")["here"]["landed"][0]["state"] == "local"
