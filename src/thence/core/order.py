"""Order and causes by plain, obvious algorithms: the reference for the faster ones.

*Caused* is reachable over `caused_by` alone. The total order (lamport_clock, node_id,
event_id) extends it, because a log gives every event a larger clock than its causes have
(L. Lamport 1978). All functions are pure: events in, events out, in any input order.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from thence.core.event import Event, OrderKey
from thence.errors import CyclicDependencyError

__all__ = ["is_concurrent", "topological_sort", "total_order_key"]

CONE_EVENTS_MAX = 10_000
# an event and as many causes as a cone holds: where a chain is cut, the cone is too
CHAIN_EVENTS_MAX = CONE_EVENTS_MAX + 1
# the event type that a chain passes through only where no other cause is named
MILESTONE = "MILESTONE"

Cone = tuple[tuple[Event, int], ...]
Neighbours = Callable[[Event], Iterable[Event]]


_KEY = attrgetter("order_key")


def total_order_key(event: Event) -> OrderKey:
    """Returns the sort key of the total order, the order of every display and fold."""
    return event.order_key


def totally_ordered(events: Iterable[Event]) -> list[Event]:
    """Returns the events in total order, each event_id once.

    If lines share an id, a verified one is kept; of several the one that sorts first as bytes.
    """
    found = list(events)
    served = {event.header.event_id: event for event in found}
    if len(served) == len(found):
        return sorted(found, key=_KEY)
    served = {}
    for event in found:
        known = served.get(event.event_id)
        if known is None or event.preference < known.preference:
            served[event.event_id] = event
    return sorted(served.values(), key=_KEY)


def topological_sort(events: Iterable[Event]) -> list[Event]:
    """Returns the events so that each comes after its causes, ties in total order.

    Causes that are not among the events are ignored. Raises CyclicDependencyError when events
    name each other in a cycle.
    """
    ordered = totally_ordered(events)
    known = {event.event_id: event for event in ordered}
    state: dict[str, bool] = {}
    result: list[Event] = []
    for first in ordered:
        stack = [first]
        while stack:
            event = stack[-1]
            if state.get(event.event_id):
                stack.pop()
                continue
            if event.event_id in state:
                state[event.event_id] = True
                result.append(stack.pop())
                continue
            state[event.event_id] = False
            for cause in event.caused_by:
                if cause in known and not state.get(cause, False):
                    if cause in state:
                        raise _circle(cause)
                    stack.append(known[cause])
    return result


def _circle(event_id: str) -> CyclicDependencyError:
    return CyclicDependencyError(
        "could not order the events",
        place=event_id,
        cause="it is a cause of itself, through the events that it names",
        hint="leave out one of the causes that close the circle",
    )


def upstream(
    event: Event,
    events: Mapping[str, Event],
    limit: int = CONE_EVENTS_MAX,
    depth: int | None = None,
) -> tuple[Cone, bool]:
    """Returns the causes with their distance, nearest first, and whether the limit cut any off.

    The distance is the number of steps on the shortest path; with a `depth` only causes of at
    most this distance are returned. At equal distance the total order decides. Causes that are
    not among the events are ignored, and the event itself is not among its causes.
    """

    def causes(of: Event) -> Iterable[Event]:
        return [events[cause] for cause in of.caused_by if cause in events]

    return _cone(event, causes, limit, depth)


def downstream(
    event: Event,
    events: Iterable[Event],
    limit: int = CONE_EVENTS_MAX,
    depth: int | None = None,
) -> tuple[Cone, bool]:
    """Returns the effects with their distance, as `upstream` returns the causes."""
    effects: dict[str, list[Event]] = {}
    for candidate in totally_ordered(events):
        for cause in candidate.caused_by:
            effects.setdefault(cause, []).append(candidate)
    return _cone(event, lambda of: effects.get(of.event_id, ()), limit, depth)


def _cone(event: Event, neighbours: Neighbours, limit: int, depth: int | None) -> tuple[Cone, bool]:
    seen = {event.event_id}
    cone: list[tuple[Event, int]] = []
    layer: Sequence[Event] = [event]
    distance = 0
    while layer and distance != depth:
        distance += 1
        found: dict[str, Event] = {}
        for member in layer:
            for other in neighbours(member):
                if other.event_id not in seen:
                    seen.add(other.event_id)
                    found[other.event_id] = other
        layer = sorted(found.values(), key=total_order_key)
        cone += [(member, distance) for member in layer]
        if len(cone) > limit:
            return tuple(cone[:limit]), True
    return tuple(cone), False


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
    known = {event.event_id: event for event in totally_ordered([*among, a, b])}
    return b.event_id not in causes_of(a, known) and a.event_id not in causes_of(b, known)


def causes_of(event: Event, events: Mapping[str, Event]) -> set[str]:
    """Returns the ids of all causes of an event among the events, however many."""
    cone, _ = upstream(event, events, limit=len(events))
    return {cause.event_id for cause, _ in cone}


def heads(subject: str, events: Iterable[Event], but: Collection[str] = ()) -> tuple[Event, ...]:
    """Returns the events on a subject that caused no other event on it, in total order.

    Events of the types in `but` don't count as events on it. Causes that lie between, on other
    subjects or of such a type, count. All events of the log are needed.
    """
    return heads_of((subject,), events, but)[subject]


def heads_of(
    subjects: Collection[str],
    events: Iterable[Event],
    but: Collection[str] = (),
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, tuple[Event, ...]]:
    """Returns the heads of several subjects, as `heads` does of one.

    `aliases` maps other names to the subjects that they mean: what is on either is on one.
    """
    known = {event.event_id: event for event in totally_ordered(events)}
    found: dict[str, list[Event]] = {subject: [] for subject in subjects}
    for event in known.values():
        subject = event.subject
        subject = aliases.get(subject, subject) if subject else None
        if subject in found and event.event_type not in but:
            found[subject].append(event)
    return {subject: _heads(on, known) for subject, on in found.items()}


def _heads(on: Sequence[Event], known: Mapping[str, Event]) -> tuple[Event, ...]:
    passed: set[str] = set()
    stack = [cause for event in on for cause in event.caused_by]
    while stack:
        cause = stack.pop()
        if cause in known and cause not in passed:
            passed.add(cause)
            stack += known[cause].caused_by
    return tuple(event for event in on if event.event_id not in passed)


def chain(
    event: Event, events: Mapping[str, Event], limit: int = CHAIN_EVENTS_MAX
) -> tuple[Event, ...]:
    """Returns one line of causes from a root to the event, the root first.

    The chain follows the cause that is latest in total order, through a milestone only where no
    other cause is named. A chain longer than the limit is cut at the root's side.
    """
    links = [event]
    seen = {event.event_id}
    while len(links) < limit:
        named = [events[cause] for cause in links[-1].caused_by if cause in events]
        named = [cause for cause in named if cause.event_id not in seen]
        informative = [cause for cause in named if cause.event_type != MILESTONE]
        if not named:
            break
        link = max(informative or named, key=total_order_key)
        seen.add(link.event_id)
        links.append(link)
    return tuple(reversed(links))
