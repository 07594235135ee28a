"""What a board holds: features, their packages, and what is not settled between clones.

All of it is frozen, made by `work.board.fold` from events alone, and equal wherever the
same events are held.
"""

from collections.abc import Mapping

import msgspec

from thence.core.values.vocabulary import work_subject
from thence.merge.conflicts import Conflict

PLANNED, DOING, FOR_REVIEW, DONE, REJECTED = "planned", "doing", "for_review", "done", "rejected"
LANES = (PLANNED, DOING, FOR_REVIEW, DONE, REJECTED)
# what stands for who acts where nobody is named
NOBODY = "user"
# what a gate of a package is when nobody has told its result
PENDING, PASSED, FAILED = "pending", "passed", "failed"


class GateState(msgspec.Struct, frozen=True):
    """A gate before a package; `status` is pending, passed, failed, or a word nobody knows.

    `stated_by` is the actor of its last result, as the event has it; `event_id` is the event of
    that result, or of the gate where it has none.
    """

    gate_id: str
    gate_type: str
    status: str = PENDING
    stated_by: str | None = None
    event_id: str = ""

    @property
    def is_passed(self) -> bool:
        """Whether the gate lets its package be done."""
        return self.status == PASSED


class Reviewed(msgspec.Struct, frozen=True):
    """A package's code as it went to review: the commit, and where its branch began.

    `patch` is the patch-id of all that was changed, empty for nothing, `patches` hold that of
    each commit.
    """

    commit: str
    base: str
    patch: str
    patches: tuple[str, ...] = ()


class Landed(msgspec.Struct, frozen=True):
    """How a package's code came to its target, and the commit of the target that has it.

    `how` is ancestor, patch, patches, merge, stated or no_code; the last two carry the reason that
    was given.
    """

    how: str
    commit: str | None = None
    reason: str = ""


class Workspace(msgspec.Struct, frozen=True):
    """Where a package is worked on: its branch, its worktree as it was written, in which clone."""

    branch: str
    path: str
    node_id: str = ""


class TakenOver(msgspec.Struct, frozen=True):
    """Tells who had a package until somebody else was given it, and when that was."""

    former: str
    at: str


class HistoryEntry(msgspec.Struct, frozen=True):
    """Something that was said about a package; `kind` is note, review, error or comment."""

    event_id: str
    timestamp: str
    author: str | None
    kind: str
    text: str


class PackageState(msgspec.Struct, frozen=True, kw_only=True):
    """A work package; `lane` may be one that nobody knows.

    `wp_id` is `WP10~ab12` for a package whose number was given twice and that came second, until it
    is renumbered, `renumbered_from` the number that it had before. `created_event` is the id of the
    event that made it. `agent` is who has it, or had it last, `reviewer` who was given it for
    review, and `phase` is implementation or review. `taken_over` tells who had it before its agent
    was given it. `resolved` maps dependencies that it need not wait for any more to how that came;
    `subtasks` maps those that were ticked in the log to True, and to False where the tick was taken
    back; `gates` are by their ids. `heads` are the ids of the events on it that no other event on
    it goes back to, `lane_event` of the one that put it into its lane, `last_event` of the last
    that counts in total order: errors do not. `open_claim` is the id of the event by which a
    command took the package and has not told yet what came of it. `reviewed` is its code as it last
    went to review, `landed` how that came to the target, until it leaves done. `set_by` maps
    "lane", "agent", "reviewer", "package" (title and dependencies), "resolved/WP01" and
    "ticked/T001" to the ids of the events that set them last.
    """

    wp_id: str
    subject: str
    title: str = ""
    renumbered_from: str | None = None
    created_event: str | None = None
    lane: str = PLANNED
    agent: str | None = None
    reviewer: str | None = None
    taken_over: TakenOver | None = None
    phase: str | None = None
    retry_count: int = 0
    dependencies: tuple[str, ...] = ()
    resolved: Mapping[str, str] = msgspec.field(default_factory=dict)
    subtasks: Mapping[str, bool] = msgspec.field(default_factory=dict)
    gates: Mapping[str, GateState] = msgspec.field(default_factory=dict)
    workspace: Workspace | None = None
    reviewed: Reviewed | None = None
    landed: Landed | None = None
    history: tuple[HistoryEntry, ...] = ()
    heads: tuple[str, ...] = ()
    lane_event: str | None = None
    open_claim: str | None = None
    last_event: str | None = None
    set_by: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def has_number(self) -> bool:
        """Whether its id is its own: events can name it."""
        return "~" not in self.wp_id

    def events_of(self, *names: str) -> tuple[str, ...]:
        """Returns the ids of the events that set these facts, without those that nothing set."""
        return tuple(self.set_by[name] for name in names if name in self.set_by)


class FeatureState(msgspec.Struct, frozen=True, kw_only=True):
    """A feature and its packages by their ids, in order of these.

    `spec_event` and `created_event` are the ids of what told of its spec and of its packages.
    """

    project_uuid: str | None
    slug: str
    number: str = ""
    title: str = ""
    mission: str = ""
    target_branch: str | None = None
    packages: Mapping[str, PackageState] = msgspec.field(default_factory=dict)
    is_completed: bool = False
    spec_event: str | None = None
    created_event: str | None = None

    def is_about(self, subject: str) -> bool:
        """Tells whether a subject is one of this feature."""
        return subject.startswith(work_subject(self.project_uuid, self.slug, ""))


class IgnoredEvent(msgspec.Struct, frozen=True):
    """An event that nothing follows from though its type is known, with the reason."""

    event_id: str
    event_type: str
    reason: str


class Board(msgspec.Struct, frozen=True):
    """A project's features, by their slugs.

    A feature of another project, should the log hold any, stands under `<uuid>/<slug>`.
    `conflicts` are all that ever were, resolved ones too.
    """

    project_uuid: str | None = None
    features: Mapping[str, FeatureState] = msgspec.field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    passed_over: tuple[IgnoredEvent, ...] = ()

    def package(self, feature_slug: str, wp_id: str) -> PackageState | None:
        """Returns a package; None where the board has none of this name."""
        feature = self.features.get(feature_slug)
        return feature.packages.get(wp_id) if feature else None

    def open_conflicts(self, subject: str) -> tuple[Conflict, ...]:
        """Returns the conflicts on a subject that nobody has gone on from with all in sight."""
        return tuple(each for each in self.conflicts if each.is_open and each.subject == subject)
