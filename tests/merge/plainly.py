"""Conflicts by comparing each event with each, over `core.order`: slow, and easy to believe."""

import json
from collections.abc import Sequence
from itertools import combinations

from tests.events import event_of

from thence.core.event import Event
from thence.core.order import causes_of, is_concurrent, totally_ordered
from thence.merge.policies import SlotOf

Pair = frozenset[str]


def in_turn(events: Sequence[Event]) -> list[Event]:
    """Let each line of another tool that names no cause name the one before it by that tool."""
    last: dict[tuple[object, ...], str] = {}
    told = []
    for event in totally_ordered(events):
        if event.is_foreign and event.subject is not None:
            key = (event.subject, str(event.members.get("node_id")))
            if key in last and not event.caused_by:
                members = json.loads(event.line) | {"caused_by": [last[key]]}
                event = event_of(json.dumps(members).encode())
            last[key] = event.event_id
        told.append(event)
    return told


def disputed(events: Sequence[Event], slot_of: SlotOf) -> set[Pair]:
    """Find the pairs that a policy can't both keep."""
    found = set()
    for one, other in combinations(totally_ordered(events), 2):
        slot, theirs = slot_of(one), slot_of(other)
        if one.subject is None or one.subject != other.subject or slot is None or theirs is None:
            continue
        is_same = slot.name == theirs.name and not slot.is_merged
        if is_same and slot.value(one) != slot.value(other) and is_concurrent(one, other, events):
            found.add(frozenset((one.event_id, other.event_id)))
    return found


def has_seen_all(event: Event, others: Sequence[Event], events: Sequence[Event]) -> bool:
    """Tell whether an event goes back to each of some others."""
    causes = causes_of(event, {each.event_id: each for each in events})
    return all(other.event_id in causes for other in others)


def lacks_causes(event: Event, events: Sequence[Event]) -> bool:
    """Tell whether an event, or one that it goes back to, names one that is not held."""
    known = {each.event_id: each for each in events}
    past = [event, *(known[cause] for cause in causes_of(event, known))]
    return any(cause not in known for each in past for cause in each.caused_by)
