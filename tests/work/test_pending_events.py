"""A journal that can't be written keeps nobody from their work, and nothing is lost by it."""

import json
import os
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.work.boards import NAMED
from tests.work.repositories import git, make_repository

SLUG = "001-sync"
TASKS = b"""# Tasks

## Work Package WP01: The outbox

### Included Subtasks
- [ ] T001 Keep it

## Work Package WP02: The sender

### Dependencies
- Depends on WP01
"""


@pytest.fixture
def project(tmp_path):
    folder = make_repository(tmp_path / "sync", NAMED)
    work(folder, "init")
    with (folder / ".kittify/config.yaml").open("a") as config:
        config.write("mirror: on\n")
    work(folder, "setup-spec", "Sync")
    (folder / "kitty-specs" / SLUG / "tasks.md").write_bytes(TASKS)
    work(folder, "finalize-tasks")
    return folder


def work(folder, *arguments, **more):
    ended = thence("work", *arguments, "--json", cwd=folder, **more)
    return ended, json.loads(ended.out)


def home_of(folder) -> Path:
    (home,) = [path for path in (folder / ".git" / "thence").iterdir() if path.is_dir()]
    return home


class Unwritable:
    """Takes the right to write from a journal for a while."""

    def __init__(self, folder: Path) -> None:
        self._paths = [home_of(folder), *home_of(folder).rglob("*")]
        self._modes = [path.stat().st_mode for path in self._paths]

    def __enter__(self) -> None:
        for path, mode in zip(self._paths, self._modes, strict=True):
            path.chmod(mode & ~0o222)

    def __exit__(self, *_: object) -> None:
        for path, mode in zip(self._paths, self._modes, strict=True):
            path.chmod(mode)


def events_of(folder):
    ended = thence("log", "--json", cwd=folder)
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.mark.promise("S2")
def test_commands_do_their_work_without_the_journal_and_it_is_told_later(project):
    before = len(events_of(project))
    with Unwritable(project):
        ended, told = work(project, "mark-status", "T001", obeys_permissions=True)
        assert (ended.code, told["ok"], told["events"]) == (0, True, "pending")
        assert "the journal could not be written" in ended.err
        assert len(ended.out.splitlines()) == 1
        assert b"- [x] T001" in (project / "kitty-specs" / SLUG / "tasks.md").read_bytes()
        command = ("implement", "WP01", "--actor", "ada")
        ended, told = work(project, *command, obeys_permissions=True)
        assert (ended.code, told["events"]) == (0, "pending")
        assert (project / ".worktrees" / f"{SLUG}-WP01" / ".git").exists()
        assert len(events_of(project)) == before
    ended, _ = work(project, "status")
    assert "made good" in ended.err
    fresh = events_of(project)[before:]
    assert [(event["event_type"], event["aggregate_id"]) for event in fresh] == [
        ("SubtaskCompleted", "T001"),
        ("WPStatusChanged", "WP01"),
        ("WorkspaceCreated", "WP01"),
    ]
    assert {event["source"] for event in fresh} == {"recovered"}
    assert [event["actor"] for event in fresh[1:]] == ["ada", "ada"], "not of who looks next"
    work(project, "status")
    assert len(events_of(project)) == before + 3, "once"


@pytest.mark.promise("S2")
def test_event_whose_commit_would_change_nothing_is_told_later_all_the_same(project):
    before = len(events_of(project))
    tip = git(project, "rev-parse", "main")
    with Unwritable(project):
        command = ("move-task", "WP01", "--to", "doing", "--actor", "ada")
        ended, told = work(project, *command, obeys_permissions=True)
        assert (ended.code, told["events"]) == (0, "pending")
        ended, _ = work(project, "status", obeys_permissions=True)
        assert ended.code == 0
    assert git(project, "rev-parse", "main") == tip
    ended, told = work(project, "status")
    assert "1 event(s) that could not be written are made good" in ended.err
    (moved,) = events_of(project)[before:]
    assert (moved["actor"], moved["source"]) == ("ada", "recovered")
    assert moved["payload"]["new_status"] == "doing"
    assert [each["wp_id"] for each in told["features"][0]["lanes"]["doing"]] == ["WP01"]
    work(project, "status")
    assert len(events_of(project)) == before + 1, "once"


