"""Events of a project as its clones write them: each clone names the heads that it knows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.events import drafted, new_id, stamped
from tests.plain_order import heads

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.vocabulary import WORK
from thence.work.board.board import fold
from thence.work.board.state import PackageState

PROJECT = "0190a000-0000-7000-8000-000000000001"
SLUG = "028-sync"
_ABOUT = {
    "SpecCreated": ("FeatureSpec", "feature_slug"),
    "FeatureCreated": ("Feature", "feature_slug"),
    "FeatureCompleted": ("Feature", "feature_slug"),
    "WorkspaceCreated": ("Workspace", "work_package_id"),
    "SubtaskCompleted": ("Subtask", "subtask_index"),
    "SubtaskReopened": ("Subtask", "subtask_index"),
    "GateCreated": ("Gate", "gate_id"),
    "GateResultChanged": ("Gate", "gate_id"),
}


def work_event(
    event_type: str,
    payload: Mapping[str, Any],
    *,
    node: str = "a",
    clock: int = 1,
    causes: Sequence[str] = (),
    event_id: str = "",
    **members: Any,
) -> Event:
    """Make one event; members that are given as None are left out."""
    aggregate_type, name = _ABOUT.get(event_type, ("WorkPackage", "wp_id"))
    told = {
        "project_uuid": PROJECT,
        "feature_slug": SLUG,
        "aggregate_type": aggregate_type,
        "aggregate_id": payload.get(name),
        "actor": "user",
        **members,
    }
    kept = {key: value for key, value in told.items() if value is not None}
    made = drafted(event_id or new_id(), event_type, {**kept, "payload": payload}, causes)
    event = parse(stamped(made, clock, clock, node * 12)[:-1], WORK)
    assert isinstance(event, Event), event
    return event


class Clone:
    """A clone of a project: it writes, and takes in what others wrote."""

    def __init__(self, node: str = "a", events: Iterable[Event] = ()) -> None:
        self.node = node
        self.events = list(events)

    def tell(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        *,
        causes: Sequence[str] = (),
        **members: Any,
    ) -> Event:
        """Write an event behind its causes and all heads of its subject, as the log does."""
        trial = work_event(event_type, payload, node=self.node, **members)
        behind = [event.event_id for event in heads(trial.subject or "", self.events)]
        causes = list(dict.fromkeys((*causes, *behind)))
        clock = 1 + max((event.lamport_clock for event in self.events), default=0)
        made = work_event(
            event_type, payload, node=self.node, clock=clock, causes=causes, **members
        )
        self.events.append(made)
        return made

    def move(self, wp_id: str, previous: str, new: str, **rest: Any) -> Event:
        """Write a change of lane; what else is given beside `actor` goes into the payload."""
        members = {key: rest.pop(key) for key in ("actor", "feature_slug") if key in rest}
        payload = {"wp_id": wp_id, "previous_status": previous, "new_status": new, **rest}
        return self.tell("WPStatusChanged", payload, **members)

    def take_in(self, other: "Clone") -> None:
        """Take in what another clone has."""
        self.events += [event for event in other.events if event not in self.events]


def planned(node: str = "a", count: int = 2, **dependencies: Sequence[str]) -> Clone:
    """Make a project with a feature of some packages; keywords name what they depend on."""
    clone = Clone(node)
    clone.tell("SpecCreated", {"feature_slug": SLUG, "title": "Sync", "mission": "software"})
    cut = {"feature_number": "028", "target_branch": "main", "wp_count": count}
    clone.tell("FeatureCreated", {"feature_slug": SLUG, **cut})
    for number in range(1, count + 1):
        wp_id = f"WP{number:02}"
        needs = list(dependencies.get(wp_id, ()))
        package = {"wp_id": wp_id, "title": f"Package {number}", "feature_slug": SLUG}
        clone.tell("WPCreated", package | ({"dependencies": needs} if needs else {}))
    return clone


def package(clone: Clone, wp_id: str = "WP01") -> PackageState:
    return fold(clone.events).package(SLUG, wp_id)
