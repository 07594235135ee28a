"""The values of a board: features, their packages, and the conflicts between clones.

All values are frozen, made by `work.board.board.fold` from events alone, and equal wherever the
same events are held.
"""

from collections.abc import Mapping

import msgspec

from thence.core.merge import Conflict
from thence.core.vocabulary import work_subject
from thence.git.landed import Landed, Reviewed

PLANNED, DOING, FOR_REVIEW, DONE, REJECTED = "planned", "doing", "for_review", "done", "rejected"
LANES = (PLANNED, DOING, FOR_REVIEW, DONE, REJECTED)
# the text of a review that approves, and the column of packages that have one and are not done
APPROVED = "approved"
BLOCKED = "blocked"  # how a note on a package in doing begins that is a remark on the board
COLUMNS = (PLANNED, DOING, FOR_REVIEW, APPROVED, DONE, REJECTED)
# the actor where none is named
NOBODY = "user"
# the statuses of a gate; a gate without a result is pending
PENDING, PASSED, FAILED = "pending", "passed", "failed"


class GateState(msgspec.Struct, frozen=True):
    """A gate before a package; `status` is pending, passed, failed, or an unknown word.

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
        """True if the gate is passed."""
        return self.status == PASSED


class LostPackage(msgspec.Struct, frozen=True):
    """A package whose number another package keeps.

    `node_id` is that of its clone. `is_added` is whether it was added again, under another number.
    """

    title: str
    node_id: str
    is_added: bool


class PackageState(msgspec.Struct, frozen=True, kw_only=True):
    """A work package; `lane` may be an unknown one.

    `lost` are the packages that lost its number. `created_event` is the id of the event that made
    the package. `agent` has the package, or had it last; `reviewer` was given it for review;
    `phase` is implementation or review. `resolved` maps dependencies that need not be waited for
    any more to the kind of their resolution. `subtasks` maps those that were ticked in the log to
    True, and to False where the tick was undone. `gates` are by their ids. `approved_by` approved
    the code in review, `overruled` are the guards that the last move passed by force. `blocked` is
    the note that says so of the package in doing. `times_sent_back` counts the moves out of review
    back to work. `last_event` is the id of the last event in total order that counts: errors do
    not. `reviewed` is the code as it last went to review, `reviews` as it ever did, `landed` its
    landing in the target, until the package leaves done. `set_by` maps "lane", "agent", "reviewer",
    "approved", "package" (title and dependencies), "resolved/WP01" and "ticked/T001" to the ids of
    the events that set them last.
    """

    wp_id: str
    subject: str
    title: str = ""
    lost: tuple[LostPackage, ...] = ()
    created_event: str | None = None
    lane: str = PLANNED
    agent: str | None = None
    reviewer: str | None = None
    approved_by: str | None = None
    overruled: tuple[str, ...] = ()
    blocked: str | None = None
    times_sent_back: int = 0
    phase: str | None = None
    dependencies: tuple[str, ...] = ()
    resolved: Mapping[str, str] = msgspec.field(default_factory=dict)
    subtasks: Mapping[str, bool] = msgspec.field(default_factory=dict)
    gates: Mapping[str, GateState] = msgspec.field(default_factory=dict)
    workspace: str | None = None
    reviewed: Reviewed | None = None
    reviews: tuple[Reviewed, ...] = ()
    landed: Landed | None = None
    last_event: str | None = None
    set_by: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def lane_event(self) -> str | None:
        """The id of the event that set the lane."""
        return self.set_by.get("lane")

    @property
    def is_approved(self) -> bool:
        """True if a review approved the package, which is not done yet."""
        return self.lane == FOR_REVIEW and self.approved_by is not None

    @property
    def column(self) -> str:
        """The column of the board: the lane, or approved."""
        return APPROVED if self.is_approved else self.lane

    def events_of(self, *names: str) -> tuple[str, ...]:
        """Returns the ids of the events that set these facts; facts never set have none."""
        return tuple(self.set_by[name] for name in names if name in self.set_by)


class FeatureState(msgspec.Struct, frozen=True, kw_only=True):
    """A feature and its packages, by package id and in that order.

    `folder` is that of its planning files if it was renamed; the slug stays. `spec_event` and
    `created_event` are the ids of its SpecCreated and FeatureCreated.
    """

    project_uuid: str | None
    slug: str
    title: str = ""
    target_branch: str | None = None
    folder: str | None = None
    packages: Mapping[str, PackageState] = msgspec.field(default_factory=dict)
    is_completed: bool = False
    spec_event: str | None = None
    created_event: str | None = None

    @property
    def done_count(self) -> int:
        """The number of packages that are done."""
        return sum(package.lane == DONE for package in self.packages.values())

    @property
    def name(self) -> str:
        """The name that people know: the folder's, which is the slug unless it was renamed."""
        return self.folder or self.slug

    def by_column(self) -> dict[str, list[PackageState]]:
        """Returns the packages by column: all of COLUMNS in their order, then unknown lanes."""
        packages = self.packages.values()
        unknown = sorted({package.lane for package in packages} - {*LANES})
        return {
            column: [package for package in packages if package.column == column]
            for column in (*COLUMNS, *unknown)
        }

    def is_about(self, subject: str) -> bool:
        """Reports whether a subject belongs to this feature."""
        return subject.startswith(work_subject(self.project_uuid, self.slug, ""))


class Board(msgspec.Struct, frozen=True):
    """A project's features, by their slugs.

    A feature of another project, should the log hold any, stands under `<uuid>/<slug>`.
    `conflicts` are all there ever were, resolved ones too.
    """

    project_uuid: str | None = None
    features: Mapping[str, FeatureState] = msgspec.field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()

    @property
    def targets(self) -> set[str]:
        """The branches that features go to, as far as events name them."""
        return {feature.target_branch or "" for feature in self.features.values()} - {""}

    def package(self, feature_slug: str, wp_id: str) -> PackageState | None:
        """Returns a package; None where the board has none of this id."""
        feature = self.features.get(feature_slug)
        return feature.packages.get(wp_id) if feature else None

    def option_of(self, slug: str) -> str:
        """Returns the option that names a feature to a command; "" for the only one in work."""
        others = (one for one in self.features.values() if not one.is_completed)
        return "" if [one.slug for one in others] == [slug] else f" --feature {slug}"

    def open_conflicts(self, subject: str) -> tuple[Conflict, ...]:
        """Returns the open conflicts on a subject: no event has seen all of their sides."""
        return tuple(
            conflict
            for conflict in self.conflicts
            if conflict.is_open and conflict.subject == subject
        )