@pytest.mark.promise("S2")
@pytest.mark.parametrize(
    "command", [("move-task", "WP01", "--to", "doing"), ("mark-status", "T001")]
)
def test_without_a_mirror_a_move_that_can_not_be_told_fails(project, command):
    config = project / ".kittify/config.yaml"
    config.write_text(config.read_text().replace("mirror: on", "mirror: off"))
    before = events_of(project)
    with Unwritable(project):
        ended, told = work(project, *command, obeys_permissions=True)
    assert (ended.code, list(told)) == (1, ["error"])
    work(project, "status")
    assert events_of(project) == before


@pytest.mark.promise("S2")
def test_event_that_waits_in_the_git_folder_goes_into_the_next_commit(project):
    before = len(events_of(project))
    with Unwritable(project):
        work(project, "move-task", "WP01", "--to", "doing", obeys_permissions=True)
        assert list((project / ".git/thence").glob("pending-*.txt"))
        work(project, "add", "More", obeys_permissions=True)
        assert not list((project / ".git/thence").glob("pending-*.txt"))
    message = git(project, "log", "-1", "--format=%B")
    assert message.count("Thence-Pending: ") >= 2
    assert "Thence: add" in message
    work(project, "status")
    assert "WPStatusChanged" in {each["event_type"] for each in events_of(project)[before:]}


@pytest.mark.promise("S2")
def test_move_that_can_be_kept_nowhere_fails(project):
    before = events_of(project)
    shared = project / ".git" / "thence"
    with Unwritable(project):
        shared.chmod(0o555)
        (shared / "git.lock").touch()
        try:
            command = ("move-task", "WP01", "--to", "doing")
            ended, told = work(project, *command, obeys_permissions=True)
        finally:
            shared.chmod(0o755)
    assert (ended.code, list(told)) == (1, ["error"])
    assert events_of(project) == before


@pytest.mark.promise("S2")
def test_spec_and_packages_made_without_a_journal_keep_their_causes(project):
    before = len(events_of(project))
    with Unwritable(project):
        ended, told = work(project, "setup-spec", "Backup", obeys_permissions=True)
        assert (ended.code, told["events"]) == (0, "pending")
    work(project, "status")
    (spec,) = events_of(project)[before:]
    assert (spec["event_type"], spec["payload"]["title"]) == ("SpecCreated", "Backup")
    (project / "kitty-specs" / "002-backup" / "tasks.md").write_bytes(TASKS)
    with Unwritable(project):
        ended, told = work(project, "finalize-tasks", "--feature", "2", obeys_permissions=True)
        assert (ended.code, told["events"]) == (0, "pending")
    work(project, "status")
    cut, first, second = events_of(project)[before + 1 :]
    assert cut["caused_by"] == [spec["event_id"]]
    assert first["caused_by"] == [cut["event_id"]]
    assert second["caused_by"] == [cut["event_id"], first["event_id"]]  # it depends on it


@pytest.mark.promise("S2")
@pytest.mark.parametrize(
    "command", [("add-history", "WP01", "a note"), ("gate", "WP01", "CI_CHECK"), ("next",)]
)
def test_command_that_does_nothing_but_tell_fails_when_it_can_not(project, command):
    before = events_of(project)
    with Unwritable(project):
        ended, told = work(project, *command, obeys_permissions=True)
    assert ended.code == 1
    assert told["error"]["code"] in ("log_read_only", "append_failed")
    assert events_of(project) == before


@pytest.mark.promise("S2")
def test_guard_refuses_all_the_same(project):
    head = os.listdir(project / ".git" / "refs" / "heads")
    with Unwritable(project):
        ended, told = work(project, "move-task", "WP02", "--to", "doing", obeys_permissions=True)
    assert (ended.code, told["error"]["guard"]) == (1, "dependencies_open")
    assert os.listdir(project / ".git" / "refs" / "heads") == head
