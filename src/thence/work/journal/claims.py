"""Claims: locks on packages that are being worked on, and claims whose command was killed.

A worker holds a lock of the subject: `flock` on `<home>/claims/<hash of the subject>`. The system
releases the lock when its holder ends, however it ends. An agent holds no lock itself: the process
that started the agent does, and the agent's supervisor, which writes the mark of the run into the
file: an agent that has lost both is ended before somebody else begins.

The event that claims a package `begins` something. A later event `ends` it: the worktree is made,
or the package is free again. An open claim without a lock has lost its command. The next command
of this node compares it with git: with a branch the claim stands, else it is released, in the name
of its actor. Claims of other nodes are for those nodes to end; the board shows them.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from thence.core.event import Event
from thence.errors import Refused, ThenceError
from thence.files import FileBusy, file_lock
from thence.git.git import own_variables
from thence.log.recovery.writers import next_node_id
from thence.work import supervisor
from thence.work.board.state import DOING, PLANNED, Board
from thence.work.journal.store import RECOVERED, WorkEvent
from thence.work.names import branch_of, worktree_of
from thence.work.project.project import Project

# a claim is ended only if no event of these types came meanwhile
CLAIM_TYPES = frozenset(("WPStatusChanged", "WPAssigned", "WorkspaceCreated"))
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


class Claim(NamedTuple):
    """An open claim of this node: the event that began it, its package, and its actor.

    `changed_by` is the actor in the form for other tools.
    """

    event_id: str
    slug: str
    wp_id: str
    subject: str
    actor: str | None
    changed_by: str | None

    def closing_event(self, branches: Collection[str]) -> WorkEvent:
        """Returns the event that ends the claim, by the branches that exist."""
        if branch_of(self.slug, self.wp_id) in branches:
            closing = workspace_event(self.slug, self.wp_id, self.event_id)
        else:
            closing = claim_release(_ENDED, self.slug, self.wp_id, self.changed_by, self.event_id)
        return replace(closing, source=RECOVERED, source_id=self.event_id, actor=self.actor)

    def report(self, closing: WorkEvent) -> str:
        """Returns the warning that reports the closing event to the user."""
        what = "is planned again" if closing.event_type == "WPStatusChanged" else "has its branch"
        return f"{self.wp_id} of {self.slug} {what}: the command that took it ended half-way"


def open_claims(project: Project, board: Board, events: Sequence[Event]) -> list[Claim]:
    """Returns the open claims of this node on the board.

    Empty where the journal can't be written.
    """
    claimed_packages = [
        (package.open_claim, feature.slug, package)
        for feature in board.features.values()
        for package in feature.packages.values()
        if package.open_claim and package.lane == DOING
    ]
    if not claimed_packages or not os.access(project.home, os.W_OK):
        return []
    node_id = next_node_id(project.home)
    if node_id is None:  # a copy: the original may be at work on it
        return []
    own = {event.event_id: event for event in events if event.node_id == node_id and event.seq}
    return [
        Claim(
            event_id, slug, package.wp_id, package.subject, own[event_id].actor, _who(own[event_id])
        )
        for event_id, slug, package in claimed_packages
        if event_id in own
    ]


def workspace_event(slug: str, wp_id: str, claim: str | None) -> WorkEvent:
    """Returns the event of a package's new worktree; it ends the claim, if there is one."""
    payload = {
        "work_package_id": wp_id,
        "worktree_path": worktree_of(slug, wp_id),
        "branch_name": branch_of(slug, wp_id),
    }
    return WorkEvent("WorkspaceCreated", payload, slug, ends=claim)


def claim_release(
    reason: str, slug: str, wp_id: str, actor: str | None, claim: str | None
) -> WorkEvent:
    """Returns the event that releases a package whose work could not be begun."""
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
