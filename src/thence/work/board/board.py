"""The board: the state of each work package, as a replay of the project's events.

Clones that hold the same events see the same board, byte for byte, whatever order the events came
in. Where clones wrote concurrently the rules of `merge.conflicts` choose the winner. The events
of the losing side change no lane, no agent and no gate, and stay in the log. Sentences tell the
sides of a conflict as people, packages and commits, the same in all clones.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec.structs import asdict, replace

from thence.core.event import Event
from thence.core.merge.ancestry import history
from thence.core.merge.conflicts import (
    PACKAGE,
    Conflict,
    Judgement,
    counting,
    is_send_back,
    judged,
    slots_of,
)
from thence.core.order import totally_ordered
from thence.core.sentences.events import shown
from thence.core.vocabulary import WORK, work_subject
from thence.work.board.replay import (
    STEPS,
    FeatureFold,
    PackageFold,
    ReplayedEvent,
    members_of,
    text,
)
from thence.work.board.state import (
    DOING,
    NOBODY,
    Board,
    FeatureState,
    IgnoredEvent,
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
    if project_uuid is None:
        named = {event.header.project_uuid for event in ordered} - {None, *aliases}
        project_uuid = min(filter(None, named), default=None)
    replay = _Replay(project_uuid, {*aliases, None})
    subjects = list(map(replay.subject_of, ordered))
    judgement = judged(ordered, subjects, slots_of(WORK), duplicates)
    for event in _in_causal_order(counted):
        replay.take(event, event.header.event_id in judgement.beaten)
    conflicts, lost = _numbers_given_twice(judgement.conflicts, ordered, subjects)
    return replay.board(judgement, conflicts, lost)


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
            LostPackage(text(name) or "", event.event_id, event.node_id, is_added=name in again)
            for name, event in reversed(others.items())
        )
        if others.keys() <= again.keys():
            kept[place] = replace(conflict, resolved_by=again[next(iter(others))])
    return tuple(kept), lost


def _in_causal_order(ordered: list[Event]) -> list[Event]:
    """Returns events so that each stands behind its causes.

    Events in total order already do, unless another tool's line has an unwitnessed clock.
    """
    if all(event.header.seq for event in ordered):
        return ordered
    ranks = history([event.header for event in ordered], {}).ranks
    return [ordered[rank] for rank in ranks]


class _Replay:
    """A board while its events are applied."""

    def __init__(self, project: str | None, own: Collection[str | None]) -> None:
        self._project = project
        self._own_ids = own
        self._features: dict[str, FeatureFold] = {}
        self._names: dict[tuple[str | None, str], FeatureFold] = {}
        self._skipped: list[IgnoredEvent] = []

    def subject_of(self, event: Event) -> str | None:
        """Returns an event's subject, the same under any id of the project."""
        header = event.header
        if not header.aggregate_id or header.aggregate_type == _LOG:
            return None
        project = self._project if header.project_uuid in self._own_ids else header.project_uuid
        slug = header.feature_slug
        if slug is None:
            slug = _feature_slug(event)
        return work_subject(project, slug, header.aggregate_id)

    def take(self, event: Event, is_beaten: bool) -> None:
        """Applies an event to the board; an event that lost a conflict changes nothing."""
        header = event.header
        step = STEPS.get(header.event_type)
        if step is None or is_beaten:
            return
        slug = header.feature_slug or _feature_slug(event)
        if slug is None:
            reason: str | PackageFold | None = "it names no feature"
        else:
            feature = self._feature(header.project_uuid, slug)
            reason = step(ReplayedEvent(header, members_of(event), feature))
        if isinstance(reason, str):
            self._skipped.append(IgnoredEvent(header.event_id, header.event_type, reason))
        elif reason is not None:
            reason.last_event = header.event_id

    def _feature(self, project: str | None, slug: str) -> FeatureFold:
        feature = self._names.get((project, slug))
        if feature is None:
            project = self._project if project in self._own_ids else project
            key = slug if project == self._project else f"{project}/{slug}"
            feature = self._features.get(key)
            if feature is None:
                feature = self._features[key] = FeatureFold(project, slug)
            self._names[(project, slug)] = feature
        return feature

    def board(
        self,
        judgement: Judgement,
        conflicts: tuple[Conflict, ...],
        lost: Mapping[str, tuple[LostPackage, ...]],
    ) -> Board:
        """Returns the board after all applied events; `lost` is that of PackageState."""
        heads = {
            subject: tuple([event.header.event_id for event in events])
            for subject, events in judgement.heads.items()
        }
        features = {
            key: feature.state(heads, lost) for key, feature in sorted(self._features.items())
        }
        return Board(
            project_uuid=self._project,
            features=MappingProxyType(features),
            conflicts=conflicts,
            skipped=tuple(self._skipped),
        )


