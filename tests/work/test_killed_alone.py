"""A git that is killed alone, without the command that started it: the next command does it all."""

import os
import random
import signal
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from tests.work.repositories import begin_work, commit, git, make_repository, patches
from tests.work.test_killed_git import as_board, locked

from thence.errors import GitFailed
from thence.work.vcs.commits import commit_files
from thence.work.vcs.merging import merge
from thence.work.vcs.repository import branches, repository
from thence.work.vcs.worktrees import make

ROUNDS = 15
ROUNDS_MAX = 60
LATEST_S = 0.08


@pytest.fixture
def top(tmp_path) -> Path:
    return make_repository(tmp_path / "Das Projekt ö", {"a/b": "1\n", "mine": "1\n"})


def children(parent: int) -> list[int]:
    """Return the processes of git that another one has started."""
    found = []
    for names in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in names.read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_bytes() == b"git\n":
                    found.append(int(child))
    return found


@contextmanager
def killing(chance: random.Random, killed: list[bool]):
    """Kill a git that this process has started, at some moment; an error of that is passed over."""
    parent, after_s, which = os.getpid(), chance.uniform(0.0, LATEST_S), chance.random()
    killer = os.fork()
    if not killer:
        time.sleep(after_s)
        while not (found := children(parent)):
            if os.getppid() != parent:
                os._exit(1)
        with suppress(ProcessLookupError):
            os.kill(found[int(which * len(found))], signal.SIGKILL)
        os._exit(0)
    try:
        with suppress(GitFailed):
            yield
    finally:
        os.kill(killer, signal.SIGKILL)  # there is nothing left to find
        _, status = os.waitpid(killer, 0)
        killed.append(status == 0)


def test_commits_merges_and_worktrees_are_made_after_a_git_that_was_killed(top, tmp_path):
    begin_work(top)
    before, repo = patches(top), repository(top)
    seed = random.randrange(2**32)
    chance, killed = random.Random(seed), []
    for number in range(ROUNDS_MAX):
        if number >= ROUNDS and sum(killed) > ROUNDS:  # a git may end before it is found
            break
        name = f"028-sync-WP{number:02}"
        path = top / ".worktrees" / name
        with killing(chance, killed):
            make(repo, name, path, "main")
        made = make(repo, name, path, "main")
        assert (made.path, made.head) == (path, branches(repo)[name]), f"seed {seed}"
        assert git(path, "status", "--porcelain") == "", f"seed {seed}"
        commit(path, {f"files/{number}": "1\n"})
        change = {"board": partial(as_board, b"%d" % number)}
        with killing(chance, killed):
            commit_files(repo, change, "Tell")
        commit_files(repo, change, "Tell")
        with killing(chance, killed):
            merge(repo, "main", [name])
        assert merge(repo, "main", [name]).conflict is None, f"seed {seed}"
        assert (top / f"files/{number}").read_bytes() == b"1\n", f"seed {seed}"
        assert (top / "board").read_bytes() == b"%d" % number, f"seed {seed}"
        assert patches(top) == before, f"seed {seed}"
    assert not locked(top), f"seed {seed}"
    print(f"{sum(killed)} of {len(killed)} were killed")
    assert sum(killed) > ROUNDS, "hardly any git was killed"
