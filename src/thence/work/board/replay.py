"""The replay of a project's events: what each type changes, event by event.

Nothing here is strict. What an event lacks is looked for where other programs put it; what
is of another kind than it should be counts as absent; an event that says nothing usable is
passed over and told.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from thence.core.event import Event, Header
from thence.core.values.vocabulary import work_subject
from thence.work.board.state import (
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
    Landed,
    PackageState,
    Reviewed,
    TakenOver,
    Workspace,
)

Value = TypeVar("Value")
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Said(msgspec.Struct, frozen=True, gc=False):
    """The members of payloads that a board is made of; any of them may hold anything."""

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
    how: Any = None
    reason: Any = None
    old_wp_id: Any = None


class _Line(msgspec.Struct, frozen=True, gc=False):
    payload: Said = Said()


_decode = msgspec.json.Decoder(_Line).decode
_NAMES = Said.__struct_fields__


def said(event: Event) -> Said:
    """Reads what an event says off its line."""
    try:
        return _decode(event.line).payload
    except msgspec.MsgspecError:  # a payload that is no map, a number that Python can't hold
        held = event.payload
        return Said(**{name: held[name] for name in _NAMES if name in held})


class Told(NamedTuple):
    """One event as a step reads it; `names` are of packages that it means by others' numbers."""

    header: Header
    said: Said
    feature: "Feature"
    names: Mapping[str, str] = MappingProxyType({})

    def package(self, wp_id: str) -> "Package":
        """Returns the package that the event means by a number."""
        return self.feature.package(self.names.get(wp_id, wp_id))


class Result(NamedTuple):
    """What was last said of a gate, by which actor, and in which event."""

    status: str
    actor: str | None
    event_id: str


class Package:
    """A package while its events are read."""

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
        self, subject: str, results: Mapping[str, "Result"], heads: Mapping[str, tuple[str, ...]]
    ) -> PackageState:
        """Returns what the events came to; results are those of gates, heads by subject."""
        gates = {
            gate_id: GateState(gate_id, kind, *results.get(gate_id, (PENDING, None, made)))
            for gate_id, (kind, made) in sorted(self.gates.items())
        }
        return PackageState(
            subject=subject,
            resolved=_in_order(self.resolved),
            subtasks=_in_order(self.subtasks),
            gates=MappingProxyType(gates),
            history=tuple(self.history),
            heads=heads.get(subject, ()),
            last_event=self.last_event,
            set_by=MappingProxyType(self.set_by),
            **self.facts,
        )


class Feature:
    """A feature while its events are read; `results` are of gates of all its packages."""

    __slots__ = ("facts", "gates", "packages", "results")

    def __init__(self, project: str | None, slug: str) -> None:
        self.facts: dict[str, Any] = {"project_uuid": project, "slug": slug, "number": slug[:3]}
        self.packages: dict[str, Package] = {}
        self.gates: dict[str, Package] = {}
        self.results: dict[str, Result] = {}

    def package(self, wp_id: str) -> Package:
        """Returns a package, new where the board had none of this id."""
        found = self.packages.get(wp_id)
        if found is None:
            found = self.packages[wp_id] = Package(wp_id)
        return found

    def state(self, heads: Mapping[str, tuple[str, ...]]) -> FeatureState:
        """Returns what the events came to; heads are event ids by subject."""
        project, slug = self.facts["project_uuid"], self.facts["slug"]
        packages = {
            wp_id: package.state(work_subject(project, slug, wp_id), self.results, heads)
            for wp_id, package in sorted(self.packages.items())
        }
        return FeatureState(packages=MappingProxyType(packages), **self.facts)


def _in_order(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(sorted(values.items())))


# returns why nothing follows from the event, or the package that it is about, or None
Step = Callable[[Told], str | Package | None]


def _package_of(told: Told) -> Package | None:
    wp_id = text(told.said.wp_id) or text(told.said.work_package_id)
    if wp_id is None and told.header.aggregate_type in (None, "WorkPackage", "Workspace"):
        wp_id = told.header.aggregate_id
    return told.package(wp_id) if wp_id else None


