"""The replay of a project's events: what each type changes, event by event.

The replay is lenient. A member that an event lacks is looked for where other programs put it. A
member of the wrong type counts as absent. An event without usable members is passed over and
reported.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from thence.core.event import Event, EventHeader
from thence.core.ready import ready
from thence.core.vocabulary import work_subject
from thence.git.landed import Landed, Reviewed
from thence.work.board.state import (
    APPROVED,
    DOING,
    DONE,
    FOR_REVIEW,
    NOBODY,
    PENDING,
    PLANNED,
    REJECTED,
    FeatureState,
    GateState,
    HistoryEntry,
    LostPackage,
    PackageState,
    TakenOver,
    Workspace,
)
from thence.work.names import digits_of


class PayloadMembers(msgspec.Struct, frozen=True, gc=False):
    """The payload members that a board needs; a member may hold any JSON value."""

    wp_id: Any = None
    work_package_id: Any = None
    feature_slug: Any = None
    new_status: Any = None
    previous_status: Any = None
    old_status: Any = None
    changed_by: Any = None
    title: Any = None
    dependencies: Any = None
    agent_id: Any = None
    phase: Any = None
    retry_count: Any = None
    mission: Any = None
    feature_number: Any = None
    target_branch: Any = None
    dependency_wp_id: Any = None
    resolution_type: Any = None
    worktree_path: Any = None
    branch_name: Any = None
    subtask_index: Any = None
    gate_type: Any = None
    gate_id: Any = None
    entry_type: Any = None
    entry_content: Any = None
    author: Any = None
    commit: Any = None
    base: Any = None
    patch: Any = None
    patches: Any = None
    commits: Any = None
    how: Any = None
    reason: Any = None
    folder: Any = None
    overruled: Any = None


class _Line(msgspec.Struct, frozen=True, gc=False):
    payload: PayloadMembers = PayloadMembers()


_decode = msgspec.json.Decoder(ready(_Line)).decode


def members_of(event: Event) -> PayloadMembers:
    """Returns the payload members that a board needs; a missing member is None."""
    try:
        return _decode(event.line).payload
    except msgspec.MsgspecError:  # a payload that is no map, a number that Python can't hold
        payload = event.payload
        return PayloadMembers(
            **{name: payload[name] for name in PayloadMembers.__struct_fields__ if name in payload}
        )


Value = TypeVar("Value")
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class ReplayedEvent(NamedTuple):
    """One event as a step reads it."""

    header: EventHeader
    members: PayloadMembers
    feature: "FeatureFold"


class GateResult(NamedTuple):
    """A gate's last result: the status, the actor, and the event's id."""

    status: str
    actor: str | None
    event_id: str


class PackageFold:
    """A package while its events are applied."""

    __slots__ = ("facts", "gates", "history", "last_event", "resolved", "set_by", "subtasks")

    def __init__(self, wp_id: str) -> None:
        self.facts: dict[str, Any] = {"wp_id": wp_id}
        self.resolved: dict[str, str] = {}
        self.subtasks: dict[str, bool] = {}
        self.gates: dict[str, tuple[str, str]] = {}
        self.set_by: dict[str, str] = {}
        self.history: list[HistoryEntry] = []
        self.last_event: str | None = None

    def state(
        self,
        subject: str,
        results: Mapping[str, "GateResult"],
        heads: Mapping[str, tuple[str, ...]],
        lost: Mapping[str, tuple[LostPackage, ...]],
    ) -> PackageState:
        """Returns the package after all applied events; results by gate, the rest by subject."""
        gates = {
            gate_id: GateState(gate_id, kind, *results.get(gate_id, (PENDING, None, event_id)))
            for gate_id, (kind, event_id) in sorted(self.gates.items())
        }
        return PackageState(
            subject=subject,
            lost=lost.get(subject, ()),
            resolved=_in_order(self.resolved),
            subtasks=_in_order(self.subtasks),
            gates=MappingProxyType(gates),
            history=tuple(self.history),
            heads=heads.get(subject, ()),
            last_event=self.last_event,
            set_by=MappingProxyType(self.set_by),
            **self.facts,
        )


class FeatureFold:
    """A feature while its events are applied; `results` are of gates of all its packages."""

    __slots__ = ("facts", "gates", "packages", "results")

    def __init__(self, project: str | None, slug: str) -> None:
        number = digits_of(slug) or ""
        self.facts: dict[str, Any] = {"project_uuid": project, "slug": slug, "number": number}
        self.packages: dict[str, PackageFold] = {}
        self.gates: dict[str, PackageFold] = {}
        self.results: dict[str, GateResult] = {}

    def package(self, wp_id: str) -> PackageFold:
        """Returns a package, new where the board had none of this id."""
        package = self.packages.get(wp_id)
        if package is None:
            package = self.packages[wp_id] = PackageFold(wp_id)
        return package

    def state(
        self,
        heads: Mapping[str, tuple[str, ...]],
        lost: Mapping[str, tuple[LostPackage, ...]] = MappingProxyType({}),
    ) -> FeatureState:
        """Returns the feature after all applied events.

        `heads` are event ids, `lost` the packages that lost their number, both by subject.
        """
        project, slug = self.facts["project_uuid"], self.facts["slug"]
        packages = {
            wp_id: package.state(work_subject(project, slug, wp_id), self.results, heads, lost)
            for wp_id, package in sorted(self.packages.items())
        }
        return FeatureState(packages=MappingProxyType(packages), **self.facts)


def _in_order(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(sorted(values.items())))


# returns the reason that the event changes nothing, or the package that it is about, or None
Step = Callable[[ReplayedEvent], str | PackageFold | None]


def _package_of(event: ReplayedEvent) -> PackageFold | None:
    wp_id = text(event.members.wp_id) or text(event.members.work_package_id)
    if wp_id is None and event.header.aggregate_type in (None, "WorkPackage", "Workspace"):
        wp_id = event.header.aggregate_id
    return event.feature.package(wp_id) if wp_id else None


_NO_PACKAGE = "it names no package"


def _apply_move(event: ReplayedEvent) -> str | PackageFold | None:
    new = text(event.members.new_status)
    if new is None:
        return "it names no lane"
    package = _package_of(event)
    if package is None:
        return _NO_PACKAGE
    facts = package.facts
    previous = text(event.members.previous_status) or text(event.members.old_status)
    if new in (DOING, PLANNED) and facts.get("lane") == FOR_REVIEW:
        facts["times_sent_back"] = facts.get("times_sent_back", 0) + 1
    facts["lane"], facts["lane_event"] = new, event.header.event_id
    facts["landed"] = facts["approved_by"] = None
    facts["overruled"] = texts(event.members.overruled)
    package.set_by.pop("approved", None)
    package.set_by["lane"] = event.header.event_id
    if new == FOR_REVIEW:  # what is handed in follows, unless that could not be written
        facts["reviewed"] = None
    if new not in (DONE, REJECTED):
        event.feature.facts.pop("is_completed", None)
    if new == DOING and previous == DONE:
        facts["workspace"] = None
    if new == PLANNED or (new == DOING and previous != FOR_REVIEW):
        package.set_by["agent"] = event.header.event_id
        facts["taken_over"] = None
    if new == PLANNED:
        package.set_by["reviewer"] = event.header.event_id
        facts["agent"] = facts["reviewer"] = facts["phase"] = facts["reviewed"] = None
    elif new == DOING and previous != FOR_REVIEW:
        agent, actor = text(event.members.changed_by), event.header.actor
        facts["agent"] = actor or agent if agent in (None, NOBODY) else agent
        facts["phase"] = "implementation"
    elif new == DOING:
        facts["phase"] = "implementation"
    return package


def _apply_creation(event: ReplayedEvent) -> str | PackageFold | None:
    package = _package_of(event)
    if package is None:
        return _NO_PACKAGE
    package.facts["title"] = text(event.members.title) or ""
    package.facts["dependencies"] = texts(event.members.dependencies)
    package.facts.setdefault("created_event", event.header.event_id)
    package.set_by["package"] = event.header.event_id
    return package


def _apply_assignment(event: ReplayedEvent) -> str | PackageFold | None:
    package, agent = _package_of(event), text(event.members.agent_id)
    if package is None or agent is None:
        return _NO_PACKAGE if package is None else "it names no agent"
    phase = text(event.members.phase) or "implementation"
    retries = event.members.retry_count
    package.facts["phase"] = phase
    role = "reviewer" if phase == "review" else "agent"
    previous = package.facts.get("agent")
    if role == "agent":
        package.facts["taken_over"] = (
            TakenOver(previous, event.header.timestamp) if previous and previous != agent else None
        )
    package.facts[role], package.set_by[role] = agent, event.header.event_id
    package.facts["retry_count"] = retries if type(retries) is int else 0
    return package


def _apply_note(event: ReplayedEvent) -> str | PackageFold | None:
    package, content = _package_of(event), text(event.members.entry_content)
    if package is None or content is None:
        return _NO_PACKAGE if package is None else "it says nothing"
    header = event.header
    author = text(event.members.author) or header.actor
    kind = text(event.members.entry_type) or "note"
    package.history.append(HistoryEntry(header.event_id, header.timestamp, author, kind, content))
    if (kind, content) == ("review", APPROVED) and package.facts.get("lane") == FOR_REVIEW:
        package.facts["approved_by"] = author or NOBODY
        package.set_by["approved"] = header.event_id
    return package


def _apply_dependency(event: ReplayedEvent) -> str | PackageFold | None:
    package, other = _package_of(event), text(event.members.dependency_wp_id)
    if package is None or other is None:
        return _NO_PACKAGE if package is None else "it names no dependency"
    package.resolved[other] = text(event.members.resolution_type) or "completed"
    package.set_by[f"resolved/{other}"] = event.header.event_id
    return package


def _apply_workspace(event: ReplayedEvent) -> str | PackageFold | None:
    package, branch = _package_of(event), text(event.members.branch_name)
    if package is None or branch is None:
        return _NO_PACKAGE if package is None else "it names no branch"
    path = text(event.members.worktree_path) or ""
    package.facts["workspace"] = Workspace(branch, path, event.header.node_id)
    return package


def _apply_review(event: ReplayedEvent) -> str | PackageFold | None:
    package, commit, base = _package_of(event), oid(event.members.commit), oid(event.members.base)
    if package is None or commit is None or base is None:
        return _NO_PACKAGE if package is None else "it names no commits"
    patches = tuple(filter(None, map(oid, texts(event.members.patches))))
    commits = tuple(filter(None, map(oid, texts(event.members.commits))))
    code = Reviewed(commit, base, oid(event.members.patch) or "", patches, commits)
    package.facts["reviewed"] = msgspec.structs.replace(
        code, earlier=package.facts.get("reviews", ())
    )
    package.facts["reviews"] = (*package.facts.get("reviews", ()), code)
    return package


def _apply_landing(event: ReplayedEvent) -> str | PackageFold | None:
    package, how = _package_of(event), text(event.members.how)
    if package is None or how is None:
        return _NO_PACKAGE if package is None else "it does not say how"
    reason = text(event.members.reason) or ""
    package.facts["landed"] = Landed(how, oid(event.members.commit), reason)
    return package


def _apply_tick(event: ReplayedEvent) -> str | PackageFold | None:
    wp_id, index = (
        text(event.members.work_package_id) or text(event.members.wp_id),
        event.members.subtask_index,
    )
    subtask = f"T{index:03}" if type(index) is int else text(index) or event.header.aggregate_id
    if wp_id is None or subtask is None:
        return "it names no package or no subtask"
    package = event.feature.package(wp_id)
    package.subtasks[subtask] = event.header.event_type == "SubtaskCompleted"
    package.set_by[f"ticked/{subtask}"] = event.header.event_id
    return package


def _apply_gate(event: ReplayedEvent) -> str | PackageFold | None:
    wp_id = text(event.members.work_package_id) or text(event.members.wp_id)
    gate_id = text(event.members.gate_id) or event.header.aggregate_id
    if wp_id is None or gate_id is None:
        return "it names no package or no gate"
    package = event.feature.package(wp_id)
    package.gates[gate_id] = (text(event.members.gate_type) or "unknown", event.header.event_id)
    event.feature.gates[gate_id] = package
    return package


def _apply_gate_result(event: ReplayedEvent) -> str | PackageFold | None:
    gate_id = text(event.members.gate_id) or event.header.aggregate_id
    status = text(event.members.new_status)
    if gate_id is None or status is None:
        return "it names no gate or no result"
    event.feature.results[gate_id] = GateResult(status, event.header.actor, event.header.event_id)
    return event.feature.gates.get(gate_id)


def _apply_spec(event: ReplayedEvent) -> None:
    event.feature.facts["spec_event"] = event.header.event_id
    event.feature.facts["title"] = text(event.members.title) or ""
    event.feature.facts["mission"] = text(event.members.mission) or ""
    if target := text(event.members.target_branch):
        event.feature.facts["target_branch"] = target


def _apply_feature(event: ReplayedEvent) -> None:
    facts = event.feature.facts
    facts["created_event"] = event.header.event_id
    facts["number"] = text(event.members.feature_number) or facts["number"]
    facts["target_branch"] = text(event.members.target_branch) or facts.get("target_branch")
    facts["folder"] = text(event.members.folder) or facts.get("folder")


def _apply_completion(event: ReplayedEvent) -> None:
    event.feature.facts["is_completed"] = True


STEPS: Mapping[str, Step] = {
    "WPStatusChanged": _apply_move,
    "WPCreated": _apply_creation,
    "WPAssigned": _apply_assignment,
    "HistoryAdded": _apply_note,
    "DependencyResolved": _apply_dependency,
    "WorkspaceCreated": _apply_workspace,
    "WPReviewed": _apply_review,
    "WPLanded": _apply_landing,
    "SubtaskCompleted": _apply_tick,
    "SubtaskReopened": _apply_tick,
    "GateCreated": _apply_gate,
    "GateResultChanged": _apply_gate_result,
    "SpecCreated": _apply_spec,
    "FeatureCreated": _apply_feature,
    "FeatureCompleted": _apply_completion,
}


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
