"""The exchange of a log in the background: a detached `thence sync now`.

One is at work and one waits for its turn, so that whatever was appended before a start is sent by
one of them. The one that waits holds a lock as its stdin, which it has from its start.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from thence.errors import ThenceError
from thence.files import file_lock
from thence.sync.target import sync_folder

# locked while one waits for its turn
WAITING = "waiting.lock"
# nothing is imported from the folder in which it begins, which may be a user's working tree
_PROGRAM = "import sys; del sys.path[0]; from thence.cli.main import main; sys.exit(main())"


def send(folder: Path, cwd: Path, wait_s: float = 0.0) -> bool:
    """Starts `thence sync now` for a log, unless one is about to begin.

    Returns whether it succeeded within `wait_s` seconds.
    """
    path, until_s = sync_folder(folder) / WAITING, time.monotonic() + wait_s
    words = ("sync", "now", "--quiet", "--log", os.fspath(folder))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path, wait_s) as lock:
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *words],
                cwd=cwd,
                stdin=lock,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return wait_s > 0 and process.wait(max(0.0, until_s - time.monotonic())) == 0
    except (OSError, ThenceError, subprocess.TimeoutExpired):
        return False


def begin_turn(folder: Path) -> None:
    """Lets the next process wait, once this one has its turn, if it is one of the background."""
    with suppress(OSError):
        if os.path.samestat(os.fstat(0), os.stat(sync_folder(folder) / WAITING)):
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
