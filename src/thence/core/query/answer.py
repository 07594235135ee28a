"""The answers to "why did this happen?", "what followed?", "what went on beside it?".

*Caused* is reachable over `caused_by` alone. Events that other tools wrote may name each other
in a circle: each of them is then a cause of the others. All functions are pure, and take events
in any input order.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from thence.core.event import Event
from thence.core.order import (
    CONE_EVENTS_MAX,
    MILESTONE,
    Cone,
    causes_of,
    chain,
    downstream,
    total_order_key,
    totally_ordered,
    upstream,
)
from thence.core.values.new_event import parse_cause
from thence.core.values.vocabulary import Vocabulary

# the most causes of one event among its reasons
REASONS_OF_ONE_MAX = 3


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


class MissingCause(msgspec.Struct, frozen=True):
    """A cause that an event names and that its log does not hold.

    `named_by` is the id of the event; `log_id` is the log in which the cause lies, None where
    the event names no log: the cause was removed, or never written.
    """

    event_id: str
    named_by: str
    log_id: str | None


class Why(msgspec.Struct, frozen=True):
    """The causes of an event.

    `chain` is one line of causes, the root first and the event last; `sentences` describe it,
    each ending in an event's short id; `cone` holds all causes with their distance, nearest
    first. At most the 10,000 nearest causes are in either; `truncated` is True if there are more,
    and `cut_at` holds the ids of the events whose causes were left out. `missing` are the named
    causes that are not in the log.
    """

    event: Event
    chain: tuple[Event, ...]
    cone: Cone
    sentences: tuple[str, ...]
    truncated: bool
    missing: tuple[MissingCause, ...] = ()
    cut_at: tuple[str, ...] = ()


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
    ends = ends_of(links, cone, known.keys().__and__)
    return Why(event, links, cone, tuple(map(vocabulary.sentence, links)), truncated, *ends)


def ends_of(
    links: Sequence[Event], cone: Cone, held: Callable[[Collection[str]], Collection[str]]
) -> tuple[tuple[MissingCause, ...], tuple[str, ...]]:
    """Returns `missing` and `cut_at` of an answer; `held` returns which ids the log holds.

    What the first event of the chain names comes first, because that event looks like a root.
    """
    events = [links[0], links[-1], *(cause for cause, _ in cone), *links]
    answered = {event.event_id for event in events}
    namers: dict[str, list[Event]] = {}
    for event in events:
        for cause_id in event.caused_by:
            if cause_id not in answered:
                namers.setdefault(cause_id, []).append(event)
    present = held(namers.keys())
    missing = [
        MissingCause(cause_id, namer.event_id, _log_of(cause_id, namer))
        for cause_id, (namer, *_) in namers.items()
        if cause_id not in present
    ]
    cut = [
        event.event_id for cause_id in namers if cause_id in present for event in namers[cause_id]
    ]
    return tuple(missing), tuple(dict.fromkeys(cut))


def _log_of(cause_id: str, namer: Event) -> str | None:
    external = filter(None, map(parse_cause, namer.external_causes))
    return next((cause.log_id for cause in external if cause.event_id == cause_id), None)


def reasons(answer: Why, rows: int, height: Callable[[Event, int], int]) -> Cone:
    """Chooses the nearest causes of an event, with the depth of each in a tree of causes.

    Each stands below the event that it led to; the event itself is not among them. The latest
    event of the tree is looked at next, and its latest causes are added, three at most, while
    there is room: `rows` in all, of which an event at a depth takes `height`. A milestone is
    added only where no other cause is named, and its own causes are not.
    """
    by_id = {cause.event_id: cause for cause, _ in answer.cone}
    depths = {answer.event.event_id: 0}
    below: dict[str, list[Event]] = {}
    pending = [answer.event]
    while pending:
        effect = max(pending, key=total_order_key)
        pending.remove(effect)
        depth = depths[effect.event_id] + 1
        for cause in _nearest(effect, by_id, depths):
            rows -= height(cause, depth)
            if rows < 0:
                return tuple(_tree(answer.event, below, 1))
            depths[cause.event_id] = depth
            below.setdefault(effect.event_id, []).append(cause)
            if cause.event_type != MILESTONE:
                pending.append(cause)
    return tuple(_tree(answer.event, below, 1))


def _nearest(effect: Event, by_id: Mapping[str, Event], taken: Collection[str]) -> list[Event]:
    """Returns the latest causes of an event that are not taken, without milestones if possible."""
    causes = [by_id[cause_id] for cause_id in effect.caused_by if cause_id in by_id]
    causes = [cause for cause in causes if cause.event_type != MILESTONE] or causes
    causes.sort(key=total_order_key, reverse=True)
    return [cause for cause in causes if cause.event_id not in taken][:REASONS_OF_ONE_MAX]


def _tree(
    effect: Event, below: Mapping[str, list[Event]], depth: int
) -> Iterable[tuple[Event, int]]:
    for cause in below.get(effect.event_id, ()):
        yield cause, depth
        yield from _tree(cause, below, depth + 1)


def effects(event: Event, events: Sequence[Event], vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event among the events of its log."""
    cone, truncated = downstream(event, events, CONE_EVENTS_MAX)
    sentences = tuple(vocabulary.sentence(effect) for effect, _ in cone)
    return Effects(event, cone, sentences, truncated)


def concurrent(event: Event, events: Sequence[Event], limit: int) -> Concurrent:
    """Finds the events of a log that neither caused an event nor were caused by it."""
    found = concurrent_with(event, events)
    return Concurrent(event, found[:limit], len(found) > limit)
