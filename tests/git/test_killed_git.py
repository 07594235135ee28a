"""A command killed at any moment together with its git blocks nobody: the next one does it all."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from tests.git.repositories import begin_work, commit, git, killed, make_repository, write

from thence.git.commits import commit_files
from thence.git.locks import COMMITTING, MAKING, locked, naming
from thence.git.merging import merge
from thence.git.repository import list_worktrees, repository
from thence.git.worktrees import make

PACKAGE = "028-sync-WP01"


@pytest.fixture
def top(tmp_path) -> Path:
    return make_repository(tmp_path / "Das Projekt ö", {"a/b": "1\n", "mine": "1\n"})


def lock_files(top: Path) -> list[Path]:
    """Return the lock files of git; ours stay for ever, and what `--only` leaves locks nothing."""
    found = (top / ".git").rglob("*.lock")
    kept = ("thence", "next-index")
    return [
        each
        for each in found
        if not f"{each.parent.name}/".startswith("thence/") and not each.name.startswith(kept)
    ]


def as_board(new: bytes, old: bytes | None) -> bytes:
    return old if old == new else new


@pytest.mark.parametrize("goes_on", ["merge", "commit"])
def test_merge_whose_git_was_killed_when_all_was_merged_leaves_nothing_locked(top, goes_on):
    begin_work(top)
    repo = repository(top)
    path = make(repo, "wp1", top / ".worktrees/wp1", "main").path
    commit(path, {"files/1": "1\n"})
    merge(repo, "main", ["wp1"])
    left(top, top / ".git/HEAD.lock")
    if goes_on == "merge":
        merge(repo, "main", ["wp1"])
    else:
        commit_files(repo, {"board": partial(as_board, b"1")}, "Tell")
    assert not lock_files(top)


def test_commit_leaves_tidying_up_to_the_user(top):
    git(top, "config", "gc.auto", "1")
    git(top, "config", "gc.autoDetach", "false")
    files = {f"{number}": f"{number}" for number in range(1000)}
    write(top.parent / "many", files)
    git(top, "hash-object", "-w", *(top.parent / "many" / each for each in files))
    commit_files(repository(top), {"board": partial(as_board, b"new")}, "Tell")
    assert not list((top / ".git/objects/pack").iterdir())
    commit(top, {"mine": "other\n"})
    assert list((top / ".git/objects/pack").iterdir())


def left(top: Path, *files: Path) -> None:
    """Leave what a command leaves that is killed when its git has locked some files."""

    def work() -> None:
        path = top / ".git" / COMMITTING
        with locked(path), naming(path, top, files):
            for file in files:
                file.touch()
            signal.pause()

    killed(work, 0.2)


def free(top: Path) -> None:
    with locked(top / ".git" / COMMITTING):
        pass


def test_lock_of_a_killed_git_is_taken_away_and_one_of_somebody_else_is_not(top):
    own = top / ".git"
    ours, theirs = own / "refs/heads/main.lock", own / "index.lock"
    left(top, ours)
    theirs.touch()
    free(top)
    assert (ours.exists(), theirs.exists()) == (False, True)
    left(top, ours, theirs)
    os.utime(theirs, (time.time() + 60, time.time() + 60))  # taken long after the kill
    free(top)
    assert (ours.exists(), theirs.exists()) == (False, True)
    left(top, ours)
    living = threading.Timer(0.3, ours.write_bytes, (b"of a git that lives",))
    living.start()
    free(top)
    living.join()
    assert ours.exists()


def test_index_that_a_killed_git_did_not_bring_up_to_its_commit_is_by_the_next_holder(top):
    def work() -> None:
        path, locks = top / ".git" / COMMITTING, (top / ".git/index.lock",)
        with locked(path), naming(path, top, locks, ["a/b"]):
            write(top, {"a/b": "2\n"})
            git(top, "commit", "--quiet", "--only", "--message", "Work on it", "a/b")
            git(top, "reset", "--quiet", "HEAD~1", "--", "a/b")
            locks[0].touch()
            signal.pause()

    begin_work(top)
    killed(work, 1.0)
    assert git(top, "status", "--porcelain") == "MM a/b\nMM mine"
    free(top)
    assert git(top, "status", "--porcelain") == "MM mine"


def half_made(top: Path, what: str = "") -> Path:
    """Leave what a command leaves that is killed together with the git that makes its worktree."""
    path, own = top / ".worktrees" / PACKAGE, top / ".git/worktrees" / PACKAGE

    def work() -> None:
        making = top / ".git" / MAKING
        with locked(making), naming(making, top, [path / ".git"]):
            git(top, "worktree", "add", "--quiet", "--no-checkout", "-b", PACKAGE, path)
            if what != "all but its files":
                (own / "locked").write_text("initializing\n")
                (own / "commondir").write_bytes(b"")
            if what == "no folder":
                (path / ".git").unlink()
                path.rmdir()
            elif what == "no HEAD":
                (own / "HEAD").unlink()
            elif what == "nothing in it":
                for file in own.iterdir():
                    file.rename(top / file.name) if file.is_dir() else file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    killed(work, 1.0)
    return path


@pytest.mark.parametrize("what", ["nothing in it", "no folder", "no HEAD", "all but its files"])
def test_worktree_that_was_half_made_is_made_anew_and_others_are_listed(top, what):
    repo = repository(top)
    of_user = top / "half-made"
    make(repo, "theirs", of_user, "main")
    (repo.common / "worktrees" / of_user.name / "locked").write_text("initializing\n")
    path = half_made(top, what)
    is_all = what == "all but its files"
    assert {tree.branch for tree in list_worktrees(repo)} == {"main", "theirs", *[PACKAGE] * is_all}
    assert make(repo, PACKAGE, path, "main").is_new is not is_all
    assert (path / "a/b").read_bytes() == b"1\n"
    assert (of_user / "a/b").exists(), "it is not ours"
