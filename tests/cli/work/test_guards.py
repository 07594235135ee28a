"""Each guard, met by the installed command: nothing changes, and what to do is told."""

from pathlib import Path

import pytest
from tests.cli.work.three_packages import begun, done, refused, reviewed
from tests.git.repositories import commit


@pytest.mark.promise("L8")
def test_work_waits_for_what_it_depends_on_unless_it_is_forced_with_a_reason(project):
    error = refused(project, "dependencies_open", "implement", "WP02")
    assert "WP01 (planned)" in error["cause"]
    forced = ("move-task", "WP02", "--to", "doing", "--force")
    refused(project, "reason_missing", *forced)
    told = done(project, *forced, "--reason", "the interface is agreed")
    assert told["overruled"] == ["dependencies_open"]


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


@pytest.mark.promise("L9")
def test_done_waits_for_the_merge_and_for_every_gate(project):
    reviewed(project)
    refused(project, "not_landed", "accept", "WP01")
    done(project, "merge", "WP01")
    done(project, "move-task", "WP01", "--gate", "CI_CHECK=pending")
    done(project, "move-task", "WP01", "--gate", "MANUAL_REVIEW=passed")
    error = refused(project, "gates_open", "accept", "WP01")
    assert "CI_CHECK" in error["cause"]
    done(project, "move-task", "WP01", "--gate", "CI_CHECK=failed")
    refused(project, "gates_open", "accept", "WP01")
    done(project, "move-task", "WP01", "--gate", "CI_CHECK=passed")
    assert done(project, "accept", "WP01")["accepted"] == ["WP01"]
