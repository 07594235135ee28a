"""Who is at work on what: a lock for each subject, held as long as the work lasts.

It is `flock` on `<home>/claims/<hash of the subject>`; the system gives it back when its
holder ends, however it ends. So a claim in the log whose lock is free has lost its holder.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from thence.errors import Refused

_FOLDER = "claims"
_NAME_CHARACTERS = 32


@contextmanager
def claimed(home: Path, subject: str) -> Iterator[None]:
    """Holds the claim on a subject; raises Refused (moved_meanwhile) if somebody else has it."""
    descriptor = _taken(home, subject)
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
    descriptor = _taken(home, subject)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _taken(home: Path, subject: str) -> int | None:
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
