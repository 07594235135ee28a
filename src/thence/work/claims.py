"""Who is at work on what: a lock for each subject, held as long as the work lasts.

It is `flock` on `<home>/claims/<hash of the subject>`; the system gives it back when its
holder ends, however it ends. So a claim in the log whose lock is free has lost its holder.
An agent holds no lock itself: whoever started it does, and its watchdog. The file holds the
agent's mark, so that one that has lost both is ended before somebody else begins.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.errors import Refused
from thence.work import ending
from thence.work.git import surroundings

_FOLDER = "claims"
_NAME_CHARACTERS = 32
_MARK_BYTES_MAX = 64
_GRACE_S = 1.0
_AFTER_KILL_S = 1.0


@contextmanager
def claimed(home: Path, subject: str) -> Iterator[None]:
    """Holds the claim on a subject; raises Refused (moved_meanwhile) if somebody else has it."""
    descriptor = take(home, subject)
    if descriptor is None:
        raise Refused(
            "could not begin work on",
            guard="moved_meanwhile",
            place=subject.rpartition("/")[2],
            cause="another command is at work on it right now",
            hint="wait until it has ended, then look at `thence work status`",
        )
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(home: Path, subject: str) -> bool:
    """Tells whether somebody holds the claim on a subject."""
    descriptor = _locked(home, subject)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def take(home: Path, subject: str) -> int | None:
    """Returns a descriptor that holds the claim until it is closed, None if somebody has it.

    A program that inherits it holds the claim too. An agent that was marked here and still lives
    has lost whoever watched it: it is ended, unless it is who asks.
    """
    descriptor = _locked(home, subject)
    if descriptor is not None and not _is_free_of_agents(descriptor):
        os.close(descriptor)
        return None
    return descriptor


def mark(descriptor: int, of_agent: str) -> None:
    """Writes into a claim which agent works under it; raises OSError if the disk is full."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.pwrite(descriptor, of_agent.encode("ascii"), 0)


def unmark(descriptor: int) -> None:
    """Takes the mark of an agent out of a claim: all of it has ended."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.ftruncate(descriptor, 0)


def _is_free_of_agents(descriptor: int) -> bool:
    """Ends what is left of the agent that a claim bears the mark of; False if it lives on."""
    left = os.pread(descriptor, _MARK_BYTES_MAX, 0).decode("ascii", "replace")
    if not left or left == surroundings().get(ending.VARIABLE):
        return True
    if not ending.end(None, left, _GRACE_S, _AFTER_KILL_S):
        return False
    unmark(descriptor)
    return True


def _locked(home: Path, subject: str) -> int | None:
    from hashlib import sha256  # seldom needed

    folder = home / _FOLDER
    name = sha256(subject.encode()).hexdigest()[:_NAME_CHARACTERS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a home that can't be written keeps nobody from their work
        return os.open(os.devnull, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
