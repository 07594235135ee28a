"""The lock of a working tree's index, taken as git itself takes it, for some milliseconds.

It is the file `index.lock`, which keeps every other git command off the index. One that a killed
command of thence left is known by its content and removed; one of somebody else is waited for.
"""

import os
import time
from pathlib import Path

from thence.errors import GitFailed
from thence.work.git import failure

WAIT_S = 1.0
_PAUSE_S = 0.005
_MARK = b"a commit of thence\n"
_OPERATION = "could not commit to the branch checked out in"


class IndexLock:
    """The lock of one index. Callers hold the repository's lock of commits meanwhile."""

    def __init__(self, git_dir: Path, place: Path) -> None:
        self._path = git_dir / "index.lock"
        self._marked = git_dir / "thence-index.mark"
        self._place = place
        self._is_held = False

    def take(self) -> None:
        """Takes the lock; raises a passing GitFailed if somebody else has held it for WAIT_S."""
        until_s = time.monotonic() + WAIT_S
        while True:
            try:
                self._make()
                self._is_held = True
                return
            except FileExistsError:
                if self._is_left_over():
                    continue
                if time.monotonic() >= until_s:
                    raise self._taken() from None
            except OSError as error:
                raise failure(_OPERATION, self._place, str(error), "see who owns it") from error
            time.sleep(_PAUSE_S)

    def release(self) -> None:
        """Gives the lock back; without it does nothing."""
        if self._is_held:
            self._is_held = False
            self._path.unlink(missing_ok=True)

    def _make(self) -> None:
        """Makes the file, with our mark in it from its first moment on where the disk can link."""
        self._marked.write_bytes(_MARK)
        try:
            os.link(self._marked, self._path)
        except FileExistsError:
            raise
        except OSError:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            self._path.write_bytes(_MARK)
        finally:
            self._marked.unlink(missing_ok=True)

    def _is_left_over(self) -> bool:
        """Removes the lock if it is ours: its maker is gone, for we hold the lock of commits."""
        try:
            if self._path.read_bytes() != _MARK:
                return False
            self._path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _taken(self) -> GitFailed:
        return failure(
            _OPERATION,
            self._place,
            "its index is locked, so another git command runs there or was killed",
            f"wait for it to end; if none runs, remove {self._path}",
            is_passing=True,
        )