def _feature_slug(event: Event) -> str | None:
    """Returns the feature that an event of another program names in its payload, if any."""
    header = event.header
    named = text(members_of(event).feature_slug)
    return named or (header.aggregate_id if header.aggregate_type in _FEATURE_TYPES else None)


def as_json(board: Board) -> dict[str, Any]:
    """Returns the board in the form of `thence work status --json`, equal in all clones.

    It shows the open conflicts, each with its feature.
    """
    return {"features": [_feature_json(board, feature) for feature in board.features.values()]}


def _feature_json(board: Board, feature: FeatureState) -> dict[str, Any]:
    return {
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


def _package_json(package: PackageState) -> dict[str, Any]:
    return {
        "wp_id": package.wp_id,
        "title": package.title,
        "agent": package.agent,
        "phase": package.phase,
        "approved_by": package.approved_by,
        "overruled": list(package.overruled),
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
        "branch": package.workspace.branch if package.workspace else None,
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
        "provisional": conflict.is_provisional,
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
        return _given_twice(name, conflict)
    claimers = list(map(person, filter(is_claim, conflict.events)))
    if len(claimers) > 1:
        names = list(dict.fromkeys(claimers))
        both = "both" if len(names) == 2 else "all"
        text = f"{_listed(names)} {both} took {name}"
        if len(names) == 1:
            text = f"{names[0]} took {name} in two clones"
    else:
        text = f"{_listed(list(map(action_of, conflict.heads)))} were written at once on {name}"
    sure = ", provisionally" if conflict.is_provisional else ""
    return f"{text}; {action_of(conflict.winner)} counts ({conflict.rule}){sure}"


def _given_twice(number: str, conflict: Conflict) -> str:
    by = (f"by {person(event)} ({shown(event.payload.get('title'))})" for event in conflict.events)
    text = f"{number} was given {_TIMES.get(len(conflict.events), 'often')}: {' and '.join(by)}"
    return f"{text}; {person(conflict.winner)}'s keeps it ({conflict.rule})"


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


def lost_claims(board: Board, actor: str, node_id: str | None, *, is_named: bool) -> Iterator[str]:
    """Yields a warning on each claim of an actor that lost in a conflict that is still open.

    An actor that was not named stands for anybody who claims packages in this clone.
    """
    for conflict in board.conflicts:
        winner = conflict.winner
        is_decided = conflict.is_open and not conflict.is_provisional
        if not is_decided or conflict.slot != "lane":
            continue
        if _agent_of(board, conflict.subject) == actor:  # they have taken it over since
            continue
        lost = [
            claim
            for claim in conflict.events
            if is_claim(claim)
            and claim.event_id != winner.event_id
            and claim.node_id != winner.node_id
        ]
        if any(
            (person(claim) == actor != person(winner))
            or (not is_named and claim.node_id == node_id)
            for claim in lost
        ):
            name, other = package_name(conflict), person(winner)
            slug = conflict.subject.rpartition("/")[0].rpartition("/")[2]
            yield (
                f"your claim of {name} lost to {other}'s: thence work implement {name}"
                f" --feature {slug} --take-over takes it back, thence work implement takes another"
            )


def _agent_of(board: Board, subject: str) -> str | None:
    packages = (p for feature in board.features.values() for p in feature.packages.values())
    return next((package.agent for package in packages if package.subject == subject), None)


def package_name(conflict: Conflict) -> str:
    """Returns the name of the package that a conflict is about."""
    return conflict.subject.rpartition("/")[2]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
