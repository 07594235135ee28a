"""Commits beside `git gc --prune=now`, which deletes what no branch leads to yet.

Git's manual has it run where nobody else is at work, but people don't, and commits of ours are
made whenever an agent says something. What it takes before the branch has moved is made again.
What it takes behind that, because it had looked at the branches before, is written once more: a
branch that leads to nothing would be worse than all that waiting costs.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thence.errors import GitFailed
from thence.work.locks import is_alive
from thence.work.objects import Objects
from thence.work.refs import MovedMeanwhile

# so long a gc is waited for that had begun before a branch moved: it may delete what that needs;
# no longer, for one that git began by itself takes minutes and deletes nothing that is new
WAIT_S = 3.0
_PAUSE_S = 0.01
_PID_FILE = "gc.pid"  # "PID HOST", as long as `git gc` runs
_NO_FOLDER = "No such file or directory"  # of git, whose folder for an object was taken away


@contextmanager
def made_again(store: Objects) -> Iterator[None]:
    """Raises MovedMeanwhile for a GitFailed if pruning is what it came from."""
    try:
        yield
    except GitFailed as error:
        lost: list[str] = []
        with suppress(GitFailed):
            lost = store.lost()
        if not lost and _NO_FOLDER not in error.cause:
            raise
        raise MovedMeanwhile(error.cause) from error


def restore(store: Objects, common: Path) -> None:
    """Writes again what was stored and is gone, until no gc runs that had begun before.

    Raises GitFailed if git can't write it.
    """
    end_s = time.monotonic() + WAIT_S
    while True:
        is_last = not is_collecting(common) or time.monotonic() >= end_s
        try:
            store.restore()
        except GitFailed:
            if is_last:
                raise
        if is_last:
            return
        time.sleep(_PAUSE_S)


def is_collecting(common: Path) -> bool:
    """Tells whether `git gc` of this host runs in a repository."""
    try:
        pid, host = (common / _PID_FILE).read_text().split()
        return host == os.uname().nodename and is_alive(int(pid))
    except (OSError, OverflowError, ValueError):
        return False
