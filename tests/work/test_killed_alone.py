"""A git that is killed alone, without the command that started it: the next command does it all."""

import random
import shlex
import subprocess
import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from tests.git.repositories import begin_work, branches, commit, git, make_repository, patches
from tests.git.test_killed_git import as_board, lock_files
from tests.tiers import tenth
from tests.work.chaos import STASH

from thence.errors import GitFailed
from thence.git.commits import commit_files
from thence.git.merging import merge
from thence.git.repository import repository
from thence.git.worktrees import make

ROUNDS = tenth(15, 4)
ROUNDS_MAX = 60
LATEST_S = 0.05


@pytest.fixture
def top(tmp_path) -> Path:
    return make_repository(tmp_path / "Das Projekt ö", {"a/b": "1\n", "mine": "1\n"})


# a process of its own: a fork of this one, large as it may be, begins when a git has ended
KILLER = """
import os, select, signal, time
from contextlib import suppress
from pathlib import Path

def gits(parent):
    for names in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in names.read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_bytes() == b"git\\n":
                    yield int(child)

while order := os.read(0, 100):
    after_s, which = map(float, order.split())
    os.write(1, b"?")
    seen_s, is_killed = None, False
    while not select.select([0], [], [], 0)[0]:
        if is_killed or not (found := [*gits(os.getppid())]):
            continue
        seen_s = seen_s or time.monotonic()
        if time.monotonic() - seen_s >= after_s:
            with suppress(ProcessLookupError):
                os.kill(found[int(which * len(found))], signal.SIGKILL)
                is_killed = True
    os.read(0, 100)
    os.write(1, b"1" if is_killed else b"0")
"""


@pytest.fixture
def killer():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen([sys.executable, "-S", "-c", KILLER], **pipes) as process:
        yield process


@contextmanager
def killing(killer, chance: random.Random, killed: list[bool]):
    """Kill a git that this process has started, at some moment; an error of that is passed over."""
    killer.stdin.write(b"%f %f" % (chance.uniform(0.0, LATEST_S), chance.random()))
    assert killer.stdout.read(1) == b"?"
    try:
        with suppress(GitFailed):
            yield
    finally:
        killer.stdin.write(b"end")
        killed.append(killer.stdout.read(1) == b"1")


def merged(repo, name):
    """Merge; where a git was killed amid its checkout, after the step that the error names."""
    try:
        return merge(repo, "main", [name])
    except GitFailed as error:
        steps = STASH.findall(error.hint or "")
        if not steps:
            raise
        git(repo.folder, *shlex.split(steps[-1])[1:])
        return merge(repo, "main", [name])


@pytest.mark.whole
def test_commits_merges_and_worktrees_are_made_after_a_git_that_was_killed(top, killer):
    begin_work(top)
    before, repo = patches(top), repository(top)
    seed = random.randrange(2**32)
    chance, killed = random.Random(seed), []
    for number in range(ROUNDS_MAX):
        if number >= ROUNDS and sum(killed) > ROUNDS:  # a git may end before it is found
            break
        name = f"028-sync-WP{number:02}"
        path = top / ".worktrees" / name
        with killing(killer, chance, killed):
            make(repo, name, path, "main")
        made = make(repo, name, path, "main")
        assert (made.path, made.head) == (path, branches(repo)[name]), f"seed {seed}"
        assert git(path, "status", "--porcelain") == "", f"seed {seed}"
        commit(path, {f"files/{number}": "1\n"})
        change = {"board": partial(as_board, b"%d" % number)}
        with killing(killer, chance, killed):
            commit_files(repo, change, "Tell")
        commit_files(repo, change, "Tell")
        with killing(killer, chance, killed):
            merge(repo, "main", [name])
        assert merged(repo, name).conflict is None, f"seed {seed}"
        assert (top / f"files/{number}").read_bytes() == b"1\n", f"seed {seed}"
        assert (top / "board").read_bytes() == b"%d" % number, f"seed {seed}"
        assert patches(top) == before, f"seed {seed}"
    assert not lock_files(top), f"seed {seed}"
    print(f"{sum(killed)} of {len(killed)} were killed")
    assert sum(killed) > ROUNDS, "hardly any git was killed"
