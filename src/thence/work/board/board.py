"""The board: the state of each work package, as a replay of the project's events.

Clones that hold the same events see the same board, byte for byte, whatever order the events came
in. Where clones wrote concurrently the rules of `core.merge` choose the winner. The events
of the losing side change no lane, no agent and no gate, and stay in the log. Sentences tell the
sides of a conflict as people, packages and commits, the same in all clones.
"""

from collections.abc import Collection, Iterable, Sequence
from types import MappingProxyType
from typing import Any

from msgspec.structs import asdict, replace

from thence.core.event import Event
from thence.core.merge import (
    PACKAGE,
    Conflict,
    counting,
    is_send_back,
    judged,
    slots_of,
)
from thence.core.order import behind_causes, totally_ordered
from thence.core.sentences.events import shown
from thence.core.vocabulary import WORK, work_subject
from thence.work.board.replay import TYPES, FeatureFold, apply, text
from thence.work.board.state import (
    DOING,
    NOBODY,
    Board,
    LostPackage,
    PackageState,
)

_LOG = "Log"  # the aggregate type of a log's own notices
_FEATURE_TYPES = ("Feature", "FeatureSpec")


def fold(
    events: Iterable[Event], project_uuid: str | None = None, aliases: Collection[str] = ()
) -> Board:
    """Returns the board after all events of a project's log, given in any order.

    `project_uuid` is the project's own id, `aliases` are other ids of the same project. Without
    it the smallest id among the events is taken. Events without one belong to the project.
    """
    ordered = totally_ordered(events)
    counted, duplicates = counting(ordered)
    own = {*aliases, None}
    if project_uuid is None:
        named = {event.header.project_uuid for event in ordered} - own
        project_uuid = min(filter(None, named), default=None)

    def project_of(event: Event) -> str | None:
        project = event.header.project_uuid
        return project_uuid if project in own else project

    def subject_of(event: Event) -> str | None:
        header = event.header
        if not header.aggregate_id or header.aggregate_type == _LOG:
            return None
        return work_subject(project_of(event), _feature_of(event), header.aggregate_id)

    subjects = list(map(subject_of, ordered))
    judgement = judged(ordered, subjects, slots_of(WORK), duplicates)
    features: dict[str, FeatureFold] = {}
    if not all(event.header.seq for event in counted):
        # another tool's line may have an unwitnessed clock, and stand before its causes
        counted, _ = behind_causes([(event, event.caused_by) for event in counted])
    for event in counted:
        project, slug = project_of(event), _feature_of(event)
        if event.header.event_type not in TYPES or event.event_id in judgement.beaten or not slug:
            continue
        key = slug if project == project_uuid else f"{project}/{slug}"
        if key not in features:
            features[key] = FeatureFold(project, slug)
        apply(event, features[key])
    conflicts, lost = _numbers_given_twice(judgement.conflicts, ordered, subjects)
    states = {key: feature.state(lost) for key, feature in sorted(features.items())}
    return Board(project_uuid, MappingProxyType(states), conflicts)


def _feature_of(event: Event) -> str | None:
    """Returns the feature of an event; another program may name it in the payload alone."""
    header = event.header
    if header.feature_slug:
        return header.feature_slug
    named = text(event.cut_payload.get("feature_slug"))
    return named or (header.aggregate_id if header.aggregate_type in _FEATURE_TYPES else None)


def _numbers_given_twice(
    conflicts: tuple[Conflict, ...], ordered: Sequence[Event], subjects: Sequence[str | None]
) -> tuple[tuple[Conflict, ...], dict[str, tuple[LostPackage, ...]]]:
    """Returns the conflicts, and by subjects the packages that lost their number.

    Such a conflict is resolved once each lost title has a package of the feature again.
    """
    lost: dict[str, tuple[LostPackage, ...]] = {}
    kept = list(conflicts)
    for place, conflict in enumerate(conflicts):
        title = conflict.winner.payload.get("title")
        others = {event.payload.get("title"): event for event in reversed(conflict.events)}
        others.pop(title, None)
        if conflict.slot != PACKAGE.name or not conflict.is_open or not others:
            continue
        feature = f"{conflict.subject.rpartition('/')[0]}/"
        again = {
            event.payload.get("title"): event
            for event, subject in zip(ordered, subjects, strict=True)
            if event.header.event_type == "WPCreated"
            and subject != conflict.subject
            and (subject or "").startswith(feature)
        }
        lost[conflict.subject] = tuple(
            LostPackage(text(name) or "", event.node_id, is_added=name in again)
            for name, event in reversed(others.items())
        )
        if others.keys() <= again.keys():
            kept[place] = replace(conflict, resolved_by=again[next(iter(others))])
    return tuple(kept), lost


