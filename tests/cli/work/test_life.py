"""A package's life beside the way to done: given back, taken over, reopened, and cleared away."""

import json
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.cli.warm import warm
from tests.cli.work.orchestra import DO, orchestrate
from tests.cli.work.three_packages import SLUG, begun, done, handed_in, moved, refused, work
from tests.git.repositories import commit, git

pytestmark = pytest.mark.promise("L17")
BRANCH = f"{SLUG}-WP03"
FORCED = "--force"


def package(folder, wp_id="WP03"):
    """Return a package with its lane, as the board has it."""
    (feature,) = done(folder, "status")["features"]
    for lane, those in feature["lanes"].items():
        for each in those:
            if each["wp_id"] == wp_id:
                return lane, each["agent"]
    raise AssertionError(wp_id)


def finished(folder):
    """Bring WP03 to done, merged."""
    worktree = handed_in(folder)
    done(folder, "merge", "WP03", "--actor", "bob")
    if package(folder)[0] != "done":
        done(folder, "accept", "WP03", "--actor", "bob")
    return worktree


def test_released_package_is_free_and_who_takes_it_goes_on_in_its_worktree(project):
    worktree = begun(project, "WP03")
    (worktree / "half.py").write_text("half done\n")
    error = refused(
        project, "not_its_agent", "move-task", "WP03", "--to", "planned", "--actor", "bob"
    )
    assert "ada" in error["cause"]
    done(project, "move-task", "WP03", "--to", "planned", "--actor", "ada")
    assert package(project) == ("planned", None)
    assert begun(project, "WP03", "bob") == worktree
    assert (worktree / "half.py").read_text() == "half done\n"
    assert package(project) == ("doing", "bob")


def test_package_that_was_given_back_is_not_merged(project):
    commit(begun(project, "WP03"), {"page.py": "half a page\n"})
    done(project, "move-task", "WP03", "--to", "planned", "--actor", "ada")
    main = git(project, "rev-parse", "main")
    refused(project, "not_in_lane", "merge", "WP03")
    assert git(project, "rev-parse", "main") == main


def test_somebody_else_releases_by_force_and_a_reason_and_only_what_is_in_doing(project):
    refused(project, "not_in_lane", "move-task", "WP03", "--to", "planned")
    begun(project, "WP03")
    told = moved(project, "WP03", "planned", "--force", actor="bob", reason="ada is on holiday")
    assert (told["to"], told["overruled"]) == ("planned", ["not_its_agent"])


def test_reopened_package_needs_a_reason_and_gets_its_worktree_again(project):
    finished(project)
    refused(project, "reason_missing", "move-task", "WP03", "--to", "doing", "--actor", "bob")
    moved(project, "WP03", "doing", actor="bob", reason="it was reverted")
    assert package(project) == ("doing", "bob")
    assert "next: thence work implement WP03" in thence("work", "status", cwd=project).out
    assert begun(project, "WP03", "bob").is_dir()
    assert "next:" not in thence("work", "status", cwd=project).out


def test_package_is_taken_over_and_who_had_it_learns_it(project):
    worktree = begun(project, "WP03")
    assert (
        "with ada"
        in refused(project, "not_in_lane", "implement", "WP03", "--actor", "bob")["cause"]
    )
    taken = done(project, "implement", "WP03", "--actor", "bob", "--take-over")
    assert Path(taken["worktree"]) == worktree
    assert package(project) == ("doing", "bob")
    assert (
        "with bob"
        in refused(project, "not_in_lane", "implement", "WP03", "--actor", "ada")["cause"]
    )
    for lane in ("for_review", "planned"):
        command = ("move-task", "WP03", "--to", lane, "--actor", "ada")
        error = refused(project, "not_its_agent", *command)
        assert "WP03 is the work of bob, not ada" in error["cause"]
        assert "--actor" not in error["hint"], "nobody is told to take another's name"
    commit(worktree, {"page.py": "a page\n"})
    done(project, "move-task", "WP03", "--to", "for_review", "--actor", "bob")


def test_taking_over_rests_on_what_it_takes_over_and_changes_nothing_of_ones_own(project):
    begun(project, "WP03")
    before = len(thence("log", "--json", cwd=project).out.splitlines())
    done(project, "implement", "WP03", "--actor", "ada", "--take-over")
    assert len(thence("log", "--json", cwd=project).out.splitlines()) == before
    done(project, "implement", "WP03", "--actor", "bob", "--take-over")
    lines = thence("log", "--json", cwd=project).out.splitlines()
    events = {each["event_id"]: each for each in map(json.loads, lines)}
    (assigned,) = [each for each in events.values() if each["event_type"] == "WPAssigned"]
    assert assigned["payload"]["agent_id"] == "bob"
    causes = [events[each] for each in assigned["caused_by"] if each in events]
    assert "doing" in [each["payload"].get("new_status") for each in causes]


