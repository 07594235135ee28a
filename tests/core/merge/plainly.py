"""Conflicts by comparing each event with each, over `core.order`: slow, and easy to believe."""

import json
from collections.abc import Sequence
from itertools import combinations

from tests.events import event_of

from thence.core.event import Event
from thence.core.merge import SlotOf
from thence.core.order import causes_of, is_concurrent, topological_sort, totally_ordered
from thence.errors import CyclicDependencyError

Pair = frozenset[str]


def in_turn(events: Sequence[Event]) -> list[Event]:
    """Let each line of another tool that names no cause name what it counts as behind.

    That is all that has a smaller clock on its subject, and the line before by that tool.
    """
    ordered = totally_ordered(events)
    told = []
    for place, event in enumerate(ordered):
        if event.is_foreign and event.subject is not None and not event.caused_by:
            before = [other for other in ordered[:place] if other.subject == event.subject]
            same = [each for each in before if each.is_foreign and each.node_id == event.node_id]
            causes = [each for each in before if each.lamport_clock < event.lamport_clock]
            causes += same[-1:]
            members = {"caused_by": sorted({cause.event_id for cause in causes})}
            event = event_of(json.dumps(json.loads(event.line) | members).encode())
        told.append(event)
    return told


def disputed(events: Sequence[Event], slot_of: SlotOf) -> set[Pair]:
    """Find the pairs that a policy can't both keep."""
    found = set()
    for one, other in combinations(totally_ordered(events), 2):
        slot, theirs = slot_of(one), slot_of(other)
        if one.subject is None or one.subject != other.subject or slot is None or theirs is None:
            continue
        is_same = slot.name == theirs.name
        if is_same and slot.value(one) != slot.value(other) and is_concurrent(one, other, events):
            found.add(frozenset((one.event_id, other.event_id)))
    return found


def has_circle(events: Sequence[Event]) -> bool:
    """Tell whether events name each other in a circle."""
    try:
        topological_sort(events)
    except CyclicDependencyError:
        return True
    return False


def has_seen_all(event: Event, others: Sequence[Event], events: Sequence[Event]) -> bool:
    """Tell whether an event goes back to each of some others."""
    causes = causes_of(event, {each.event_id: each for each in events})
    return all(other.event_id in causes for other in others)
