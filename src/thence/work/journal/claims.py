"""Claims: locks on packages that are being worked on.

A worker holds a lock of the subject: `flock` on `<home>/claims/<hash of the subject>`. The system
releases the lock when its holder ends, however it ends. An agent holds no lock itself: the process
that started the agent does, and the agent's supervisor, which writes the mark of the run into the
file: an agent that has lost both is ended before somebody else begins.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.errors import Refused, ThenceError
from thence.files import FileBusy, file_lock
from thence.git.git import own_variables
from thence.work import supervisor
from thence.work.board.state import DOING, PLANNED
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, worktree_of

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
    """Reports whether somebody holds the claim on a subject."""
    descriptor = _locked(home, subject)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def take(home: Path, subject: str) -> int | None:
    """Returns a descriptor that holds the claim until it is closed, None if somebody has it.

    A program that inherits the descriptor holds the claim too. A live agent whose mark is in the
    file has lost its supervisor: the agent is ended, unless the caller runs in it.
    """
    descriptor = _locked(home, subject)
    if descriptor is not None and not _is_free_of_agents(descriptor):
        os.close(descriptor)
        return None
    return descriptor


def _is_free_of_agents(descriptor: int) -> bool:
    """Ends the processes left of the agent whose mark is in a claim; False if any lives on."""
    mark = os.pread(descriptor, _MARK_BYTES_MAX, 0).decode("ascii", "replace")
    if not mark or mark == own_variables().get(supervisor.VARIABLE):
        return True
    if not supervisor.end(None, mark, _GRACE_S, _AFTER_KILL_S):
        return False
    os.ftruncate(descriptor, 0)
    return True


def _locked(home: Path, subject: str) -> int | None:
    from hashlib import sha256  # seldom needed

    folder = home / _FOLDER
    name = sha256(subject.encode()).hexdigest()[:_NAME_CHARACTERS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / name) as file:
            return os.dup(file.fileno())
    except FileBusy:
        return None
    except (OSError, ThenceError):  # a home that can't be written keeps nobody from their work
        return os.open(os.devnull, os.O_RDONLY)


def workspace_event(slug: str, wp_id: str) -> WorkEvent:
    """Returns the event of a package's new worktree."""
    payload = {
        "work_package_id": wp_id,
        "worktree_path": worktree_of(slug, wp_id),
        "branch_name": branch_of(slug, wp_id),
    }
    return WorkEvent("WorkspaceCreated", payload, slug)


def claim_release(reason: str, slug: str, wp_id: str, actor: str | None) -> WorkEvent:
    """Returns the event that releases a package whose work could not be begun."""
    payload = {
        "wp_id": wp_id,
        "previous_status": DOING,
        "new_status": PLANNED,
        "changed_by": actor,
        "feature_slug": slug,
        "reason": reason,
    }
    return WorkEvent("WPStatusChanged", payload, slug)
