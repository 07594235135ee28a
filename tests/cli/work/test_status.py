"""`work status`: the features that it shows, and what it leaves alone."""

from tests.cli.warm import warm
from tests.cli.work.projects import done, finalized_project
from tests.git.repositories import git, make_repository

TASKS = "\n".join(f"## Work Package WP{n:02}: No {n}\n" for n in range(1, 4))


def test_of_a_few_features_those_that_nobody_has_begun_are_shown_too(tmp_path):
    repo = finalized_project(tmp_path / "r", TASKS)
    done(repo, "implement", "WP01")
    done(repo, "setup-spec", "Other")
    done(repo, "finalize-tasks", "--add", "Vouchers")
    lines = done(repo, "status").lines
    assert "  planned     WP01  Vouchers" in lines
    assert "  planned     WP02  No 2" in lines


def test_refused_command_where_no_project_is_makes_no_journal(tmp_path):
    repo = make_repository(tmp_path / "r")
    for arguments in (("move-task", "WP01", "--to", "doing"), ("merge",), ("implement", "WP01")):
        assert warm("work", *arguments, cwd=repo).code in (1, 2)
    assert list((repo / ".git").rglob("events.jsonl")) == []
    assert git(repo, "status", "--porcelain") == ""
