"""The answers to "why did this happen?", "what followed?", "what went on beside it?".

*Caused* is reachable over `caused_by` alone. Events that other tools wrote may name each other
in a circle: each of them is then a cause of the others. All functions are pure, and take events
in any input order.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from thence.core.event import Event
from thence.core.order import (
    MILESTONE,
    Cone,
    total_order_key,
)
from thence.core.values.new_event import parse_cause

# the most causes of one event among its reasons
REASONS_OF_ONE_MAX = 3


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
