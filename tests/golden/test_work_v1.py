"""Projects that the first version wrote show the board that they showed then.

`branch` is a clone with its bare remote, whose board has a branch of its own: a package that was
renumbered, one whose number was given twice, one that landed. `tree` shares in the working tree,
and waits with events that the journal could not take: one command takes it over to the board's
branch. Neither has its worktrees any more. `plain` is a project without git, with an
event that was redacted, and one that its writer was killed before it came into the day files.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.work.boards import done, features, view_lines, work
from tests.work.repositories import git

from thence.work import EventStore

FOLDER = Path(__file__).parent / "work-v1"


def test_project_of_the_first_version_shows_its_board(tmp_path):
    repo, expected = extracted("branch", tmp_path)
    assert as_shown(json.loads(features(repo))) == expected


@pytest.mark.promise("L1")
def test_tracked_day_files_of_the_first_version_are_untied_by_the_command_that_is_named(tmp_path):
    repo, expected = extracted("tree", tmp_path)
    git(repo, "config", "user.name", "ada")
    git(repo, "config", "user.email", "ada@example.org")
    before = {*view_lines(repo)}
    assert "`thence work import`" in done(repo, "status").err
    imported = done(repo, "import", "--json").json
    assert imported["commit"] == git(repo, "rev-parse", "HEAD")
    assert git(repo, "ls-files", ".kittify/events") == ""
    assert ".kittify" not in git(repo, "status", "--porcelain")
    assert "share: branch" in (repo / ".kittify/config.yaml").read_text()
    assert before < {*view_lines(repo)}
    assert imported["recovered"] > 0
    assert "thence work import" not in done(repo, "status").err
    assert as_shown(json.loads(features(repo))) == expected
    again = done(repo, "import", "--json").json
    assert (again["commit"], again["recovered"]) == (None, 0)


@pytest.mark.promise("L6")
def test_journal_without_git_is_taken_in_by_the_command_that_is_named(tmp_path):
    repo, expected = extracted("plain", tmp_path)
    assert "run `git init`" in work(repo, "status").err
    git(repo, "init", "--quiet", "--initial-branch=main")
    before = {*(repo / ".kittify/.thence/events.jsonl").read_text().splitlines()}
    ended = done(repo, "status")
    assert "`thence work import`" in ended.err
    assert ".thence" not in git(repo, "status", "--porcelain", "--untracked-files=all")
    assert done(repo, "import", "--json").json["lines"] == 1, "the others stand in day files"
    with EventStore.at(repo) as store:
        events = store.read()
    assert before == {event.line.decode() for event in events}
    assert "hunter2" not in str([event.payload for event in events])
    assert as_shown(json.loads(features(repo))) == expected
    assert done(repo, "status").err == "", "its events are in the log"
    again = done(repo, "import", "--json").json
    assert again["lines"] == 0
    assert "rm -r .kittify/.thence" in done(repo, "import").out
    shutil.rmtree(repo / ".kittify/.thence")
    assert done(repo, "status").err == ""
    assert thence("verify", cwd=repo).code == 0


def extracted(name, folder):
    """Return a project of the first version, and the board that it showed."""
    archive = FOLDER / f"{name}.tar.xz"
    subprocess.run(["tar", "--extract", "--xz", "--file", archive], cwd=folder, check=True)
    return folder / "project", as_shown(json.loads((FOLDER / f"{name}.json").read_text()))


def as_shown(board):
    """Return a board as this version shows it.

    It is without ids of last events: what waited is appended under a new id. A package whose number
    was given twice is WP05-p5ft, which was WP05~p5ft, and no conflict.
    """
    if isinstance(board, dict):
        board = {key: as_shown(value) for key, value in board.items() if key != "last_event"}
        if "conflicts" in board:
            board["conflicts"] = [c for c in board["conflicts"] if c["rule"] != "first_in_order"]
        return board
    if isinstance(board, list):
        return [as_shown(item) for item in board]
    return board.replace("~", "-") if isinstance(board, str) else board
