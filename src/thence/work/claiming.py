"""Claims: a package taken by a command that has yet to make its worktree.

The event that takes the package `begins` something, and what came of it is told by one that
`ends` it: the worktree is there, or the package is free again. A claim that is open though nobody
holds its lock lost its command. It is compared with git: a branch lets it stand, else it is taken
back, in the name of who had it, whoever looks. The claims of other nodes are theirs to end; the
board shows them.
"""

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from thence.core.event import Event
from thence.log_folder import next_node_id
from thence.work.naming import branch_of, worktree_of
from thence.work.project import Project
from thence.work.recovering import SOURCE
from thence.work.state import DOING, PLANNED, Board
from thence.work.store import Said

# a claim is ended as it was seen if none of these came meanwhile
CLAIM_TYPES = frozenset(("WPStatusChanged", "WPAssigned", "WorkspaceCreated", "ConflictSettled"))
_ENDED = "the command that took it ended before its branch was made"


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

    def ended(self, branches: Collection[str]) -> Said:
        """Returns what ends it, by the branches that are there."""
        if branch_of(self.slug, self.wp_id) in branches:
            made = workspace_made(self.slug, self.wp_id, self.event_id)
        else:
            made = taken_back(_ENDED, self.slug, self.wp_id, self.changed_by, self.event_id)
        return replace(made, source=SOURCE, source_id=self.event_id, actor=self.actor)

    def told(self, ended: Said) -> str:
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


def workspace_made(slug: str, wp_id: str, claim: str | None) -> Said:
    """Returns what tells that a package has its worktree; it ends the claim, if there is one."""
    payload = {
        "work_package_id": wp_id,
        "worktree_path": worktree_of(slug, wp_id),
        "branch_name": branch_of(slug, wp_id),
    }
    return Said("WorkspaceCreated", payload, slug, ends=claim)


def taken_back(reason: str, slug: str, wp_id: str, actor: str | None, claim: str | None) -> Said:
    """Returns what tells that a package is free again: what was begun could not be done."""
    payload = {
        "wp_id": wp_id,
        "previous_status": DOING,
        "new_status": PLANNED,
        "changed_by": actor,
        "feature_slug": slug,
        "reason": reason,
    }
    return Said("WPStatusChanged", payload, slug, ends=claim)


def _who(event: Event) -> str | None:
    who = event.payload.get("changed_by")
    return who if isinstance(who, str) else None
