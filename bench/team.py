"""A feature of eight packages in a clone of a bare remote: seconds, git processes, commits."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(sys.executable).parent / "thence"
PACKAGES = 8
SLUG = "001-sync"
PROCESSES_MAX = {"implement": 7, "move-task": 4, "status again": 2}
_COUNTING = """#!/bin/sh
echo >> "$THENCE_BENCH_CALLS"
exec {git} "$@"
"""


class Cost(NamedTuple):
    """What one command takes: seconds and git processes, the median of its runs."""

    seconds: float
    processes: int


class Team(NamedTuple):
    """What a feature costs: its commands by their names, and the commits that main got of ours."""

    commands: Mapping[str, Cost]
    merges: int
    commits: int


def feature(place: Path) -> Team:
    """Works a feature off, from its spec to done, and shares its events."""
    runner = _Runner(place)
    runner.begin()
    runner.run("setup-spec", "setup-spec", "Sync")
    tasks = "".join(f"## Work Package WP{n:02}: Part {n}\n\n" for n in range(1, PACKAGES + 1))
    (runner.clone / f"kitty-specs/{SLUG}/tasks.md").write_text(f"# Tasks\n\n{tasks}")
    runner.run("finalize-tasks", "finalize-tasks")
    runner.share("sync now")
    for number in range(1, PACKAGES + 1):
        wp_id = f"WP{number:02}"
        runner.run("implement", "implement", wp_id)
        tree = runner.clone / f".worktrees/{SLUG}-{wp_id}"
        (tree / f"part{number}.txt").write_text("done\n")
        runner.git("add", ".", folder=tree)
        runner.git("commit", "--quiet", "--message", f"Write part {number}", folder=tree)
        runner.run("move-task", "move-task", wp_id, "--to", "for_review")
        runner.run("status", "status")
        runner.run("status again", "status")
        runner.run("add-history", "add-history", wp_id, "seen")
        runner.share("sync now of one event")
    runner.run("merge of 8", "merge")
    runner.git("push", "--quiet", "origin", "main")
    runner.run("accept of 8", "accept")
    merges = int(runner.git("rev-list", "--count", "--merges", "--first-parent", "main"))
    others = int(runner.git("rev-list", "--count", "--no-merges", "--first-parent", "main"))
    commands = {
        name: Cost(
            statistics.median(cost.seconds for cost in costs),
            int(statistics.median(cost.processes for cost in costs)),
        )
        for name, costs in runner.costs.items()
    }
    return Team(commands, merges, others - 1)


class _Runner:
    def __init__(self, place: Path) -> None:
        self.clone = place / "clone"
        self._remote = place / "remote.git"
        self._calls = place / "calls"
        folder = place / "bin"
        folder.mkdir()
        program = folder / "git"
        program.write_text(_COUNTING.format(git=shutil.which("git")))
        program.chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        self._env = {**os.environ, "PATH": path, "THENCE_BENCH_CALLS": os.fspath(self._calls)}
        self.costs: dict[str, list[Cost]] = {}

    def begin(self) -> None:
        """Makes the remote and a clone with one commit."""
        top = self.clone.parent
        self.git("init", "--quiet", "--bare", "--initial-branch=main", self._remote, folder=top)
        self.git("clone", "--quiet", self._remote, self.clone, folder=top)
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.com")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Begin")
        self.git("push", "--quiet", "origin", "main")

    def git(self, *arguments: object, folder: Path | None = None) -> str:
        """Runs git as a user does, not counted."""
        command = ["git", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder or self.clone, capture_output=True, check=True)
        return done.stdout.decode()

    def share(self, name: str) -> None:
        """Shares events, and notes what it took; the other commands exchange nothing."""
        self.run(name, "now", group="sync")
        command = [PROGRAM, "sync", "disable"]
        subprocess.run(command, cwd=self.clone, env=self._env, capture_output=True, check=True)

    def run(self, name: str, *arguments: str, group: str = "work") -> None:
        """Runs a command, and notes what it took."""
        self._calls.write_text("")
        start = time.perf_counter()
        command = [PROGRAM, group, *arguments]
        subprocess.run(command, cwd=self.clone, env=self._env, capture_output=True, check=True)
        seconds = time.perf_counter() - start
        cost = Cost(seconds, len(self._calls.read_text().splitlines()))
        self.costs.setdefault(name, []).append(cost)
