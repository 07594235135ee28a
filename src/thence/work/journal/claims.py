"""Claims: locks on packages that are being worked on.

A worker holds a lock of the subject: `flock` on `<home>/claims/<hash of the subject>`, which names
its process. The system releases the lock when its holder ends, however it ends. An agent inherits
the descriptor, and with it the lock: where its orchestrator is killed, the agent goes on, and the
package is still its own.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thence.errors import Refused, ThenceError
from thence.files import FileBusy, file_lock, is_locked

_FOLDER = "claims"
_NAME_CHARACTERS = 32


@contextmanager
def claimed(home: Path, subject: str, *, is_passed: bool = False) -> Iterator[None]:
    """Holds the claim on a subject; raises Refused (moved_meanwhile) if somebody else has it.

    With `is_passed` the claim is taken from whoever has it, who is not ended.
    """
    lease = take(home, subject)
    if lease is None and is_passed:
        with suppress(OSError):  # who holds the lock of the old file holds no claim any more
            _path(home, subject).unlink()
        lease = take(home, subject)
    if lease is None:
        feature, _, package = subject.rpartition("/")
        raise Refused(
            "could not begin work on",
            guard="moved_meanwhile",
            place=package,
            cause=f"{sentence(holder(home, subject))} right now",
            hint="wait for it to finish, then check `thence work status`; a person takes over"
            f" a package in doing with `thence work implement {package} --feature"
            f" {feature.rpartition('/')[2]} --take-over`",
        )
    try:
        yield
    finally:
        drop(lease)


def take(home: Path, subject: str) -> int | None:
    """Returns a descriptor that holds the claim until it is dropped, None if somebody has it.

    A program that inherits the descriptor holds the claim too.
    """
    path = _path(home, subject)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path) as file:
            lease = os.dup(file.fileno())
    except FileBusy:
        return None
    except (OSError, ThenceError):  # a home that can't be written keeps nobody from their work
        lease = os.open(os.devnull, os.O_RDWR)
    give(lease, os.getpid())
    return lease


def give(lease: int, pid: int | None) -> None:
    """Names the process that holds a claim; None names nobody."""
    with suppress(OSError):  # no file, or a full disk: then nobody is named
        os.ftruncate(lease, 0)
        os.pwrite(lease, b"" if pid is None else b"%d" % pid, 0)


def drop(lease: int) -> None:
    """Ends a claim, also for the processes that have inherited its descriptor."""
    give(lease, None)
    with suppress(OSError):  # a device is not locked everywhere
        fcntl.flock(lease, fcntl.LOCK_UN)
    os.close(lease)


def holder(home: Path, subject: str) -> int | None:
    """Returns the process that a claim names, None if nobody holds it or none is named.

    If that process has ended, one that it started holds the claim.
    """
    path = _path(home, subject)
    with suppress(OSError, ValueError, ThenceError):
        pid = int(path.read_bytes())
        if is_locked(path):
            return pid
    return None


def sentence(pid: int | None) -> str:
    """Returns a sentence on the holder of a claim."""
    who = f"process {pid}, or one that it started," if pid else "another process"
    return f"{who} is working on it"


def _path(home: Path, subject: str) -> Path:
    from hashlib import sha256  # seldom needed

    return home / _FOLDER / sha256(subject.encode()).hexdigest()[:_NAME_CHARACTERS]