_NO_PACKAGE = "it names no package"


def _moved(told: Told) -> str | Package | None:
    new = text(told.said.new_status)
    if new is None:
        return "it names no lane"
    package = _package_of(told)
    if package is None:
        return _NO_PACKAGE
    facts = package.facts
    previous = text(told.said.previous_status) or text(told.said.old_status)
    facts["lane"], facts["lane_event"] = new, told.header.event_id
    facts["open_claim"] = told.header.event_id if told.header.begins else None
    facts["landed"] = None
    package.set_by["lane"] = told.header.event_id
    if new not in (DONE, REJECTED):
        told.feature.facts.pop("is_completed", None)
    if new == DOING and previous == DONE:
        facts["workspace"] = None
    if new == PLANNED or (new == DOING and previous != FOR_REVIEW):
        package.set_by["agent"] = told.header.event_id
        facts["taken_over"] = None
    if new == PLANNED:
        package.set_by["reviewer"] = told.header.event_id
        facts["agent"] = facts["reviewer"] = facts["phase"] = facts["reviewed"] = None
    elif new == DOING and previous != FOR_REVIEW:
        agent, actor = text(told.said.changed_by), told.header.actor
        facts["agent"] = actor or agent if agent in (None, NOBODY) else agent
        facts["phase"] = "implementation"
    elif new == DOING:
        facts["phase"] = "implementation"
    return package


def _created(told: Told) -> str | Package | None:
    package = _package_of(told)
    if package is None:
        return _NO_PACKAGE
    package.facts["title"] = text(told.said.title) or ""
    needs = (told.names.get(each, each) for each in texts(told.said.dependencies))
    package.facts["dependencies"] = tuple(dict.fromkeys(needs))
    package.facts.setdefault("created_event", told.header.event_id)
    package.set_by["package"] = told.header.event_id
    return package


def _renumbered(told: Told) -> str | Package | None:
    package = _package_of(told)
    if package is not None:
        package.facts["renumbered_from"] = text(told.said.old_wp_id)
    return package or _NO_PACKAGE


def _assigned(told: Told) -> str | Package | None:
    package, agent = _package_of(told), text(told.said.agent_id)
    if package is None or agent is None:
        return _NO_PACKAGE if package is None else "it names no agent"
    phase = text(told.said.phase) or "implementation"
    retries = told.said.retry_count
    package.facts["phase"] = phase
    role = "reviewer" if phase == "review" else "agent"
    had = package.facts.get("agent")
    if role == "agent":
        lost = TakenOver(had, told.header.timestamp) if had and had != agent else None
        package.facts["taken_over"] = lost
    package.facts[role], package.set_by[role] = agent, told.header.event_id
    package.facts["retry_count"] = retries if type(retries) is int else 0
    return package


def _noted(told: Told) -> str | Package | None:
    package, content = _package_of(told), text(told.said.entry_content)
    if package is None or content is None:
        return _NO_PACKAGE if package is None else "it says nothing"
    header = told.header
    author = text(told.said.author) or header.actor
    kind = text(told.said.entry_type) or "note"
    package.history.append(HistoryEntry(header.event_id, header.timestamp, author, kind, content))
    return package


def _dependency(told: Told) -> str | Package | None:
    package, other = _package_of(told), text(told.said.dependency_wp_id)
    if package is None or other is None:
        return _NO_PACKAGE if package is None else "it names no dependency"
    other = told.names.get(other, other)
    package.resolved[other] = text(told.said.resolution_type) or "completed"
    package.set_by[f"resolved/{other}"] = told.header.event_id
    return package


def _workspace(told: Told) -> str | Package | None:
    package, branch = _package_of(told), text(told.said.branch_name)
    if package is None or branch is None:
        return _NO_PACKAGE if package is None else "it names no branch"
    package.facts["open_claim"] = None
    path = text(told.said.worktree_path) or ""
    package.facts["workspace"] = Workspace(branch, path, told.header.node_id)
    return package


