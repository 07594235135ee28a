"""Locks of a repository: one holder at a time, until it or the program it started has ended."""

import subprocess

import pytest
from tests.git.repositories import WAIT_S
from tests.log.processes import started

from thence.errors import GitFailed
from thence.git.locks import locked

HOLD = """
import subprocess, sys
from pathlib import Path
from thence.git.locks import locked, naming

path = Path(sys.argv[1])
with locked(path), naming(path, path.parent, ()) as note:
    child = subprocess.Popen(["sleep", "60"], pass_fds=(note,) if sys.argv[2] == "with" else ())
    print(child.pid, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("child", ["with", "without"])
def test_lock_of_a_killed_holder_is_free_when_what_it_gave_it_to_has_ended(tmp_path, child):
    process = started(HOLD, tmp_path / "lock", child)
    sleeper = int(process.stdout.readline())
    with (
        pytest.raises(GitFailed, match=r"has held it for 0\.01 s") as caught,
        locked(tmp_path / "lock", 0.01),
    ):
        pass
    assert caught.value.recoverable
    process.kill()
    process.wait()
    if child == "with":
        with pytest.raises(GitFailed), locked(tmp_path / "lock", 0.01):
            pass
    subprocess.run(["kill", str(sleeper)], check=True)
    process.communicate()
    with locked(tmp_path / "lock", WAIT_S):
        pass
