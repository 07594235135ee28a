"""A merge that meets a conflict changes nothing, and says where to resolve it."""

from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.cli.work.three_packages import SLUG, done, lanes, plan, work
from tests.git.repositories import commit, git


@pytest.fixture
def project(tmp_path):
    """WP01 and WP03 change the same line; both are on their branches."""
    folder = plan(tmp_path / "sync", {"shared.txt": "as it was\n"})
    for wp_id in ("WP01", "WP03"):
        worktree = Path(done(folder, "implement", wp_id)["worktree"])
        commit(worktree, {"shared.txt": f"as {wp_id} has it\n"})
    done(folder, "mark-status", "T001")
    return folder


def test_conflict_changes_nothing_and_is_resolved_in_the_worktree_of_its_package(project):
    ended, told = work(project, "merge")
    assert (ended.code, told["error"]["code"]) == (1, "git_failed")
    assert "shared.txt" in told["error"]["cause"]
    assert lanes(project) == {"WP01": "doing", "WP02": "planned", "WP03": "doing"}
    assert (project / "shared.txt").read_text() == "as it was\n"
    assert git(project, "status", "--porcelain") == ""
    done(project, "merge", "WP01")
    worktree = project / f".worktrees/{SLUG}-WP03"
    hint = work(project, "merge")[1]["error"]["hint"]
    assert hint.startswith(f"in {worktree}: git merge main")
    git(worktree, "merge", "main", check=False)
    commit(worktree, {"shared.txt": "as both have it\n"})
    told = done(project, "merge")
    assert told["moved"] == ["WP03"]
    assert lanes(project)["WP03"] == "for_review"
    assert git(project, "status", "--porcelain") == ""
    assert done(project, "accept")["accepted"] == ["WP01", "WP03"]
    assert (project / "shared.txt").read_text() == "as both have it\n"


def test_target_that_is_checked_out_elsewhere_gets_the_merge_there(project, tmp_path):
    git(project, "checkout", "--quiet", "-b", "aside")
    git(project, "worktree", "add", "--quiet", tmp_path / "target ö", "main")
    assert done(project, "merge", "WP01")["moved"] == ["WP01"]
    assert (tmp_path / "target ö" / "shared.txt").read_text() == "as WP01 has it\n"
    assert git(tmp_path / "target ö", "status", "--porcelain") == ""
    assert (project / "shared.txt").read_text() == "as it was\n"
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("theirs", ["main", "release"])
def test_merge_says_that_it_is_not_pushed_where_the_target_has_an_upstream(
    project, tmp_path, theirs
):
    assert done(project, "merge", "WP01")["not_pushed_to"] is None
    git(project, "clone", "--quiet", "--bare", project, tmp_path / "hub.git")
    git(project, "remote", "add", "hub", tmp_path / "hub.git")
    git(project, "push", "--quiet", "--set-upstream", "hub", f"main:{theirs}")
    commit(project / f".worktrees/{SLUG}-WP01", {"more": "1\n"})
    ended = warm("work", "merge", "WP01", cwd=project)
    what = "main" if theirs == "main" else "main:release"
    told = f"merged here, not pushed to hub/{theirs}\nnext: git push hub {what}\n"
    assert told in ended.out
    git(project, *told.partition("next: git ")[2].split())
    assert done(project, "merge", "WP01")["not_pushed_to"] is None
