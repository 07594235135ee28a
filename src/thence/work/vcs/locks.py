"""Locks of a repository that threads and processes of thence take in turn.

The locks are `flock` on files below the shared git folder, where no git command looks. The system
releases them when a process ends, however it ends. A lock file is never
deleted but for the marker of an orchestrator.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.work.vcs.git import failure

WAIT_S = 120.0
_PAUSE_MIN_S = 0.0005
_PAUSE_MAX_S = 0.02


@contextmanager
def held(path: Path, wait_s: float = WAIT_S) -> Iterator[int]:
    """Holds the lock of a file, which is made if missing, with its folder.

    Yields its descriptor. A program that inherits the descriptor keeps the lock until it has ended
    too, also when this process is killed.

    Raises a GitFailed that can be tried again if somebody else has held it for `wait_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        take(descriptor, path, wait_s)
        yield descriptor
    finally:
        os.close(descriptor)


def take(descriptor: int, path: Path, wait_s: float) -> None:
    """Takes the lock of an open file, until it is closed; `path` names it in errors.

    Raises a GitFailed that can be tried again if somebody else has held it for `wait_s`.
    """
    until_s = time.monotonic() + wait_s
    pause_s = _PAUSE_MIN_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise failure(
                    "could not take the lock",
                    path,
                    f"another command of thence has held it for {wait_s:g} s",
                    "wait for that command or end it, then try again",
                    is_passing=True,
                ) from None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _PAUSE_MAX_S)
