"""A package whose code was reverted is not landed, until all of it is in its target again."""

from pathlib import Path

import pytest
from tests.cli.work.orchestra import DO, orchestrate
from tests.cli.work.three_packages import SLUG, begun, done, handed_in, moved, refused, work
from tests.git.repositories import commit, git
from tests.tiers import tenth

pytestmark = pytest.mark.promise("L15")
FEATURE = {"feature.py": "def feature(): ...\n"}
DOCS = {"docs.md": "what it does\n"}


def landed(project, *commits, wp_id="WP03"):
    """Take a package to done, with these commits; return the merge."""
    handed_in(project, *commits, wp_id=wp_id, ticks=["T001"] if wp_id == "WP01" else [])
    merge = done(project, "merge", wp_id)["merge_commit"]
    done(project, "accept", wp_id)
    return merge


def here(project):
    return done(project, "status")["here"]["landed"]


def reopened(project, *, is_pruned=False):
    """Reopen WP03 and begin it again; return its worktree and what implement says."""
    if is_pruned:
        done(project, "merge")
    moved(project, "WP03", "doing", reason="it broke the build")
    told = done(project, "implement", "WP03", "--actor", "ada")
    return Path(told["worktree"]), told


def hand_in(project):
    done(project, "move-task", "WP03", "--to", "for_review", "--actor", "ada")


def test_package_in_review_that_was_reverted_is_refused_and_in_part_it_is_landed(project):
    handed_in(project, FEATURE, DOCS)
    done(project, "merge", "WP03")
    reverts = []
    for one in (f"{SLUG}-WP03~1", f"{SLUG}-WP03"):
        git(project, "revert", "--no-edit", one)
        reverts.insert(0, git(project, "rev-parse", "HEAD"))
    error = refused(project, "not_landed", "accept", "WP03")
    assert error["cause"] == f"WP03 is reverted in main by {reverts[0][:7]}, {reverts[1][:7]}"
    back = " && git revert ".join(reverts)
    assert f"git merge main && git revert {back}" in error["hint"]
    better = commit(project, {"feature.py": "def feature(): better\n"})
    hint = refused(project, "not_landed", "accept", "WP03")["hint"]
    assert f"if it came back, name the commit that merged it (most like it: {better[:7]})" in hint
    git(project, "revert", "--no-edit", reverts[0])
    assert done(project, "accept", "WP03")["accepted"] == ["WP03"]


@pytest.mark.parametrize(
    ("is_pruned", "is_forward"),
    [(False, True), (True, False), *tenth([(False, False), (True, True)], [])],
)
@pytest.mark.whole
def test_reopened_package_is_merged_again_only_with_all_its_code(project, is_pruned, is_forward):
    merge = landed(project, FEATURE)
    if is_forward:
        git(project, "reset", "--quiet", "--hard", f"{SLUG}-WP03")
        git(project, "revert", "--no-edit", "HEAD")
    else:
        git(project, "revert", "--no-edit", "-m", "1", merge)
    revert = git(project, "rev-parse", "HEAD")
    worktree, told = reopened(project, is_pruned=is_pruned)
    if told["base"] != revert:  # where its branch has the code, nothing looks amiss there
        assert told["reverted_by"] == [revert]
    commit(worktree, {"fix.py": "fix\n"})
    hand_in(project)
    ended, answer = work(project, "merge", "WP03")
    assert (ended.code, answer["error"]["guard"]) == (1, "not_landed")
    assert "handed in of it before would still be missing in main" in answer["error"]["cause"]
    assert f"git revert {revert}" in answer["error"]["hint"]
    assert git(project, "rev-parse", "main") == revert, "nothing was merged"
    git(worktree, "merge", "--quiet", "--no-edit", "main")
    git(worktree, "revert", "--no-edit", revert)
    done(project, "move-task", "WP03", "--to", "doing", "--reason", "not whole", "--actor", "ada")
    hand_in(project)
    done(project, "merge", "WP03")
    assert done(project, "accept", "WP03")["accepted"] == ["WP03"]
    assert {"feature.py", "fix.py"} <= {path.name for path in project.iterdir()}
    assert [told["state"] for told in here(project)] == ["landed"]


