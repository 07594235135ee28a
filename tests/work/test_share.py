"""A project changes over between the board's branch and day files on its own branches."""

import json
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.work.boards import (
    bare,
    clone,
    done,
    features,
    shared_lines,
    tool_line,
    view,
    view_lines,
    work,
)
from tests.work.repositories import commit, content, git

from thence.errors import PlanningError
from thence.work.commands.share import with_share
from thence.work.project.options import options_of

CONFIG = ".kittify/config.yaml"
BRANCH = "000-general-WP01"
pytestmark = pytest.mark.xdist_group("clones")


@pytest.fixture
def remote(tmp_path) -> Path:
    return bare(tmp_path / "remote.git")


def tree(remote: Path, path: Path) -> Path:
    """Clone a project, and have it share a package by tracked day files."""
    folder = clone(remote, path)
    done(folder, "share", "tree")
    done(folder, "add", "First")
    git(folder, "push", "--quiet", "origin", "main")
    return folder


def tracked(folder: Path, at: str = "HEAD") -> list[str]:
    names = git(folder, "ls-tree", "-r", "--name-only", at, ".kittify/events/").splitlines()
    return [name for name in names if name.endswith(".jsonl")]


@pytest.mark.promise("L11")
def test_project_that_changes_over_and_back_loses_no_event_and_no_line(remote, tmp_path):
    ada = tree(remote, tmp_path / "ada")
    bob = clone(remote, tmp_path / "bob")
    assert tracked(ada)
    with view(ada).open("a") as day:
        day.write("written by nobody\n")
    git(ada, "commit", "--quiet", "--all", "--message", "By hand")
    done(ada, "add-history", "WP01", "waits")
    before = features(ada)
    told = done(ada, "share", "branch", "--json").json
    assert told["commit"] == git(ada, "rev-parse", "HEAD")
    assert tracked(ada) == []
    assert "share: branch" in (content(ada, CONFIG) or b"").decode()
    assert "written by nobody" in view_lines(ada)
    assert features(ada) == before
    assert git(ada, "status", "--porcelain") == ""
    done(ada, "publish")
    assert len(shared_lines(remote)) == 3
    git(ada, "push", "--quiet", "origin", "main")
    git(bob, "pull", "--quiet")
    assert features(bob) == before
    done(bob, "add-history", "WP01", "seen")
    assert len(view_lines(bob)) == 4
    done(bob, "publish")
    git(ada, "fetch", "--quiet")
    done(ada, "share", "tree")
    assert len([line for line in view_lines(ada) if line.startswith("{")]) == 4
    assert git(ada, "status", "--porcelain") == ""
    day = view(ada)
    assert content(ada, f".kittify/events/{day.name}") == day.read_bytes()
    assert features(ada) == features(bob)
    assert git(ada, "check-ignore", ".kittify/events/2026-01-01.jsonl", check=False) == ""


def test_change_over_is_refused_while_a_branch_has_day_files_of_its_own(remote, tmp_path):
    ada = tree(remote, tmp_path / "ada")
    git(ada, "checkout", "--quiet", "-b", "begun")
    done(ada, "add-history", "WP01", "there")
    done(ada, "publish")
    git(ada, "checkout", "--quiet", "main")
    head = git(ada, "rev-parse", "main")
    ended = work(ada, "share", "branch")
    assert (ended.code, git(ada, "rev-parse", "main")) == (1, head)
    assert "begun" in ended.err
    assert "--anyway" in ended.err
    done(ada, "share", "branch", "--anyway")
    assert tracked(ada) == []


def begun_before(remote: Path, tmp_path: Path) -> Path:
    """Return ada's clone, changed over while bob's branch of WP01 changed day files and made one.

    What bob says in them is nowhere else.
    """
    ada = tree(remote, tmp_path / "ada")
    done(ada, "publish")
    git(ada, "push", "--quiet", "origin", "main")
    bob = clone(remote, tmp_path / "bob")
    done(bob, "implement", "WP01")
    git(bob, "worktree", "remove", f".worktrees/{BRANCH}")
    git(bob, "checkout", "--quiet", BRANCH)
    done(bob, "add-history", "WP01", "said by bob")
    done(bob, "publish")
    other = view(bob).with_name("2020-01-01.jsonl")
    other.write_text(f"{tool_line(other, 7)}\n")
    git(bob, "add", ".kittify/events/2020-01-01.jsonl")
    commit(bob, {"outbox.py": "bob's\n"})
    assert len(tracked(bob)) > len(tracked(ada))
    git(bob, "push", "--quiet", "origin", BRANCH)
    git(ada, "fetch", "--quiet")
    git(ada, "branch", "--quiet", BRANCH, f"origin/{BRANCH}")
    done(ada, "share", "branch", "--anyway")
    return ada


