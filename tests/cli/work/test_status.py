"""`work status`: the features that it shows, and what it leaves alone."""

from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import SLUG, done, finalized_project
from tests.git.repositories import commit, git, make_repository

from thence.work import EventStore, WorkEvent

TASKS = "\n".join(f"## Work Package WP{n:02}: No {n}\n" for n in range(1, 4))


def test_of_a_few_features_those_that_nobody_has_begun_are_shown_too(tmp_path):
    repo = finalized_project(tmp_path / "r", TASKS)
    done(repo, "implement", "WP01")
    done(repo, "setup-spec", "Other")
    done(repo, "finalize-tasks", "--add", "Vouchers")
    lines = done(repo, "status").lines
    assert "  planned     WP01  Vouchers" in lines
    assert "  planned     WP02  No 2" in lines


@pytest.mark.promise("L15")
def test_status_begins_with_what_waits_for_you_and_what_blocks_most(tmp_path):
    """Ann's own work, what is approved, and the reviews that nobody else has."""
    tasks = [f"## Work Package WP{n:02}: No {n}\n" for n in range(1, 8)]
    tasks += ["### Dependencies\n- Depends on WP01\n"]  # of WP07
    repo = finalized_project(tmp_path / "r", "\n".join(tasks))
    for number, actor in enumerate(("ann", "ben", "ben", "ann", "ben"), 1):
        wp_id = f"WP{number:02}"
        tree = Path(done(repo, "implement", wp_id, "--actor", actor, "--json").json["worktree"])
        if number > 1:
            commit(tree, {f"{wp_id}.py": "x\n"})
            done(repo, "move-task", wp_id, "--to", "for_review", "--actor", actor)
    done(repo, "add-history", "WP03", "approved", "--type", "review", "--actor", "eve")
    with EventStore.at(repo) as store:
        review = {"wp_id": "WP05", "agent_id": "eve", "phase": "review"}
        store.append(WorkEvent("WPAssigned", review, SLUG))
    ended = done(repo, "status", "--actor", "ann", "--json").json
    waiting = [(one["wp_id"], one["state"]) for one in ended["here"]["waits_for_you"]]
    assert waiting == [("WP01", "in doing"), ("WP02", "in review"), ("WP03", "approved")]
    about = {"feature_slug": SLUG, "wp_id": "WP01", "waiting": 1}
    assert ended["here"]["blocks_most"] == [about]
    heads = [f"{wp_id} of {SLUG} ({state})" for wp_id, state in waiting]
    lines = done(repo, "status", "--actor", "ann").lines
    asked = f"waits for you: {', '.join(heads)}"
    assert lines[1:3] == [asked, f"blocks most: WP01 of {SLUG} (1 package)"]
    lines = done(repo, "status", "--actor", "eve").lines
    assert f"WP05 of {SLUG} (in review)" in lines[1], "it was given to eve"


def test_refused_command_where_no_project_is_makes_no_journal(tmp_path):
    repo = make_repository(tmp_path / "r")
    for arguments in (("move-task", "WP01", "--to", "doing"), ("merge",), ("implement", "WP01")):
        assert warm("work", *arguments, cwd=repo).code in (1, 2)
    assert list((repo / ".git").rglob("events.jsonl")) == []
    assert git(repo, "status", "--porcelain") == ""


def test_refused_command_before_the_first_commit_makes_no_journal(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert warm("work", "move-task", "WP01", "--to", "doing", cwd=tmp_path).code in (1, 2)
    assert list((tmp_path / ".git").rglob("events.jsonl")) == []