def as_json(board: Board) -> dict[str, Any]:
    """Returns the board in the form of `thence work status --json`, equal in all clones.

    It shows the open conflicts, each with its feature.
    """
    features = [
        {
            "feature_slug": feature.slug,
            "folder": feature.name,
            "project_uuid": feature.project_uuid,
            "title": feature.title,
            "target_branch": feature.target_branch,
            "is_completed": feature.is_completed,
            "lanes": {
                column: [_package_json(package) for package in packages]
                for column, packages in feature.by_column().items()
            },
            "conflicts": [
                conflict_json(conflict)
                for conflict in board.conflicts
                if conflict.is_open and feature.is_about(conflict.subject)
            ],
            "progress": {"done": feature.done_count, "total": len(feature.packages)},
        }
        for feature in board.features.values()
    ]
    return {"features": features}


def _package_json(package: PackageState) -> dict[str, Any]:
    return {
        "wp_id": package.wp_id,
        "title": package.title,
        "agent": package.agent,
        "phase": package.phase,
        "approved_by": package.approved_by,
        "overruled": list(package.overruled),
        "blocked": package.blocked,
        "dependencies": list(package.dependencies),
        "subtasks_done": [subtask for subtask, is_done in package.subtasks.items() if is_done],
        "gates": [
            {
                "gate_id": gate.gate_id,
                "gate_type": gate.gate_type,
                "status": gate.status,
                "stated_by": gate.stated_by,
            }
            for gate in package.gates.values()
        ],
        "branch": package.workspace,
        "landed": asdict(package.landed) if package.landed else None,
        "last_event": package.last_event,
    }


def conflict_json(conflict: Conflict) -> dict[str, Any]:
    """Returns a conflict as JSON, its events by their ids in total order."""
    return {
        "subject": conflict.subject,
        "events": [event.event_id for event in conflict.events],
        "rule": conflict.rule,
        "winner": conflict.winner.event_id,
        "people": list(people(conflict)),
        "sentence": sentence(conflict),
    }


_TIMES = {2: "twice", 3: "three times"}


def person(event: Event) -> str:
    """Returns the person who wrote an event, as the event names them."""
    return shown(event.actor or event.payload.get("changed_by") or NOBODY)


def people(conflict: Conflict) -> tuple[str, ...]:
    """Returns the people who wrote the events of a conflict, each once."""
    return tuple(dict.fromkeys(map(person, conflict.events)))


def is_claim(event: Event) -> bool:
    """Reports whether an event claims a package."""
    is_move = event.event_type == "WPStatusChanged"
    return is_move and event.payload.get("new_status") == DOING and not is_send_back(event)


def sentence(conflict: Conflict) -> str:
    """Returns a conflict in one sentence: the authors, their actions, and the winner."""
    name = conflict.subject.rpartition("/")[2]
    titles = {event.payload.get("title") for event in conflict.events}
    if conflict.slot == PACKAGE.name and len(titles) > 1:
        by = (f"by {person(one)} ({shown(one.payload.get('title'))})" for one in conflict.events)
        times = _TIMES.get(len(conflict.events), "often")
        text = f"{name} was given {times}: {' and '.join(by)}"
        return f"{text}; {person(conflict.winner)}'s keeps it ({conflict.rule})"
    claimers = list(map(person, filter(is_claim, conflict.events)))
    if len(claimers) > 1:
        names = list(dict.fromkeys(claimers))
        both = "both" if len(names) == 2 else "all"
        text = f"{_listed(names)} {both} took {name}"
        if len(names) == 1:
            text = f"{names[0]} took {name} in two clones"
    else:
        actions = _listed(list(map(action_of, conflict.heads)))
        text = f"{actions} were written at the same time on {name}"
    return f"{text}; {action_of(conflict.winner)} counts ({conflict.rule})"


def action_of(event: Event) -> str:
    """Returns the action of an event as a noun phrase: A's claim."""
    if is_claim(event):
        what = "claim"
    elif event.event_type == "WPStatusChanged":
        what = f"move to {shown(event.payload.get('new_status'))}"
    elif event.event_type == "WPAssigned":
        what = f"assignment to {shown(event.payload.get('agent_id'))}"
    elif event.event_type in ("SpecCreated", "FeatureCreated"):
        facts = map(event.payload.get, ("title", "target_branch"))
        what = f"{event.event_type} ({', '.join(map(shown, filter(None, facts)))})"
    else:
        what = event.event_type
    return f"{person(event)}'s {what}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