def test_rest_that_git_merges_by_hand_has_landed(project):
    merge = landed(project, FEATURE)
    git(project, "revert", "--no-edit", "-m", "1", merge)
    worktree, _ = reopened(project)
    commit(worktree, {"fix.py": "fix\n"})
    hand_in(project)
    git(project, "merge", "--quiet", "--no-edit", f"{SLUG}-WP03")
    done(project, "accept", "WP03")
    assert [told["state"] for told in here(project)] == ["landed"]


def test_reopened_package_that_brings_nothing_new_is_still_reverted(project):
    merge = landed(project, FEATURE)
    git(project, "revert", "--no-edit", "-m", "1", merge)
    worktree, _ = reopened(project)
    commit(project, DOCS)
    git(worktree, "rebase", "--quiet", "main")  # its branch is where main is, without the feature
    hand_in(project)
    assert "is reverted in main" in refused(project, "not_landed", "accept", "WP03")["cause"]
    git(project, "revert", "--no-edit", "HEAD~1")
    assert done(project, "accept", "WP03")["accepted"] == ["WP03"]


def test_code_that_another_packages_merge_loses_is_reverted(project):
    """No commit of that package takes it out: somebody resolved a conflict in the wrong way."""
    worktree = begun(project)
    commit(worktree, DOCS)
    landed(project, FEATURE)
    git(worktree, "merge", "--quiet", "--no-edit", "--strategy=ours", "main")
    done(project, "mark-status", "T001", "--actor", "ada")
    moved(project, "WP01", "for_review")
    done(project, "merge", "WP01")
    assert [told["state"] for told in here(project)] == ["reverted"]


def test_nothing_begins_upon_reverted_code_and_nothing_of_it_is_pruned(project):
    merge = landed(project, FEATURE, wp_id="WP01")
    git(project, "revert", "--no-edit", "-m", "1", merge)
    error = refused(project, "dependencies_open", "implement", "WP02", "--actor", "bob")
    assert "WP01 is reverted in main by" in error["cause"]
    assert done(project, "implement", "--actor", "bob")["wp_id"] == "WP03"
    ended, answer = work(project, "implement", "--actor", "bob")
    assert (ended.code, answer["ok"], answer["wp_id"]) == (4, False, None)
    why = {one["wp_id"]: one["why"] for one in answer["waiting"]}
    assert why["WP03"] == "it is in doing, with bob"
    assert "WP01 is reverted in main by" in why["WP02"]
    kept = done(project, "merge")["kept"]
    assert "reverted in main by" in kept[0]["reason"]
    git(project, "revert", "--no-edit", "HEAD")
    done(project, "implement", "WP02", "--actor", "bob")


def test_orchestrator_begins_nothing_upon_reverted_code(make):
    project = make({"WP01": [], "WP02": ["WP01"]})
    assert orchestrate(project, "--feature", SLUG).code == 0
    first = git(project.folder, "log", "--merges", "--format=%H", "--grep=WP01", "-1")
    moved(project.folder, "WP02", "doing", actor="orchestrate", reason="again")
    moved(project.folder, "WP02", "planned", "--force", reason="to an agent")
    git(project.folder, "revert", "--no-edit", "-m", "1", first)
    ended = orchestrate(project)
    assert ended.code == 1
    assert "reverted in main by" in ended.out + ended.err
    assert project.lanes() == {"WP01": "done", "WP02": "planned"}


def test_orchestrator_sends_back_what_it_would_merge_in_part(make):
    project = make({"WP01": []})
    assert orchestrate(project).code == 0
    merge = git(project.folder, "rev-parse", "HEAD")
    git(project.folder, "revert", "--no-edit", "-m", "1", merge)
    revert = git(project.folder, "rev-parse", "HEAD")
    moved(project.folder, "WP01", "doing", actor="coder", reason="it broke the build")
    moved(project.folder, "WP01", "planned", "--force", reason="to an agent")
    fix = [["write", "fix.py", "fix\n"], ["commit", "Fix it"]]
    merge = ["run", "git", "merge", "--quiet", "--no-edit", "main"]
    back = [merge, ["run", "git", "revert", "--no-edit", revert]]
    project.tell(WP01=[DO, fix, back])
    ended = orchestrate(project).done()
    assert "handed in of it before would still be missing in main" in ended.err
    assert {"WP01.txt", "fix.py"} <= {path.name for path in project.folder.iterdir()}
    assert done(project.folder, "status")["here"]["landed"][0]["state"] == "landed"
