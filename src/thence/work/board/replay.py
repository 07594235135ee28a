"""The replay of a project's events: what each type changes, event by event.

The replay is lenient. A member that an event lacks is looked for where other programs put it. A
member of the wrong type counts as absent. An event without usable members is passed over.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from thence.core.event import Event, EventHeader
from thence.core.vocabulary import work_subject
from thence.git.landed import Landed, Reviewed
from thence.work.board.state import (
    APPROVED,
    BLOCKED,
    DOING,
    DONE,
    FOR_REVIEW,
    NOBODY,
    PENDING,
    PLANNED,
    REJECTED,
    FeatureState,
    GateState,
    LostPackage,
    PackageState,
)
from thence.work.names import is_wp_id

Value = TypeVar("Value")
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class PackageFold:
    """A package while its events are applied; `facts` are members of its PackageState."""

    __slots__ = ("facts", "last_event", "resolved", "set_by", "subtasks")

    def __init__(self, wp_id: str) -> None:
        self.facts: dict[str, Any] = {"wp_id": wp_id}
        self.resolved: dict[str, str] = {}
        self.subtasks: dict[str, bool] = {}
        self.set_by: dict[str, str] = {}
        self.last_event: str | None = None


class FeatureFold:
    """A feature while its events are applied.

    `gates` are those of all its packages, each with its package, its type and the event of its
    creation; `results` are the statuses of gates, each with the actor and the event.
    """

    __slots__ = ("facts", "gates", "packages", "results")

    def __init__(self, project: str | None, slug: str) -> None:
        self.facts: dict[str, Any] = {"project_uuid": project, "slug": slug}
        self.packages: dict[str, PackageFold] = {}
        self.gates: dict[str, tuple[PackageFold, str, str]] = {}
        self.results: dict[str, tuple[str, str | None, str]] = {}

    def state(self, lost: Mapping[str, tuple[LostPackage, ...]]) -> FeatureState:
        """Returns the feature after all applied events.

        `lost` are the packages that lost their number, by subject.
        """
        gates: dict[str, dict[str, GateState]] = defaultdict(dict)
        for gate_id, (package, kind, event_id) in sorted(self.gates.items()):
            result = self.results.get(gate_id, (PENDING, None, event_id))
            gates[package.facts["wp_id"]][gate_id] = GateState(gate_id, kind, *result)
        packages: dict[str, PackageState] = {}
        for wp_id, package in sorted(self.packages.items()):
            subject = work_subject(self.facts["project_uuid"], self.facts["slug"], wp_id)
            packages[wp_id] = PackageState(
                subject=subject,
                lost=lost.get(subject, ()),
                resolved=_in_order(package.resolved),
                subtasks=_in_order(package.subtasks),
                gates=MappingProxyType(gates[wp_id]),
                last_event=package.last_event,
                set_by=MappingProxyType(package.set_by),
                **package.facts,
            )
        return FeatureState(packages=MappingProxyType(packages), **self.facts)


def _in_order(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(sorted(values.items())))


class ReplayedEvent(NamedTuple):
    """One event as a step reads it: its members, and the feature that it is about."""

    header: EventHeader
    payload: Mapping[str, Any]
    feature: FeatureFold

    def text(self, name: str) -> str | None:
        """Returns a member of the payload that is a non-empty text, else None."""
        return text(self.payload.get(name))


# by type, the member that a package's event can't do without
_PACKAGE_TYPES: Mapping[str, str] = {
    "WPStatusChanged": "new_status",
    "WPCreated": "",
    "WPAssigned": "agent_id",
    "HistoryAdded": "entry_content",
    "DependencyResolved": "dependency_wp_id",
    "WorkspaceCreated": "branch_name",
    "WPReviewed": "commit",
    "WPLanded": "how",
    "SubtaskCompleted": "",
    "SubtaskReopened": "",
    "GateCreated": "",
}
_FEATURE_TYPES = frozenset(
    ("GateResultChanged", "SpecCreated", "FeatureCreated", "FeatureCompleted")
)
TYPES = _PACKAGE_TYPES.keys() | _FEATURE_TYPES


def apply(event: Event, feature: FeatureFold) -> None:
    """Applies an event to its feature; one without usable members changes nothing."""
    read = ReplayedEvent(event.header, event.cut_payload, feature)
    kind, event_id = read.header.event_type, read.header.event_id
    if kind in _FEATURE_TYPES:
        _apply_to_feature(read)
        return
    member = _PACKAGE_TYPES[kind]
    value = read.text(member) if member else ""
    wp_id = read.text("wp_id") or read.text("work_package_id")
    if wp_id is None and is_wp_id(read.header.aggregate_id or ""):
        wp_id = read.header.aggregate_id
    if value is None or wp_id is None:
        return
    package = feature.packages.get(wp_id)
    if package is None:
        package = feature.packages[wp_id] = PackageFold(wp_id)
    facts, set_by = package.facts, package.set_by
    match kind:
        case "WPStatusChanged":
            _move(read, package, value)
        case "WPCreated":
            facts["title"] = read.text("title") or ""
            facts["dependencies"] = texts(read.payload.get("dependencies"))
            facts.setdefault("created_event", event_id)
            feature.facts.pop("is_completed", None)
            set_by["package"] = event_id
        case "WPAssigned":
            facts["phase"] = phase = read.text("phase") or "implementation"
            role = "reviewer" if phase == "review" else "agent"
            facts[role], set_by[role] = value, event_id
        case "HistoryAdded":
            kind_of_entry, lane = read.text("entry_type"), facts.get("lane")
            if (kind_of_entry, lane, value.partition(":")[0]) == ("note", DOING, BLOCKED):
                facts["blocked"] = value
            if (kind_of_entry, lane, value) == ("review", FOR_REVIEW, APPROVED):
                facts["approved_by"] = read.text("author") or read.header.actor or NOBODY
                set_by["approved"] = event_id
        case "DependencyResolved":
            package.resolved[value] = read.text("resolution_type") or "completed"
            set_by[f"resolved/{value}"] = event_id
        case "WorkspaceCreated":
            facts["workspace"] = value
        case "WPReviewed":
            if not _review(read, package):
                return
        case "WPLanded":
            commit, reason = oid(read.payload.get("commit")), read.text("reason") or ""
            facts["landed"] = Landed(value, commit, reason)
        case "SubtaskCompleted" | "SubtaskReopened":
            index = read.payload.get("subtask_index")
            subtask = f"T{index:03}" if type(index) is int else text(index)
            if subtask := subtask or read.header.aggregate_id:
                package.subtasks[subtask] = kind == "SubtaskCompleted"
                set_by[f"ticked/{subtask}"] = event_id
        case "GateCreated":
            if gate_id := read.text("gate_id") or read.header.aggregate_id:
                gate_type = read.text("gate_type") or "unknown"
                feature.gates[gate_id] = (package, gate_type, event_id)
    package.last_event = event_id


def _apply_to_feature(event: ReplayedEvent) -> None:
    feature, event_id = event.feature, event.header.event_id
    facts = feature.facts
    match event.header.event_type:
        case "GateResultChanged":
            gate_id = event.text("gate_id") or event.header.aggregate_id
            status = event.text("new_status")
            if gate_id is None or status is None:
                return
            feature.results[gate_id] = (status, event.header.actor, event_id)
            if gate_id in feature.gates:
                feature.gates[gate_id][0].last_event = event_id
        case "SpecCreated":
            facts["spec_event"], facts["title"] = event_id, event.text("title") or ""
            if target := event.text("target_branch"):
                facts["target_branch"] = target
        case "FeatureCreated":
            facts["created_event"] = event_id
            facts["target_branch"] = event.text("target_branch") or facts.get("target_branch")
            facts["folder"] = event.text("folder") or facts.get("folder")
        case "FeatureCompleted":
            facts["is_completed"] = True


def _move(event: ReplayedEvent, package: PackageFold, new: str) -> None:
    facts = package.facts
    previous = event.text("previous_status") or event.text("old_status")
    if new in (DOING, PLANNED) and facts.get("lane") == FOR_REVIEW:
        facts["times_sent_back"] = facts.get("times_sent_back", 0) + 1
    facts["lane"] = new
    facts["landed"] = facts["approved_by"] = facts["blocked"] = None
    facts["overruled"] = texts(event.payload.get("overruled"))
    package.set_by.pop("approved", None)
    package.set_by["lane"] = event.header.event_id
    if new == FOR_REVIEW:  # what is handed in follows, unless that could not be written
        facts["reviewed"] = None
    if new not in (DONE, REJECTED):
        event.feature.facts.pop("is_completed", None)
    if new == DOING:
        facts["phase"] = "implementation"
    if new == DOING and previous == DONE:
        facts["workspace"] = None
    if new == PLANNED or (new == DOING and previous != FOR_REVIEW):
        package.set_by["agent"] = event.header.event_id
    if new == PLANNED:
        package.set_by["reviewer"] = event.header.event_id
        facts["agent"] = facts["reviewer"] = facts["phase"] = facts["reviewed"] = None
    elif new == DOING and previous != FOR_REVIEW:
        agent, actor = event.text("changed_by"), event.header.actor
        facts["agent"] = actor or agent if agent in (None, NOBODY) else agent


def _review(event: ReplayedEvent, package: PackageFold) -> bool:
    """Records the code that went to review; reports whether the event names any."""
    commit, base, patch = (oid(event.payload.get(name)) for name in ("commit", "base", "patch"))
    if commit is None or base is None:
        return False
    patches, commits = (
        tuple(filter(None, map(oid, texts(event.payload.get(name)))))
        for name in ("patches", "commits")
    )
    code = Reviewed(commit, base, patch or "", patches, commits)
    before = package.facts.get("reviews", ())
    package.facts["reviewed"] = replace(code, earlier=before)
    package.facts["reviews"] = (*before, code)
    return True


def text(value: Any) -> str | None:
    """Returns a value if it is a non-empty text, else None."""
    return value if isinstance(value, str) and value else None


def oid(value: Any) -> str | None:
    """Returns a value if it is the full id of a commit or a patch, safe to pass to git."""
    return value if isinstance(value, str) and _OID.fullmatch(value) else None


def texts(value: Any) -> tuple[str, ...]:
    """Returns the texts of a list, each once."""
    items = value if isinstance(value, list | tuple) else ()
    return tuple(dict.fromkeys(item for item in items if isinstance(item, str) and item))
