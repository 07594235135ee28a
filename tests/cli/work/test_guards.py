"""Each guard, met by the installed command: nothing changes, and what to do is told."""

from pathlib import Path

import pytest
from tests.cli.work.three_packages import begun, done, refused, reviewed
from tests.git.repositories import commit


@pytest.mark.promise("L8")
def test_moves_that_the_matrix_lacks_and_lanes_that_nobody_knows(project):
    refused(project, "not_in_lane", "move-task", "WP01", "--to", "done")
    refused(project, "unknown_lane", "move-task", "WP01", "--to", "nearly")


@pytest.mark.promise("L8")
def test_work_waits_for_what_it_depends_on_unless_it_is_forced_with_a_reason(project):
    error = refused(project, "dependencies_open", "implement", "WP02")
    assert "WP01 (planned)" in error["cause"]
    forced = ("move-task", "WP02", "--to", "doing", "--force")
    refused(project, "reason_missing", *forced)
    told = done(project, *forced, "--reason", "the interface is agreed")
    assert told["overruled"] == ["dependencies_open"]


@pytest.mark.promise("L8")
def test_package_of_another_agent_stays_with_that_agent(project):
    begun(project, "WP03", "ada")
    refused(project, "not_in_lane", "implement", "WP03", "--actor", "bob")
    error = refused(
        project, "not_its_agent", "move-task", "WP03", "--to", "for_review", "--actor", "bob"
    )
    assert "ada" in error["cause"]


@pytest.mark.promise("L8")
def test_review_waits_for_subtasks_commits_and_a_clean_worktree(project):
    worktree = Path(begun(project))
    to_review = ("move-task", "WP01", "--to", "for_review", "--actor", "ada")
    refused(project, "subtasks_open", *to_review)
    done(project, "mark-status", "T001", "--actor", "ada")
    refused(project, "nothing_committed", *to_review)
    (worktree / "outbox.py").write_text("half done\n")
    refused(project, "worktree_dirty", *to_review)
    commit(worktree, {"outbox.py": "kept\n"})
    assert done(project, *to_review)["to"] == "for_review"


@pytest.mark.promise("L8")
def test_send_back_needs_to_say_what_has_to_change(project):
    reviewed(project)
    back = ("move-task", "WP01", "--to", "doing")
    refused(project, "reason_missing", *back)
    told = done(project, *back, "--reason", "the kill test is missing")
    assert told["to"] == "doing"
    done(project, "move-task", "WP01", "--to", "rejected", "--reason", "not needed")
    refused(project, "reason_missing", "move-task", "WP01", "--to", "planned")
    done(project, "move-task", "WP01", "--to", "planned", "--reason", "needed after all")


@pytest.mark.promise("L9")
def test_done_waits_for_the_merge_and_for_every_gate(project):
    reviewed(project)
    refused(project, "not_landed", "accept", "WP01")
    done(project, "merge", "WP01")
    done(project, "gate", "WP01", "CI_CHECK")
    done(project, "gate", "WP01", "MANUAL_REVIEW", "passed")
    error = refused(project, "gates_open", "accept", "WP01")
    assert "CI_CHECK" in error["cause"]
    done(project, "gate", "WP01", "CI_CHECK", "failed")
    refused(project, "gates_open", "accept", "WP01")
    done(project, "gate", "WP01", "CI_CHECK", "passed")
    assert done(project, "accept", "WP01")["accepted"] == ["WP01"]


@pytest.mark.promise("L14")
def test_somebody_who_was_slower_is_told(project):
    begun(project, "WP03", "ada")
    error = refused(
        project,
        "not_in_lane",
        "move-task",
        "WP03",
        "--to",
        "doing",
        "--force",
        "--reason",
        "mine",
        "--actor",
        "bob",
    )
    assert "with ada" in error["cause"]
