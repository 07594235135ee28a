"""A package whose command was killed half-way: who looks at the board next ends the claim."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import THENCE, environment, thence
from tests.cli.warm import warm
from tests.cli.work.other_git import KILL, with_git
from tests.cli.work.projects import done, finalized_project
from tests.git.repositories import git
from tests.tiers import some
from tests.work.boards import NAMED, on_remote

from thence.work.journal.claims import claimed
from thence.work.project.project import find_project

pytestmark = [pytest.mark.promise("L14"), pytest.mark.xdist_group("claims")]
BRANCH = "001-sync-WP01"


@pytest.fixture(scope="module")
def finalized(tmp_path_factory):
    return finalized_project(tmp_path_factory.mktemp("claims") / "r", files=NAMED)


@pytest.fixture
def repo(finalized, tmp_path):
    return shutil.copytree(finalized, tmp_path / "r", symlinks=True)


def implement(repo: Path, folder: Path, *, before: str = "", behind: str = "") -> int:
    """Take WP01 as ada, with a git on the path that does something more."""
    path = with_git(folder, "worktree add", before, behind)
    return thence("work", "implement", "WP01", "--actor", "ada", cwd=repo, env={"PATH": path}).code


def package(repo: Path) -> tuple[str, dict[str, object]]:
    """Return lane and package WP01 of the board."""
    (feature,) = done(repo, "status", "--json").json["features"]
    return next(
        (lane, each)
        for lane, packages in feature["lanes"].items()
        for each in packages
        if each["wp_id"] == "WP01"
    )


def who(event: dict[str, Any]) -> tuple[str, str]:
    return event["actor"], event["payload"].get("changed_by", event["actor"])


def told(repo: Path) -> list[dict[str, Any]]:
    """Return what the journal says of who took WP01 and what came of it."""
    kinds = ("WPStatusChanged", "WorkspaceCreated")
    options = [part for kind in kinds for part in ("--type", kind)]
    return [json.loads(line) for line in warm("query", *options, "--json", cwd=repo).lines]


def test_claim_lasts_until_its_worktree_is_told(repo):
    done(repo, "implement", "WP01", "--actor", "ada")
    taken, made = told(repo)
    assert (taken["begins"], made["ends"]) == (True, taken["event_id"])
    assert package(repo)[1]["open_claim"] is None
    assert warm("last", "--json", cwd=repo).json["open"] == []


def test_claim_whose_command_was_killed_before_its_branch_is_taken_back(repo, tmp_path):
    assert implement(repo, tmp_path / "bin", before=KILL) == -9
    assert BRANCH not in git(repo, "branch")
    ended = done(repo, "status")
    assert ended.err == (
        "note: WP01 of 001-sync is planned again: the command that took it ended half-way\n"
    )
    lane, shown = package(repo)
    assert (lane, shown["agent"], shown["open_claim"]) == ("planned", None, None)
    taken, back = told(repo)
    assert (back["ends"], back["caused_by"]) == (taken["event_id"], [taken["event_id"]])
    assert (back["source"], back["payload"]["new_status"]) == ("recovered", "planned")
    assert done(repo, "status").err == "", "it is done once"
    done(repo, "implement", "WP01", "--actor", "bob")
    assert package(repo)[1]["agent"] == "bob"
    assert warm("verify", cwd=repo).code == 0


def test_claim_whose_command_was_killed_behind_its_branch_stands(repo, tmp_path):
    assert implement(repo, tmp_path / "bin", behind=KILL) == -9
    assert BRANCH in git(repo, "branch")
    lane, shown = package(repo)
    assert (lane, shown["agent"], shown["branch"]) == ("doing", "ada", BRANCH)
    taken, made = told(repo)
    assert (made["event_type"], made["ends"]) == ("WorkspaceCreated", taken["event_id"])
    again = done(repo, "implement", "WP01", "--actor", "ada", "--json").json
    assert git(Path(again["worktree"]), "status", "--porcelain") == ""
    assert warm("last", "--json", cwd=repo).json["open"] == []


LOOKING = [
    ("status",),
    ("implement", "WP02"),
    ("move-task", "WP01", "--to", "for_review"),
    ("merge", "WP01"),
    ("accept", "WP01"),
]


@pytest.mark.parametrize(
    ("is_made", "command"),
    some(((is_made, command) for is_made in (True, False) for command in LOOKING), 4, "claims"),
)
@pytest.mark.whole
def test_claim_that_is_made_good_keeps_its_actor_whoever_looks_next(
    repo, tmp_path, is_made, command
):
    assert implement(repo, tmp_path / "bin", **{"behind" if is_made else "before": KILL}) == -9
    warm("work", *command, cwd=repo, env={"THENCE_ACTOR": "bob"})
    taken, ended, *_ = told(repo)
    assert ended["event_type"] == ("WorkspaceCreated" if is_made else "WPStatusChanged")
    assert (ended["ends"], ended["source"]) == (taken["event_id"], "recovered")
    assert who(taken) == who(ended) == ("ada", "ada")


def test_claim_in_a_copy_is_left_to_the_original(repo, tmp_path):
    assert implement(repo, tmp_path / "bin", before=KILL) == -9
    copy = shutil.copytree(repo, tmp_path / "copy", symlinks=True)
    assert done(copy, "status").err == "", "the original may be at work on it"
    lane, shown = package(copy)
    assert (lane, shown["agent"], bool(shown["open_claim"])) == ("doing", "ada", True)
    assert len(told(copy)) == 1
    assert package(repo)[0] == "planned"


def test_claim_of_a_command_at_work_is_left_alone(repo, tmp_path):
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "go")
    path = with_git(
        tmp_path / "bin", "worktree add", f"echo x > {tmp_path}/begun; cat {tmp_path}/go"
    )
    process = subprocess.Popen(
        [THENCE, "work", "implement", "WP01", "--actor", "ada"],
        cwd=repo,
        env=environment(PATH=path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (tmp_path / "begun").read_bytes()
        lane, shown = package(repo)
        assert (lane, bool(shown["open_claim"])) == ("doing", True)
        assert "its worktree is not there yet" in done(repo, "status").out
    finally:
        (tmp_path / "go").write_bytes(b"")
    assert process.wait(60) == 0
    assert [each["event_type"] for each in told(repo)] == ["WPStatusChanged", "WorkspaceCreated"]


def test_claim_of_another_clone_is_shown_and_left_to_it(repo, tmp_path):
    assert implement(repo, tmp_path / "bin", before=KILL) == -9
    subject = "/".join((find_project(repo).uuid, "001-sync", "WP01"))
    with claimed(find_project(repo).home, subject):
        remote = on_remote(repo, tmp_path / "remote.git")
        done(repo, "publish")
        assert package(repo)[0] == "doing"
    git(tmp_path, "clone", "--quiet", remote, "clone")
    lane, shown = package(tmp_path / "clone")
    assert (lane, bool(shown["open_claim"])) == ("doing", True)
    assert done(tmp_path / "clone", "status").err == ""
    assert package(repo)[0] == "planned"
