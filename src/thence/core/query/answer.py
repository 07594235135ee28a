"""The answers to "why did this happen?", "what followed?", "what went on beside it?".

*Caused* is reachable over `caused_by` alone. Events that other tools wrote may name each other
in a circle: each of them is then a cause of the others. All functions are pure, and take events
in any input order.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from thence.core.event import Event
from thence.core.order import (
    CONE_EVENTS_MAX,
    Cone,
    causes_of,
    chain,
    downstream,
    totally_ordered,
    upstream,
)
from thence.core.values.vocabulary import Vocabulary


def concurrent_with(event: Event, events: Iterable[Event]) -> tuple[Event, ...]:
    """Returns the events that neither caused an event nor were caused by it, in total order.

    The event itself is not among them (Lamport 1978, section "The Partial Ordering").
    """
    known = {other.event_id: other for other in totally_ordered(events)}
    effects, _ = downstream(event, known.values(), limit=len(known))
    related = causes_of(event, known) | {effect.event_id for effect, _ in effects}
    related.add(event.event_id)
    return tuple(other for other in known.values() if other.event_id not in related)


def common_causes(named: Collection[Event], events: Iterable[Event]) -> tuple[Event, ...]:
    """Returns the latest common causes of the named events, in total order.

    An event counts among its own causes: an event and its effect have the event in common. The
    latest are those that caused no other common one, except one that caused them as well.
    """
    known = {event.event_id: event for event in totally_ordered([*events, *named])}
    roots = [causes_of(event, known) | {event.event_id} for event in named]
    shared = set[str].intersection(*roots)
    causes = {event_id: causes_of(known[event_id], known) for event_id in shared}
    surpassed = {
        cause
        for effect in shared
        for cause in causes[effect]
        if effect != cause and effect not in causes[cause]
    }
    return tuple(event for event in known.values() if event.event_id in shared - surpassed)


class Why(msgspec.Struct, frozen=True):
    """The causes of an event.

    `chain` is one line of causes, the root first and the event last; `sentences` describe it,
    each ending in an event's short id; `cone` holds all causes with their distance, nearest
    first. At most the 10,000 nearest causes are in either; `truncated` is True if there are more.
    """

    event: Event
    chain: tuple[Event, ...]
    cone: Cone
    sentences: tuple[str, ...]
    truncated: bool


class Effects(msgspec.Struct, frozen=True):
    """The effects of an event, as `Why` holds its causes, one sentence for each."""

    event: Event
    cone: Cone
    sentences: tuple[str, ...]
    truncated: bool


class Concurrent(msgspec.Struct, frozen=True):
    """The events that neither caused an event nor were caused by it, in total order.

    `events` holds at most the requested number; `truncated` reports that there are more.
    """

    event: Event
    events: tuple[Event, ...]
    truncated: bool


def why(event: Event, events: Sequence[Event], vocabulary: Vocabulary) -> Why:
    """Finds the causes of an event among the events of its log."""
    known = {other.event_id: other for other in events}
    links = chain(event, known)
    cone, truncated = upstream(event, known, CONE_EVENTS_MAX)
    return Why(event, links, cone, tuple(map(vocabulary.sentence, links)), truncated)


def effects(event: Event, events: Sequence[Event], vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event among the events of its log."""
    cone, truncated = downstream(event, events, CONE_EVENTS_MAX)
    sentences = tuple(vocabulary.sentence(effect) for effect, _ in cone)
    return Effects(event, cone, sentences, truncated)


def concurrent(event: Event, events: Sequence[Event], limit: int) -> Concurrent:
    """Finds the events of a log that neither caused an event nor were caused by it."""
    found = concurrent_with(event, events)
    return Concurrent(event, found[:limit], len(found) > limit)