def test_landed_package_is_cleared_away_after_a_dry_run_has_told_so(project):
    worktree = finished(project)
    told = done(project, "merge", "--dry-run")
    assert ([each["wp_id"] for each in told["cleared"]], told["kept"]) == (["WP03"], [])
    assert worktree.is_dir()
    done(project, "merge")
    assert not worktree.exists()
    assert git(project, "branch", "--list", BRANCH) == ""
    assert f"refs/thence/reviewed/{SLUG}/WP03" in git(project, "for-each-ref")
    assert done(project, "status")["here"]["landed"][0]["state"] == "landed"
    assert work(project, "merge")[1]["error"]["cause"].startswith("there is nothing to merge")
    assert git(project, "status", "--porcelain") == ""


def test_ignored_files_that_go_with_a_worktree_are_counted_first(project):
    commit(project, {".gitignore": ".worktrees/\nresults/\n*.db\n.env\n"})
    worktree = finished(project)
    for name in ("results/1/a.txt", "results/b.txt", "run.db", ".env", "more.db"):
        (worktree / name).parent.mkdir(parents=True, exist_ok=True)
        (worktree / name).write_text("mine\n")
    ignored = [".env", "more.db", "results/", "run.db"]
    (gone,) = done(project, "merge", "--dry-run")["cleared"]
    assert gone["ignored"] == ignored
    said = thence("work", "merge", cwd=project).out
    assert "are gone, with 4 ignored paths: .env, more.db, results/, …\n" in said


def test_merge_of_named_packages_clears_only_these_and_merges_none_again(project):
    worktree = finished(project)
    main = git(project, "rev-parse", "main")
    done(project, "implement", "WP01", "--actor", "bob")
    told = done(project, "merge", "WP03")
    assert [each["wp_id"] for each in told["cleared"]] == ["WP03"]
    assert git(project, "rev-parse", "main") == main
    assert not worktree.exists()


@pytest.mark.parametrize("what", ["uncommitted", "later", "reset", "here"])
@pytest.mark.whole(rows=3)
def test_nothing_is_cleared_away_that_is_nowhere_else(project, what):
    worktree = finished(project)
    words = {
        "uncommitted": "uncommitted",
        "later": "not in main",
        "reset": "not landed",
        "here": "in its worktree",
    }[what]
    if what == "uncommitted":
        (worktree / "notes.txt").write_text("mine\n")
    elif what == "later":
        commit(worktree, {"more.py": "more\n"})
    elif what == "reset":
        git(project, "reset", "--quiet", "--hard", "HEAD~1")
    tip = git(project, "rev-parse", BRANCH)
    told = done(worktree if what == "here" else project, "merge")
    assert told["cleared"] == []
    assert words in told["kept"][0]["reason"]
    assert worktree.is_dir()
    assert git(project, "rev-parse", BRANCH) == tip


def test_force_is_offered_to_people_alone(project):
    begun(project, "WP03")
    command = ("move-task", "WP03", "--to", "for_review", "--actor", "bob")
    assert FORCED in work(project, *command)[1]["error"]["hint"]
    ended = warm("work", *command, "--json", cwd=project, env={"THENCE_RUN": "1"})
    error = json.loads(ended.out)["error"]
    assert (error["guard"], FORCED in error["hint"]) == ("not_its_agent", False)
    assert FORCED not in (project / "AGENTS.md").read_text()


def test_send_backs_are_limited_by_an_option_and_another_start_counts_afresh(make):
    back = [["verdict", "send back: not yet"]]
    approve = [["verdict", "approve"]]
    agents = {"agents": ("coder", "critic"), "review": ("critic",)}
    project = make({"WP01": []}, **agents, send_backs=0)
    project.tell(
        WP01=[DO, [["write", "b.txt", "b\n"], ["commit", "b"]]], WP01__review=[back, approve]
    )
    ended = orchestrate(project)
    assert (ended.code, "was sent back 1 times" in ended.out) == (1, True), ended.out
    assert "times sent back: 1: not yet" in thence("work", "status", cwd=project.folder).out
    assert orchestrate(project).code == 0
