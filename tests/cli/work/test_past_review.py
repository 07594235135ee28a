"""No agent lands or closes a package, and code that came to the target past review is told."""

import pytest
from tests.cli.installed import THENCE
from tests.cli.warm import warm as thence
from tests.cli.work.orchestra import DO, SLUG, orchestrate
from tests.cli.work.three_packages import as_agent, begun, done
from tests.git.repositories import commit, git

pytestmark = pytest.mark.promise("L9")
PAST_US = ["run", "env", "-u", "THENCE_RUN", str(THENCE), "work"]
SEND_BACK = [["verdict", "send back: it is wrong"]]
EARLY = "its code is in main, and it is not done"


def test_agent_does_not_merge_its_package(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",), send_backs=0)
    merging = ["run", str(THENCE), "work", "merge", "WP01", "--feature", SLUG]
    project.tell(WP01=[[*DO, merging]], WP01__review=[SEND_BACK])
    ended = orchestrate(project)
    assert ended.code == 1
    assert not git(project.folder, "ls-tree", "main", "WP01.txt")
    assert project.lanes() == {"WP01": "doing"}
    errors = [each["payload"]["error_message"] for each in project.events("ErrorLogged")]
    assert any("no agent merges a package" in each for each in errors), errors


def test_agent_closes_nothing_and_begins_no_orchestration(in_review):
    folder = in_review.folder
    for command, guard in (
        (("merge", "WP01"), "merged_by_an_agent"),
        (
            ("move-task", "WP01", "--to", "rejected", "--force", "--reason", "x"),
            "closed_by_an_agent",
        ),
        (("orchestrate",), "run_by_an_agent"),
    ):
        error = as_agent(folder, *command)
        assert error["guard"] == guard
        assert "--force" not in error["hint"]
    thence("work", "merge", "--dry-run", cwd=folder, env={"THENCE_RUN": "0" * 32}).done()
    done(folder, "merge", "WP01")
    for command in (("accept", "WP01"), ("move-task", "WP01", "--to", "done")):
        assert (
            as_agent(folder, *command, "--force", "--reason", "x")["guard"] == "closed_by_an_agent"
        )
    assert in_review.lanes() == {"WP01": "for_review"}


def test_agent_without_the_variable_that_merges_past_review_is_told_of(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",), send_backs=0)
    merging = [*PAST_US, "merge", "WP01", "--feature", SLUG]
    project.tell(WP01=[[*DO, merging]], WP01__review=[SEND_BACK])
    ended = orchestrate(project)
    assert ended.code == 1
    assert git(project.folder, "show", "main:WP01.txt") == "done"
    assert project.lanes() == {"WP01": "doing"}
    assert EARLY in thence("work", "status", cwd=project.folder).out
    (early,) = done(project.folder, "status")["here"]["in_target_before_done"]
    assert (early["wp_id"], early["target"]) == ("WP01", "main")


def test_package_that_took_the_target_over_and_made_nothing_has_no_code_there(make):
    project = make({"WP01": []})
    worktree = begun(project.folder)
    commit(project.folder, {"other": "1\n"})
    git(worktree, "merge", "--quiet", "main")
    told = thence("work", "status", cwd=project.folder)
    assert (told.code, EARLY in told.out) == (0, False)
