"""`work status`: beside the board it tells which packages at work change the same files."""

from pathlib import Path

from tests.cli.warm import warm
from tests.cli.work.projects import SLUG, done, finalized_project
from tests.git.repositories import commit, git, make_repository

TASKS = "\n".join(f"## Work Package WP{n:02}: No {n}\n" for n in range(1, 4))


def test_packages_that_changed_the_same_files_are_told_while_they_are_at_work(tmp_path):
    repo = finalized_project(tmp_path / "r", TASKS)
    folders = []
    for number in (1, 2, 3):
        ended = done(repo, "implement", f"WP{number:02}", "--json")
        folders.append(Path(ended.json["worktree"]))
        assert done(repo, "status", "--json").json["here"]["overlaps"] == []
    commit(folders[0], {"README.md": "one\n", **{f"f{n}": "1\n" for n in range(5)}})
    commit(folders[1], {"README.md": "two\n"})
    commit(folders[2], {f"f{n}": "3\n" for n in range(5)})
    here = done(repo, "status", "--json").json["here"]
    files = [f"f{n}" for n in range(5)]
    slug = {"feature_slug": SLUG}
    assert here["overlaps"] == [
        slug | {"first": "WP01", "second": "WP02", "files": ["README.md"]},
        slug | {"first": "WP01", "second": "WP03", "files": files},
    ]
    lines = done(repo, "status").lines
    assert "  WP01 and WP02 both change README.md" in lines
    assert "  WP01 and WP03 both change f0, f1, f2 and 2 more" in lines
    done(repo, "move-task", "WP02", "--to", "rejected", "--reason", "later")
    here = done(repo, "status", "--json").json["here"]
    assert [each["second"] for each in here["overlaps"]] == ["WP03"]


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
