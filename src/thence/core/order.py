"""The total order of events, and which of two caused the other.

*Caused* is reachable over `caused_by` alone. The total order (lamport_clock, node_id,
event_id) extends it, because a log gives every event a larger clock than its causes have
(L. Lamport 1978). All functions are pure: events in, events out, in any input order.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from thence.core.event import Event, OrderKey
from thence.core.redaction import claim_order
from thence.errors import CyclicDependencyError

__all__ = ["is_concurrent", "topological_sort", "total_order_key"]

CONE_EVENTS_MAX = 10_000
# an event and as many causes as a cone holds: where a chain is cut, the cone is too
CHAIN_EVENTS_MAX = CONE_EVENTS_MAX + 1
MILESTONE = "MILESTONE"
# what led most closely to an event of a simulation, by the types of both
_OWN_CAUSES = {"STATE": "ACTION", "ACTION": "DECISION", "DECISION": "SYSTEM"}

Cone = tuple[tuple[Event, int], ...]


_KEY = attrgetter("order_key")


def closeness(effect_type: str, cause_type: str, cause_actor: str | None) -> int:
    """Returns how closely a cause led to an event that names it: what is greater comes first.

    A change follows its action, the first that it names, an action its decision, a decision the
    model's answer. Milestones come last, before them notices that stand for many causes.
    """
    if cause_type == MILESTONE:
        return 0
    if cause_type == "SYSTEM" and cause_actor is None:
        return 1
    return 3 if _OWN_CAUSES.get(effect_type) == cause_type else 2


def by_closeness(effect: Event, causes: Iterable[Event]) -> list[Event]:
    """Returns causes of an event, the closest first, equally close ones the latest first."""
    places = {cause_id: place for place, cause_id in enumerate(effect.caused_by)}

    def key(cause: Event) -> tuple[int, int, OrderKey]:
        near = closeness(effect.event_type, cause.event_type, cause.actor)
        is_own = near == 3 and effect.event_type == "STATE"
        return near, -places.get(cause.event_id, len(places)) if is_own else 0, cause.order_key

    return sorted(causes, key=key, reverse=True)


def total_order_key(event: Event) -> OrderKey:
    """Returns the sort key of the total order, the order of every display and fold."""
    return event.order_key


def totally_ordered(events: Iterable[Event]) -> list[Event]:
    """Returns the events in total order, each event_id once.

    If lines share an id, the one that counts is kept (`redaction.claim_order`), whatever order they
    are given in. Events read from one log share none.
    """
    listed = list(events)
    served = {event.header.event_id: event for event in listed}
    if len(served) < len(listed):
        by_claim = sorted(listed, key=claim_order, reverse=True)
        served = {event.event_id: event for event in by_claim}
    return sorted(served.values(), key=_KEY)


def topological_sort(events: Iterable[Event]) -> list[Event]:
    """Returns the events so that each comes after its causes, ties in total order.

    Causes that are not among the events are ignored. Raises CyclicDependencyError when events
    name each other in a cycle.
    """
    ordered, causes = behind_causes([(event, event.caused_by) for event in totally_ordered(events)])
    held = {event.event_id for event in ordered}
    for event, kept in zip(ordered, causes, strict=True):
        if len(kept) < sum(cause in held for cause in event.caused_by):
            raise CyclicDependencyError(
                "could not order the events",
                place=event.event_id,
                cause="it is a cause of itself, through the events that it names",
                hint="leave out one of the causes that close the cycle",
            )
    return ordered


def behind_causes(
    ordered: Sequence[tuple[Event, Sequence[str]]],
) -> tuple[list[Event], list[Sequence[int]]]:
    """Returns events, each behind its causes, and the places of the causes of each.

    They are given in total order, with the ids of their causes. Causes that are not among them,
    and those that close a circle, are left out.
    """
    events = [event for event, _ in ordered]
    places = {event.header.event_id: place for place, event in enumerate(events)}
    causes: list[Sequence[int]] = [
        [places[cause] for cause in named if cause in places] for _, named in ordered
    ]
    if all(max(named, default=-1) < place for place, named in enumerate(causes)):
        return events, causes
    kept: dict[int, Sequence[int]] = {}
    order: list[int] = []
    is_done: dict[int, bool] = {}
    for first in range(len(causes)):
        stack = [first]
        while stack:
            place = stack.pop()
            if place in is_done:
                if not is_done[place]:
                    is_done[place] = True
                    order.append(place)
                continue
            is_done[place] = False
            kept[place] = [cause for cause in causes[place] if is_done.get(cause, True)]
            stack.append(place)
            stack += [cause for cause in reversed(kept[place]) if cause not in is_done]
    new_place = {place: index for index, place in enumerate(order)}
    return (
        [events[place] for place in order],
        [[new_place[cause] for cause in kept[place]] for place in order],
    )


def is_concurrent(a: Event, b: Event, among: Iterable[Event] | None = None) -> bool:
    """Returns whether neither of two events caused the other; no event is concurrent to itself.

    The causes are looked for among the given events. Without `among` the answer is an
    approximation: equal clocks, and neither names the other. Equal clocks exclude a cause
    where all events carry true ones, but most concurrent events have different clocks: a
    Lamport number alone never distinguishes caused from concurrent.
    """
    if a.event_id == b.event_id:
        return False
    if among is None:
        is_named = a.event_id in b.caused_by or b.event_id in a.caused_by
        return a.lamport_clock == b.lamport_clock and not is_named
    by_id = {event.event_id: event for event in totally_ordered([*among, a, b])}
    return b.event_id not in causes_of(a, by_id) and a.event_id not in causes_of(b, by_id)


def causes_of(event: Event, events: Mapping[str, Event]) -> set[str]:
    """Returns the ids of all causes of an event among the events, however many."""
    causes: set[str] = set()
    stack = [event]
    while stack:
        fresh = {cause for cause in stack.pop().caused_by if cause in events} - causes
        causes |= fresh
        stack += [events[cause] for cause in fresh]
    return causes - {event.event_id}
