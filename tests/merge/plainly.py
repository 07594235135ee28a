"""Conflicts by comparing each event with each, over `core.order`: slow, and easy to believe."""

from collections.abc import Sequence
from itertools import combinations

from thence.core.event import Event
from thence.core.order import causes_of, is_concurrent, totally_ordered
from thence.merge.policies import SlotOf

Pair = frozenset[str]


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
