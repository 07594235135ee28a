"""Claims: who is at work on what, and packages taken by a command before it made their worktree.

Who works holds a lock of the subject: `flock` on `<home>/claims/<hash of the subject>`; the system
gives it back when its holder ends, however it ends. An agent holds no lock itself: whoever started
it does, and its watchdog. The file holds the agent's mark, so that one that has lost both is ended
before somebody else begins.

The event that takes a package `begins` something, and what came of it is told by one that `ends`
it: the worktree is there, or the package is free again. A claim that is open though nobody holds
its lock lost its command. It is compared with git: a branch lets it stand, else it is taken back,
in the name of who had it, whoever looks. The claims of other nodes are theirs to end; the board
shows them.
"""

import fcntl
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from thence.core.event import Event
from thence.errors import Refused
from thence.inspection.log_folder import next_node_id
from thence.work import process_ending
from thence.work.board.state import DOING, PLANNED, Board
from thence.work.journal.recovery import SOURCE
from thence.work.journal.store import WorkEvent
from thence.work.naming import branch_of, worktree_of
from thence.work.project.project import Project
from thence.work.vcs.git import surroundings

# a claim is ended as it was seen if none of these came meanwhile
CLAIM_TYPES = frozenset(("WPStatusChanged", "WPAssigned", "WorkspaceCreated", "ConflictSettled"))
_ENDED = "the command that took it ended before its branch was made"
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
    if not left or left == surroundings().get(process_ending.VARIABLE):
        return True
    if not process_ending.end(None, left, _GRACE_S, _AFTER_KILL_S):
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


class Claim(NamedTuple):
    """A claim of this node's that is open: the event that began it, on what, and whose it is.

    `changed_by` is who took the package, as lines for other tools have it.
    """

    event_id: str
    slug: str
    wp_id: str
    subject: str
    actor: str | None
    changed_by: str | None

    def ended(self, branches: Collection[str]) -> WorkEvent:
        """Returns what ends it, by the branches that are there."""
        if branch_of(self.slug, self.wp_id) in branches:
            made = workspace_made(self.slug, self.wp_id, self.event_id)
        else:
            made = taken_back(_ENDED, self.slug, self.wp_id, self.changed_by, self.event_id)
        return replace(made, source=SOURCE, source_id=self.event_id, actor=self.actor)

    def told(self, ended: WorkEvent) -> str:
        """Returns the note that tells the user what was done."""
        what = "is planned again" if ended.event_type == "WPStatusChanged" else "has its branch"
        return f"{self.wp_id} of {self.slug} {what}: the command that took it ended half-way"


def open_claims(project: Project, board: Board, events: Sequence[Event]) -> list[Claim]:
    """Returns the open claims of this node that still stand on the board.

    None where there is no git to compare them with, or the journal can't be written.
    """
    found = [
        (package.open_claim, feature.slug, package)
        for feature in board.features.values()
        for package in feature.packages.values()
        if package.open_claim and package.lane == DOING and package.has_number
    ]
    if not found or project.repo is None or not os.access(project.home, os.W_OK):
        return []
    node_id = next_node_id(project.home)
    if node_id is None:  # a copy: the original may be at work on it
        return []
    own = {event.event_id: event for event in events if event.node_id == node_id and event.seq}
    return [
        Claim(begun, slug, package.wp_id, package.subject, own[begun].actor, _who(own[begun]))
        for begun, slug, package in found
        if begun in own
    ]


def workspace_made(slug: str, wp_id: str, claim: str | None) -> WorkEvent:
    """Returns what tells that a package has its worktree; it ends the claim, if there is one."""
    payload = {
        "work_package_id": wp_id,
        "worktree_path": worktree_of(slug, wp_id),
        "branch_name": branch_of(slug, wp_id),
    }
    return WorkEvent("WorkspaceCreated", payload, slug, ends=claim)


def taken_back(
    reason: str, slug: str, wp_id: str, actor: str | None, claim: str | None
) -> WorkEvent:
    """Returns what tells that a package is free again: what was begun could not be done."""
    payload = {
        "wp_id": wp_id,
        "previous_status": DOING,
        "new_status": PLANNED,
        "changed_by": actor,
        "feature_slug": slug,
        "reason": reason,
    }
    return WorkEvent("WPStatusChanged", payload, slug, ends=claim)


def _who(event: Event) -> str | None:
    who = event.payload.get("changed_by")
    return who if isinstance(who, str) else None
