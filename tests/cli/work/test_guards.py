"""Each guard, met by the installed command: nothing changes, and what to do is told."""

import pytest
from tests.cli.work.three_packages import begun, done, refused
from tests.git.repositories import commit


@pytest.mark.promise("L8")
def test_review_waits_for_subtasks_commits_and_a_clean_worktree(project):
    worktree = begun(project)
    to_review = ("move-task", "WP01", "--to", "for_review", "--actor", "ada")
    refused(project, "subtasks_open", *to_review)
    done(project, "mark-status", "T001", "--actor", "ada")
    refused(project, "nothing_committed", *to_review)
    (worktree / "outbox.py").write_text("half done\n")
    refused(project, "worktree_dirty", *to_review)
    commit(worktree, {"outbox.py": "kept\n"})
    assert done(project, *to_review)["to"] == "for_review"
