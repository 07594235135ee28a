"""A merge that meets a conflict changes nothing, and says where to resolve it."""

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import finalized_project
from tests.cli.work.three_packages import SLUG, begun, done, lanes, moved, plan, work
from tests.git.repositories import commit, git
from tests.work.boards import on_remote

from thence.work import EventStore, WorkEvent
from thence.work.board.board import fold


@pytest.fixture
def project(tmp_path):
    """WP01 and WP03 change the same line; both are on their branches."""
    folder = plan(tmp_path / "sync", {"shared.txt": "as it was\n"})
    for wp_id in ("WP01", "WP03"):
        commit(begun(folder, wp_id, "Ada"), {"shared.txt": f"as {wp_id} has it\n"})
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
    switch = "or, if that accepts only pull requests: thence work setup-spec --land pull-request\n"
    assert told + switch in ended.out
    git(project, *told.partition("next: git ")[2].split())
    assert done(project, "merge", "WP01")["not_pushed_to"] is None


@pytest.fixture
def team(tmp_path):
    """WP01 of ann is in review, WP03 of ben half done, WP04 of cleo begun, WP05 of lead ready."""
    tasks = "\n\n".join(f"## Work Package WP0{number}: Do it" for number in range(1, 6))
    folder = finalized_project(tmp_path / "sync", f"# Tasks\n\n{tasks}\n")
    for wp_id, actor, files in (
        ("WP01", "ann", {"a.txt": "a\n"}),
        ("WP03", "ben", {"b.txt": "wip\n"}),
        ("WP04", "cleo", {}),
        ("WP05", "lead", {"e.txt": "e\n"}),
    ):
        worktree = begun(folder, wp_id, actor)
        if files:
            commit(worktree, files)
    moved(folder, "WP01", "for_review", actor="ann")
    return folder


@pytest.mark.promise("S1")
def test_plain_merge_takes_what_is_in_review_and_the_actors_own(team):
    worktree = team / f".worktrees/{SLUG}-WP05"
    (worktree / "left.txt").write_text("x")
    told = done(team, "merge", "--actor", "lead")
    assert (told["merged"], told["moved"]) == ([f"{SLUG}-WP01"], []), "WP05 holds up nobody"
    assert told["stays"]["WP03"] == "ben is working on it"
    assert told["stays"]["WP04"] == "cleo is working on it"
    assert "holds changes that are not committed" in told["stays"]["WP05"]
    commit(worktree, {"left.txt": "x"})
    told = done(team, "merge", "--actor", "lead")
    assert told["moved"] == ["WP05"]
    assert lanes(team)["WP03"] == "doing"
    assert not (team / "b.txt").exists()
    assert done(team, "merge", "--actor", "cleo")["stays"]["WP04"] == "it has no commit of its own"
    told = work(team, "merge", "WP03", "--actor", "lead")[1]
    assert told["error"]["guard"] == "not_its_agent", "as move-task"
    forced = ("--actor", "lead", "--force", "--reason", "ben is away")
    assert done(team, "merge", "WP03", *forced)["moved"] == ["WP03"]
    assert set(done(team, "accept")["accepted"]) == {"WP01", "WP03", "WP05"}


@pytest.mark.promise("S1")
def test_merge_accepts_what_was_approved_and_has_landed(team, tmp_path):
    approval = {"wp_id": "WP01", "entry_type": "review", "entry_content": "approved"}
    with EventStore.at(team, actor="eve") as store:
        store.append(WorkEvent("HistoryAdded", approval, SLUG))
    assert lanes(team)["WP01"] == "approved"
    remote = on_remote(team, tmp_path / "hub.git")
    told = done(team, "merge", "--actor", "lead")
    assert (told["accepted"], told["not_pushed_to"]) == ([], "origin/main"), "not pushed yet"
    assert lanes(team) | {"WP01": "approved", "WP05": "for_review"} == lanes(team)
    git(team, "push", "--quiet", "origin", "main")
    assert remote.exists()
    told = done(team, "merge", "--actor", "lead")
    assert told["accepted"] == ["WP01"]
    assert lanes(team) | {"WP01": "done", "WP05": "for_review"} == lanes(team), "no verdict"


@pytest.mark.promise("S1")
def test_merge_leaves_an_approved_package_in_review_whose_gate_is_open(team):
    done(team, "add-history", "WP01", "approved", "--type", "review", "--actor", "eve")
    done(team, "move-task", "WP01", "--gate", "CI_CHECK=pending", "--actor", "lead")
    told = done(team, "merge", "WP01", "--actor", "lead")
    assert (told["merged"], told["accepted"]) == ([f"{SLUG}-WP01"], [])
    assert lanes(team)["WP01"] == "approved"


@pytest.mark.promise("L15")
def test_plain_accept_takes_all_that_landed_and_keeps_the_rest(team):
    done(team, "move-task", "WP03", "--to", "for_review", "--actor", "ben")
    done(team, "merge", "WP01")
    done(team, "move-task", "WP05", "--to", "for_review", "--actor", "lead")
    done(team, "merge", "WP05")
    told = done(team, "accept")
    assert told["accepted"] == ["WP01", "WP05"]
    assert [one["wp_id"] for one in told["kept"]] == ["WP03"]
    assert lanes(team)["WP03"] == "for_review"
    ended, told = work(team, "accept")
    assert (ended.code, told["accepted"]) == (1, []), "nothing that it could take"


@pytest.mark.promise("L15")
@pytest.mark.parametrize("lane", ["planned", "doing", "for_review", "rejected", "done"])
def test_what_was_done_by_hand_is_one_command_from_every_lane(team, lane):
    head = commit(team, {"by_hand.txt": "x\n"}) or git(team, "rev-parse", "HEAD")
    moves = {"planned": (), "doing": ("doing",), "for_review": ("doing", "for_review")}
    moves |= {"rejected": ("rejected",), "done": ("doing", "for_review", "done")}
    for to in moves[lane]:
        done(team, "move-task", "WP02", "--to", to, "--force", "--reason", "x", "--actor", "ada")
    reason = ("--reason", "after all") if lane == "rejected" else ()
    told = done(team, "accept", "WP02", "--landed", "HEAD", "--actor", "ada", *reason)
    assert told["accepted"] == ["WP02"]
    with EventStore.at(team) as store:
        package = fold(store.read()).package(SLUG, "WP02")
    assert (package.lane, package.agent) == ("done", "ada")
    assert (package.landed.how, package.landed.commit) == ("stated", git(team, "rev-parse", head))


@pytest.mark.promise("L8")
def test_accept_by_hand_is_all_or_nothing(team):
    for arguments in (("WP02",), ("WP03", "--no-code", "talk"), ("WP04", "--no-code", "talk")):
        before = lanes(team)
        ended, told = work(team, "accept", *arguments, "--actor", "lead")
        assert (ended.code, told["error"]["code"]) == (1, "refused"), told
        assert lanes(team) == before
    assert done(team, "accept", "WP02", "--no-code", "talk", "--actor", "lead")["accepted"]