def _reviewed(told: Told) -> str | Package | None:
    package, commit, base = _package_of(told), oid(told.said.commit), oid(told.said.base)
    if package is None or commit is None or base is None:
        return _NO_PACKAGE if package is None else "it names no commits"
    patches = tuple(filter(None, map(oid, texts(told.said.patches))))
    package.facts["reviewed"] = Reviewed(commit, base, oid(told.said.patch) or "", patches)
    return package


def _landed(told: Told) -> str | Package | None:
    package, how = _package_of(told), text(told.said.how)
    if package is None or how is None:
        return _NO_PACKAGE if package is None else "it does not tell how"
    reason = text(told.said.reason) or ""
    package.facts["landed"] = Landed(how, oid(told.said.commit), reason)
    return package


def _settled(told: Told) -> str | Package | None:
    return _package_of(told) or _NO_PACKAGE


def _ticked(told: Told) -> str | Package | None:
    wp_id, index = text(told.said.work_package_id) or text(told.said.wp_id), told.said.subtask_index
    subtask = f"T{index:03}" if type(index) is int else text(index) or told.header.aggregate_id
    if wp_id is None or subtask is None:
        return "it names no package or no subtask"
    package = told.package(wp_id)
    package.subtasks[subtask] = told.header.event_type == "SubtaskCompleted"
    package.set_by[f"ticked/{subtask}"] = told.header.event_id
    return package


def _gate(told: Told) -> str | Package | None:
    wp_id = text(told.said.work_package_id) or text(told.said.wp_id)
    gate_id = text(told.said.gate_id) or told.header.aggregate_id
    if wp_id is None or gate_id is None:
        return "it names no package or no gate"
    package = told.package(wp_id)
    package.gates[gate_id] = (text(told.said.gate_type) or "unknown", told.header.event_id)
    told.feature.gates[gate_id] = package
    return package


def _gate_result(told: Told) -> str | Package | None:
    gate_id = text(told.said.gate_id) or told.header.aggregate_id
    status = text(told.said.new_status)
    if gate_id is None or status is None:
        return "it names no gate or no result"
    told.feature.results[gate_id] = Result(status, told.header.actor, told.header.event_id)
    return told.feature.gates.get(gate_id)


def _specified(told: Told) -> None:
    told.feature.facts["spec_event"] = told.header.event_id
    told.feature.facts["title"] = text(told.said.title) or ""
    told.feature.facts["mission"] = text(told.said.mission) or ""
    if target := text(told.said.target_branch):
        told.feature.facts["target_branch"] = target


def _cut(told: Told) -> None:
    facts = told.feature.facts
    facts["created_event"] = told.header.event_id
    facts["number"] = text(told.said.feature_number) or facts["number"]
    facts["target_branch"] = text(told.said.target_branch) or facts.get("target_branch")


def _completed(told: Told) -> None:
    told.feature.facts["is_completed"] = True


STEPS: Mapping[str, Step] = {
    "WPStatusChanged": _moved,
    "WPCreated": _created,
    "WPRenumbered": _renumbered,
    "WPAssigned": _assigned,
    "HistoryAdded": _noted,
    "DependencyResolved": _dependency,
    "WorkspaceCreated": _workspace,
    "WPReviewed": _reviewed,
    "WPLanded": _landed,
    "ConflictSettled": _settled,
    "SubtaskCompleted": _ticked,
    "SubtaskReopened": _ticked,
    "GateCreated": _gate,
    "GateResultChanged": _gate_result,
    "SpecCreated": _specified,
    "FeatureCreated": _cut,
    "FeatureCompleted": _completed,
}


def text(value: Any) -> str | None:
    """Returns a value if it is a text that says something."""
    return value if isinstance(value, str) and value else None


def oid(value: Any) -> str | None:
    """Returns a value if it is the whole id of a commit or a patch, such as can be told to git."""
    return value if isinstance(value, str) and _OID.fullmatch(value) else None


def texts(value: Any) -> tuple[str, ...]:
    """Returns the texts of a list, each once."""
    held = value if isinstance(value, list | tuple) else ()
    return tuple(dict.fromkeys(each for each in held if isinstance(each, str) and each))
