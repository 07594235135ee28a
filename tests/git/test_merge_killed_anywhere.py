"""A merge that is killed at any of its git commands is completed by the next one."""

import os
import shutil

import pytest
from tests.git.repositories import begin_work, git, killed, patches
from tests.git.test_merging import THREE, left_of, project, subjects
from tests.tiers import tenth

from thence.git.merging import merge
from thence.git.repository import repository

COMMANDS_MAX = 60
# counts the commands of git, and kills all when it has come to one: before it or behind it
GIT = """#!/bin/sh
echo "$*" >> "{told}"
[ "$(wc -l < "{told}")" = {number} ] || exec {git} "$@"
{behind} {git} "$@"
kill -9 0
"""


@pytest.mark.parametrize("target", ["main", "release"])
@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.whole
def test_merge_killed_at_each_of_its_git_commands_is_completed_by_the_next(
    tmp_path, monkeypatch, target, behind
):
    packages = {name: THREE[name] for name in ("wp1", "wp3")}
    top = project(tmp_path / "top", packages, target)
    begin_work(top)
    repo, before, begin = repository(top), patches(top), git(top, "rev-parse", target)
    program, told = tmp_path / "bin/git", tmp_path / "told"
    program.parent.mkdir()
    found = shutil.which("git")
    first = 1 + (2 * behind + (target == "release")) % 3  # of each third, another one each time
    for number in tenth(range(1, COMMANDS_MAX), range(first, COMMANDS_MAX, 3)):
        told.write_bytes(b"")
        text = GIT.format(told=told, number=number, git=found, behind="" if behind else ":")
        program.write_text(text)
        program.chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
            is_killed = killed(lambda: merge(repo, target, list(packages)))
        if not is_killed:
            break
        at = f"killed at {told.read_text().splitlines()[-1]}"
        assert patches(top) == before, at
        assert git(top, "status", "--porcelain") == "MM mine", at
        assert merge(repo, target, list(packages)).conflict is None, at
        assert subjects(top, target)[:2] == [f"Merge {n} into {target}" for n in ("wp3", "wp1")]
        assert len(subjects(top, target)) == 3, at
        assert patches(top) == before, at
        assert not left_of(top), at
        git(top, "reset" if target == "main" else "branch", *RESET[target], begin)
        begin_work(top)
    assert 10 < number < COMMANDS_MAX - 1


RESET = {"main": ("--quiet", "--keep"), "release": ("--quiet", "--force", "release")}
