"""A project with three packages, and commands that succeed or are refused in it."""

import json
import shutil
from pathlib import Path

from tests.cli.warm import warm
from tests.cli.work.projects import SLUG, finalized_project
from tests.git.repositories import commit, git

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


def plan(folder, files=None):
    """Make a project with three packages, all planned; WP02 needs WP01, which has T001."""
    return finalized_project(folder, TASKS, files=files or {})


def copied(project, target):
    """Copy a project with its worktrees; return the copy."""
    shutil.copytree(project, target, symlinks=True)
    for tree in target.glob(".worktrees/*"):
        (tree / ".git").write_text(f"gitdir: {target}/.git/worktrees/{tree.name}\n")
    git(target, "worktree", "repair", *target.glob(".worktrees/*"))
    git(target, "update-index", "-q", "--refresh")
    return target


def lanes(folder):
    """Return the lane of each package of the one feature."""
    (feature,) = done(folder, "status")["features"]
    return {each["wp_id"]: lane for lane, those in feature["lanes"].items() for each in those}


def looks(folder):
    """Return the state that a refused command must not change."""
    return (
        done(folder, "status")["features"],
        git(folder, "for-each-ref"),
        git(folder, "status", "--porcelain"),
        (folder / "kitty-specs" / SLUG / "tasks.md").read_bytes(),
    )


def refused(folder, guard, *arguments):
    """Run a command that a guard refuses; return its error."""
    before = looks(folder)
    failures = logged(folder)
    ended, told = work(folder, *arguments)
    assert ended.code == 1
    error = told["error"]
    assert (error["code"], error["guard"]) == ("refused", guard)
    assert error["hint"]
    assert len(ended.err.splitlines()) == 3
    assert looks(folder) == before
    last = done(folder, "status")["here"]["refused"][0]
    assert last["error_type"] == guard
    assert last["context"]["remedy"] == error["hint"]
    *known, event = logged(folder)
    assert known == failures, "it is told by one event"
    assert event["event_id"] == last["error_id"]
    assert event["payload"]["error_type"] == "validation"
    assert error["cause"] in event["payload"]["error_message"]
    return error


def as_agent(folder, *arguments):
    """Run a command as what an orchestrator has started; return the error it is refused with."""
    ended = warm("work", *arguments, "--json", cwd=folder, env={"THENCE_RUN": "0" * 32})
    assert ended.code == 1, ended
    return ended.json["error"]


def logged(folder):
    """Return the failures that the journal records."""
    ended = warm("log", "--type", "ErrorLogged", "--json", cwd=folder)
    return [] if ended.code == 4 else [json.loads(line) for line in ended.out.splitlines()]


def begun(folder, wp_id="WP01", actor="ada"):
    """Begin a package; return its worktree."""
    return Path(done(folder, "implement", wp_id, "--actor", actor)["worktree"])


def moved(folder, wp_id, to, *options, actor="ada", reason=""):
    """Move a package; return what the command answers."""
    why = ("--reason", reason) if reason else ()
    return done(folder, "move-task", wp_id, "--to", to, "--actor", actor, *why, *options)


def handed_in(folder, *commits, wp_id="WP03", ticks=(), actor="ada"):
    """Begin a package, commit files, and hand it in; return its worktree."""
    worktree = begun(folder, wp_id, actor)
    for files in commits or [{"page.py": "a page\n"}]:
        commit(worktree, files)
    if ticks:
        done(folder, "mark-status", *ticks, "--actor", actor)
    moved(folder, wp_id, "for_review", actor=actor)
    return worktree


def reviewed(folder, *commits):
    """Hand in WP01, which has T001."""
    commits = commits or [{"outbox.py": "kept\n"}]
    return handed_in(folder, *commits, wp_id="WP01", ticks=["T001"])
