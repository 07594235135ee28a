"""A command killed alone at any moment: the same one, typed again, does all of its work."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest
from tests.cli.installed import THENCE, environment
from tests.cli.warm import warm
from tests.cli.work.projects import done, project
from tests.work.repositories import commit, git

PACKAGES = 6
KILLED_MIN = 9  # of 18: a command may end before it is killed


def killed(folder, *arguments, after_s):
    """Run a command and kill its process, not the git that it has started; tell if it was."""
    process = subprocess.Popen(
        [THENCE, "work", *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.promise("L16")
def test_command_that_was_killed_is_completed_by_the_same_command(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, kills = random.Random(seed), []
    repo = project(tmp_path / "r")
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", os.fspath(remote))
    git(repo, "remote", "add", "origin", os.fspath(remote))
    git(repo, "push", "--quiet", "--set-upstream", "origin", "main")
    start_s = time.monotonic()
    done(repo, "status")
    took_s = time.monotonic() - start_s

    def twice(*command):
        """Kill a command, then type it again, which has to succeed."""
        kills.append(killed(repo, *command, after_s=chance.uniform(0.5, 6.0) * took_s))
        again = warm("work", *command, cwd=repo)
        assert again.code == 0, f"seed {seed}, {command}: {again.err}"

    for number in range(1, PACKAGES + 1):
        package = f"WP{number:02}"
        done(repo, "add", f"Package {number}")
        twice("implement", package)
        tree = repo / ".worktrees" / f"000-general-{package}"
        commit(tree, {f"files/{number}": f"{number}\n"})
        twice("merge", package)
        assert git(repo, "show", f"main:files/{number}") == f"{number}", f"seed {seed}"
        twice("publish")
    board = done(repo, "status", "--json").json["features"]
    assert len(board[0]["lanes"]["for_review"]) == PACKAGES, f"seed {seed}"
    assert git(repo, "status", "--porcelain") == "", f"seed {seed}"
    assert warm("verify", cwd=repo).code == 0, f"seed {seed}"
    git(tmp_path, "clone", "--quiet", os.fspath(remote), "clone")
    done(tmp_path / "clone", "publish")
    assert done(tmp_path / "clone", "status", "--json").json["features"] == board, f"seed {seed}"
    print(f"{sum(kills)} of {len(kills)} were killed")
    assert sum(kills) >= KILLED_MIN, "hardly any command was killed"