def texts(folder: Path) -> list[str]:
    ended = warm("log", "--type", "HistoryAdded", "--json", cwd=folder)
    payloads = [json.loads(line)["payload"] for line in ended.lines if ended.code == 0]
    return [payload["entry_content"] for payload in payloads]


@pytest.mark.promise("L11")
def test_branch_begun_before_is_merged_without_its_day_files_and_with_their_lines(remote, tmp_path):
    ada = begun_before(remote, tmp_path)
    assert texts(ada) == []
    (step,) = done(ada, "merge", "WP01", "--dry-run", "--json").json["steps"]
    assert step["status"] == "clean"
    done(ada, "merge", "WP01", "--actor", "bob")
    assert content(ada, "outbox.py") == b"bob's\n"
    assert tracked(ada) == []
    assert sorted(texts(ada)) == ["said by bob", "tool 7"]
    assert any("said by bob" in line for line in view_lines(ada))
    assert git(ada, "status", "--porcelain") == ""
    assert "WP01" in features(ada)
    done(ada, "publish")
    assert sum("said by bob" in line for line in shared_lines(remote)) == 1


@pytest.mark.promise("L11")
def test_conflict_of_such_a_branch_is_of_its_other_files_alone(remote, tmp_path):
    ada = begun_before(remote, tmp_path)
    commit(ada, {"outbox.py": "ada's\n"})
    ended = work(ada, "merge", "WP01", "--actor", "bob")
    assert ended.code == 1
    assert "both changed outbox.py; nothing is merged" in ended.err
    assert content(ada, "outbox.py") == b"ada's\n"
    assert tracked(ada) == []
    assert sorted(texts(ada)) == ["said by bob", "tool 7"]


@pytest.mark.promise("L11")
def test_such_a_branch_can_be_merged_by_hand_as_the_guide_says(remote, tmp_path):
    ada = begun_before(remote, tmp_path)
    lines = view_lines(ada)
    git(ada, "merge", "--quiet", BRANCH, check=False)
    done(ada, "status")
    git(ada, "rm", "-r", "--quiet", "--force", ".kittify/events")
    git(ada, "commit", "--quiet", "--no-edit")
    assert sorted(texts(ada)) == ["said by bob", "tool 7"]
    assert tracked(ada) == []
    assert content(ada, "outbox.py") == b"bob's\n"
    done(ada, "add-history", "WP01", "merged")
    assert {*lines} <= {*view_lines(ada)}
    assert git(ada, "status", "--porcelain") == ""


def test_anyway_is_said_of_the_boards_branch_alone(remote, tmp_path):
    ada = clone(remote, tmp_path / "ada")
    head = git(ada, "rev-parse", "HEAD")
    ended = work(ada, "share", "tree", "--anyway")
    assert (ended.code, git(ada, "rev-parse", "HEAD")) == (2, head)
    assert "--anyway" in ended.err


def test_branch_with_day_files_is_merged_as_it_is_where_they_are_tracked(remote, tmp_path):
    ada = begun_before(remote, tmp_path)
    git(ada, "reset", "--quiet", "--hard", "HEAD^")
    done(ada, "merge", "WP01", "--actor", "bob")
    assert ".kittify/events/2020-01-01.jsonl" in tracked(ada)


def test_both_ways_of_sharing_are_read_whatever_was_chosen(remote, tmp_path):
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    done(ada, "add", "First")
    done(ada, "publish")
    git(ada, "push", "--quiet", "origin", "main")
    git(bob, "pull", "--quiet")
    done(bob, "share", "tree")
    done(bob, "add", "Second")
    git(bob, "push", "--quiet", "origin", "main")
    git(ada, "pull", "--quiet")
    assert features(ada) == features(bob)
    assert "Second" in features(ada)
    assert git(ada, "status", "--porcelain") == ""


def test_mode_that_is_chosen_already_changes_nothing(remote, tmp_path):
    ada = tree(remote, tmp_path / "ada")
    head = git(ada, "rev-parse", "HEAD")
    assert done(ada, "share", "tree", "--json").json["commit"] is None
    assert git(ada, "rev-parse", "HEAD") == head


def test_choice_stands_in_the_configuration_beside_what_others_keep_there():
    for data in (
        b"project_uuid: 1\n",
        b"project_uuid: 1",
        b"share: branch # ours\nother: {a: 1}\n",
        b"",
    ):
        changed = with_share(data, "tree")
        assert options_of(changed, CONFIG).share == "tree"
        assert changed.count(b"share:") == 1
        for line in data.splitlines():
            assert line in changed.splitlines() or line.startswith(b"share")
    with pytest.raises(PlanningError):
        with_share(b"{project_uuid: 1}\n", "tree")
