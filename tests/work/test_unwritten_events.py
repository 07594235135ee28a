"""A journal that can't be written keeps nobody from work; the same command records it later."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.cli.warm import warm
from tests.cli.work.projects import TASKS, finalized_project
from tests.git.repositories import commit, git
from tests.work.boards import NAMED

from thence.work.project.project import find_project


@pytest.fixture
def project(tmp_path):
    return finalized_project(tmp_path / "sync", files=NAMED)


def work(folder, *arguments, **more):
    run = thence if more else warm
    ended = run("work", *arguments, "--json", cwd=folder, **more)
    return ended, json.loads(ended.out)


class Unwritable:
    """Takes the right to write from a journal for a while."""

    def __init__(self, folder: Path) -> None:
        home = find_project(folder).home
        self._paths = [home, *home.rglob("*")]
        self._modes = [path.stat().st_mode for path in self._paths]

    def __enter__(self) -> None:
        for path, mode in zip(self._paths, self._modes, strict=True):
            path.chmod(mode & ~0o222)

    def __exit__(self, *_: object) -> None:
        for path, mode in zip(self._paths, self._modes, strict=True):
            path.chmod(mode)


def unwritten(folder, *command):
    """Run a command that does its work while the journal can't be written."""
    before = len(events_of(folder))
    with Unwritable(folder):
        ended, told = work(folder, *command, obeys_permissions=True)
    assert (ended.code, told["ok"], told["events"]) == (0, True, "unwritten"), ended.err
    assert "the journal could not be written" in ended.err
    assert "type the same command again" in ended.err
    assert len(ended.out.splitlines()) == 1
    assert len(events_of(folder)) == before
    return told


def events_of(folder):
    ended = warm("log", "--json", cwd=folder)
    return [json.loads(line) for line in ended.out.splitlines()]


def recorded(folder, *command):
    """Run a command again that could not write the journal, and return the events of both.

    It changes nothing in git.
    """
    before, tree = len(events_of(folder)), tree_of(folder)
    ended, _ = work(folder, *command)
    assert ended.code == 0, ended.err
    assert tree_of(folder) == tree
    new = events_of(folder)[before:]
    assert new
    return new


def tree_of(folder):
    return git(folder, "rev-parse", "main^{tree}"), git(folder, "worktree", "list")


@pytest.mark.promise("S2")
def test_spec_and_packages_are_recorded_by_the_same_commands(project):
    spec = ("setup-spec", "Backup")
    told = unwritten(project, *spec)
    (created,) = recorded(project, *spec)
    assert (created["event_type"], created["payload"]["title"]) == ("SpecCreated", "Backup")
    assert created["feature_slug"] == told["feature_slug"] == "002-backup"
    (project / "kitty-specs" / "002-backup" / "tasks.md").write_text(TASKS)
    packages = ("finalize-tasks", "--feature", "2")
    unwritten(project, *packages)
    cut, first, second = recorded(project, *packages)
    assert cut["caused_by"] == [created["event_id"]]
    assert second["caused_by"] == [cut["event_id"], first["event_id"]]  # it depends on it
    _, again = work(project, *spec)
    assert again["feature_slug"] == "003-backup", "another feature of that name is one"


@pytest.mark.promise("S2")
def test_package_that_was_added_is_recorded_by_the_same_command(project):
    command = ("finalize-tasks", "--add", "Read the spec", "--feature", "1")
    told = unwritten(project, *command)
    (created,) = recorded(project, *command)
    assert created["aggregate_id"] == told["wp_id"] == "WP03"
    _, again = work(project, *command)
    assert again["wp_id"] == "WP04", "another package of that title is one"


@pytest.mark.promise("S2")
def test_worktree_that_was_made_is_recorded_by_the_same_command(project):
    command = ("implement", "WP01", "--actor", "ada")
    told = unwritten(project, *command)
    worktree = Path(told["worktree"])
    commit(worktree, {"outbox.py": "kept = 1\n"})
    tip = git(worktree, "rev-parse", "HEAD")
    new = [(e["event_type"], e["aggregate_id"], e["actor"]) for e in recorded(project, *command)]
    assert new == [("WPStatusChanged", "WP01", "ada"), ("WorkspaceCreated", "WP01", "ada")]
    assert git(worktree, "rev-parse", "HEAD") == tip
    ended, _ = work(project, "status")
    assert "half-way" not in ended.err


@pytest.mark.promise("L14")
def test_branch_counts_as_taken_while_the_log_can_not_be_written(project):
    unwritten(project, "implement", "WP01", "--actor", "ada")
    before = events_of(project)
    with Unwritable(project):
        for actor in ("bob", "ada"):
            command = ("implement", "WP01", "--actor", actor)
            ended, told = work(project, *command, obeys_permissions=True)
            assert (ended.code, told["error"]["guard"]) == (1, "branch_exists")
    assert events_of(project) == before
    assert len(recorded(project, "implement", "WP01", "--actor", "bob")) == 2
    ended, told = work(project, "implement", "WP01", "--actor", "ada")
    assert ended.code == 1, "bob's claim is in the log"


@pytest.mark.promise("L14")
def test_of_two_that_begin_at_once_without_a_log_one_has_the_package(project):
    with Unwritable(project), ThreadPoolExecutor(4) as pool:
        ended = pool.map(
            lambda actor: (
                work(project, "implement", "WP01", "--actor", actor, obeys_permissions=True)[0].code
            ),
            ("ada", "bob", "cy", "di"),
        )
        assert sorted(ended) == [0, 1, 1, 1]


@pytest.mark.promise("S2")
def test_merge_is_recorded_by_the_same_command(project):
    _, told = work(project, "implement", "WP01", "--actor", "ada")
    commit(Path(told["worktree"]), {"outbox.py": "kept = 1\n"})
    work(project, "mark-status", "T001")
    command = ("merge", "WP01", "--actor", "ada")
    assert unwritten(project, *command)["moved"] == ["WP01"]
    moved = recorded(project, *command)
    assert moved[0]["payload"]["new_status"] == "for_review"


@pytest.mark.promise("S2")
@pytest.mark.parametrize(
    "command",
    [
        ("add-history", "WP01", "a note"),
        ("mark-status", "T001"),
        ("move-task", "WP01", "--to", "doing"),
        ("move-task", "WP01", "--gate", "CI_CHECK=pending"),
        ("accept", "WP01", "--no-code", "none"),
    ],
)
@pytest.mark.whole(rows=5)
def test_command_that_only_appends_fails_when_it_can_not(project, command):
    if command[0] == "accept":
        work(project, "move-task", "WP01", "--to", "doing")
        work(project, "mark-status", "T001")
        work(project, "move-task", "WP01", "--to", "for_review", "--force", "--reason", "none")
    before, status = events_of(project), git(project, "diff")
    with Unwritable(project):
        ended, told = work(project, *command, obeys_permissions=True)
    assert ended.code == 1
    assert told["error"]["code"] in ("log_read_only", "append_failed"), told
    assert events_of(project) == before
    assert git(project, "diff") == status


@pytest.mark.promise("S2")
def test_guard_refuses_all_the_same(project):
    head = os.listdir(project / ".git" / "refs" / "heads")
    with Unwritable(project):
        ended, told = work(project, "move-task", "WP02", "--to", "doing", obeys_permissions=True)
    assert (ended.code, told["error"]["guard"]) == (1, "dependencies_open")
    assert os.listdir(project / ".git" / "refs" / "heads") == head
