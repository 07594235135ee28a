"""Thirty-two commands make worktrees in one repository at once: none fails, none is half made."""

import subprocess
from contextlib import suppress

import pytest
from tests.git.implementers import AT_ONCE, judged, one_round
from tests.git.repositories import git, make_repository
from tests.log.processes import started

from thence.git.repository import repository
from thence.git.worktrees import make, remove

pytestmark = pytest.mark.xdist_group("heavy")

MAKE = """
import sys
from pathlib import Path
from thence.git.repository import repository
from thence.git.worktrees import make

print("begun", flush=True)
make(repository(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), "main")
print("made", flush=True)
"""


def test_thirty_two_at_once_all_get_theirs(tmp_path):
    top = make_repository(tmp_path, {f"folder/{n}": f"{n}\n" for n in range(50)})
    names = [f"028-sync-WP{n:02}" for n in range(AT_ONCE)]
    judged(top, set(names), one_round(top, names))


def test_those_who_want_the_same_one_agree_on_who_made_it(tmp_path):
    top = make_repository(tmp_path)
    names = [f"028-sync-WP0{n % 4}" for n in range(AT_ONCE)]
    found = one_round(top, sorted(names))
    judged(top, set(names), found)
    assert len(found) == AT_ONCE


def test_command_that_is_killed_at_any_moment_leaves_what_the_next_completes(tmp_path):
    top = make_repository(tmp_path, {f"folder/{n}": f"{n}\n" for n in range(200)})
    repo = repository(top)
    for trial in range(12):
        name = f"wp{trial}"
        folder = top / ".worktrees" / name
        process = started(MAKE, top, name, folder)
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(trial * 0.006)
        process.kill()
        process.communicate()
        make(repo, name, folder, "main")
        assert git(folder, "status", "--porcelain") == ""
        assert len(list((folder / "folder").iterdir())) == 200
        remove(repo, name, folder, "main")
    assert git(top, "branch", "--format=%(refname:short)") == "main"
