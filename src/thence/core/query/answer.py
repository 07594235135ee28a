"""The answers to "why did this happen?", "what followed?", "what went on beside it?"."""

from collections.abc import Sequence

import msgspec

from thence.core.event import Event
from thence.core.order import CONE_EVENTS_MAX, Cone, chain, downstream, upstream
from thence.core.query.concurrency import concurrent_with
from thence.core.values.vocabulary import Vocabulary


class Why(msgspec.Struct, frozen=True):
    """The causes of an event.

    `chain` is one line of causes, the root first and the event last; `sentences` tell it,
    each ending in an event's short id; `cone` holds all causes with their distance, nearest
    first. At most the 10,000 nearest causes are in either; `truncated` says that there are more.
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

    `events` holds the first ones, as many as were asked for; `truncated` says that there are more.
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
    told = tuple(vocabulary.sentence(effect) for effect, _ in cone)
    return Effects(event, cone, told, truncated)


def concurrent(event: Event, events: Sequence[Event], limit: int) -> Concurrent:
    """Finds what neither caused an event nor was caused by it, among the events of its log."""
    found = concurrent_with(event, events)
    return Concurrent(event, found[:limit], len(found) > limit)
