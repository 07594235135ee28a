"""Each guard, met by the installed command: nothing changes, and what to do is told."""

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.work.repositories import commit, git, make_repository

SLUG = "001-sync"
TASKS = b"""# Tasks

## Work Package WP01: The outbox

### Included Subtasks
- [ ] T001 Keep it

## Work Package WP02: The sender

### Dependencies
- Depends on WP01

## Work Package WP03: The page
"""


def work(folder, *arguments):
    ended = warm("work", *arguments, "--json", cwd=folder)
    return ended, json.loads(ended.out)


def done(folder, *arguments):
    ended, told = work(folder, *arguments)
    assert ended.code == 0, ended.err
    return told


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A project with three packages, all planned."""
    folder = make_repository(tmp_path_factory.mktemp("guards") / "sync")
    done(folder, "init")
    done(folder, "setup-spec", "Sync")
    (folder / "kitty-specs" / SLUG / "tasks.md").write_bytes(TASKS)
    done(folder, "finalize-tasks")
    return folder


@pytest.fixture
def project(planned, tmp_path):
    return shutil.copytree(planned, tmp_path / "sync", symlinks=True)


def looks(folder):
    """Return all that a refused command must leave as it was."""
    return (
        done(folder, "status")["features"],
        git(folder, "for-each-ref"),
        git(folder, "status", "--porcelain"),
        (folder / "kitty-specs" / SLUG / "tasks.md").read_bytes(),
    )


def refused(folder, guard, *arguments):
    """Run a command that a guard stands against; return its error."""
    before = looks(folder)
    failures = logged(folder)
    ended, told = work(folder, *arguments)
    assert ended.code == 1
    error = told["error"]
    assert (error["code"], error["guard"]) == ("refused", guard)
    assert error["hint"]
    assert len(ended.err.splitlines()) == 3
    assert looks(folder) == before
    last = done(folder, "errors", "--limit", "1")["errors"][0]
    assert last["error_type"] == guard
    assert last["context"]["remedy"] == error["hint"]
    *known, event = logged(folder)
    assert known == failures, "it is told by one event"
    assert event["event_id"] == last["error_id"]
    assert event["payload"]["error_type"] == "validation"
    assert error["cause"] in event["payload"]["error_message"]
    return error


def logged(folder):
    """Return the failures that the journal tells of."""
    lines = warm("log", "--type", "ErrorLogged", "--json", cwd=folder).out.splitlines()
    return [json.loads(line) for line in lines]


def begun(folder, wp_id="WP01", actor="ada"):
    return done(folder, "implement", wp_id, "--actor", actor)["worktree"]


def reviewed(folder):
    worktree = Path(begun(folder))
    commit(worktree, {"outbox.py": "kept\n"})
    done(folder, "mark-status", "T001", "--actor", "ada")
    done(folder, "move-task", "WP01", "--to", "for_review", "--actor", "ada")
    return worktree


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
