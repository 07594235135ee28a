"""One log laid out for a comparison: its events by their places, their causes as places.

Notices of the log are left out; what they caused is put down to what caused them. Causes that
a log lacks are passed over. Events of other tools may name each other in a circle: of such a
circle the causes that close it are passed over, walking back from its first event.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import lt
from typing import NamedTuple

from thence.core.diff.content import EventContent, content_of
from thence.core.event import Event, Reading
from thence.core.order import totally_ordered
from thence.core.values.vocabulary import Vocabulary

_Causes = Sequence[Sequence[int]]
_EventAt = Callable[[int], Event]


class LogSide(NamedTuple):
    """One log: the contents of its events in total order, without `notices`, by place.

    `causes` are the places of what each event names; they close no circle. `order` is one in
    which each place comes after its causes. `event_at` returns the event of a place.
    """

    contents: Sequence[EventContent]
    causes: _Causes
    order: Sequence[int]
    notices: int
    event_at: _EventAt


def side(events: Iterable[Event]) -> LogSide:
    """Returns the side of a log from its events, given in any order."""
    found = list(events)
    contents = list(map(content_of, found))
    if not is_in_order(contents):
        found = totally_ordered(found)
        contents = list(map(content_of, found))
    return laid_out(contents, found.__getitem__, found[0].vocabulary if found else None)


def is_in_order(contents: Sequence[EventContent]) -> bool:
    """Reports quickly that events are in total order, each id once; False when unsure."""
    clocks = [each.lamport_clock for each in contents]
    return (
        0 not in [each.seq for each in contents]
        and all(map(lt, clocks, islice(clocks, 1, None)))
        and len({each.event_id for each in contents}) == len(contents)
    )


def laid_out(
    contents: Sequence[EventContent], event_at: _EventAt, words: Reading | None
) -> LogSide:
    """Returns the side of contents given in total order; `event_at` returns each event."""
    notices = _notices(contents, event_at, words)
    if notices:
        kept = [place for place, each in enumerate(contents) if each.event_id not in notices]
        contents, whole = [contents[place] for place in kept], event_at

        def event_at(place: int) -> Event:
            return whole(kept[place])

    causes, is_forward = _causes(contents, notices)
    order: Sequence[int] = range(len(contents))
    if not is_forward:
        causes, order = _without_circles(causes)
    return LogSide(contents, causes, order, len(notices), event_at)


def _notices(
    contents: Sequence[EventContent], event_at: _EventAt, words: Reading | None
) -> dict[str, tuple[str, ...]]:
    """Returns the ids of the notices among events, with the causes that each names."""
    if not isinstance(words, Vocabulary):
        return {}
    types = {each.event_type for each in contents}
    kind = words.notice_type
    kinds = {name for name in types if (name == kind if kind else name.startswith("log."))}
    if not kinds:
        return {}
    return {
        each.event_id: each.caused_by
        for place, each in enumerate(contents)
        if each.event_type in kinds and words.notice_kind(event_at(place)) is not None
    }


def _causes(
    contents: Sequence[EventContent], notices: Mapping[str, tuple[str, ...]]
) -> tuple[list[Sequence[int]], bool]:
    """Returns the places of each event's causes, and whether all stand before it."""
    places: dict[str, int] = {}
    place_of = places.__getitem__
    causes: list[Sequence[int]] = []
    missing: list[tuple[int, Sequence[str]]] = []
    for place, each in enumerate(contents):
        named: Sequence[str] = each.caused_by
        if notices and not notices.keys().isdisjoint(named):
            named = _beyond(named, notices)
        try:
            causes.append(list(map(place_of, named)))
        except KeyError:
            missing.append((place, named))
            causes.append([places[cause] for cause in named if cause in places])
        places[each.event_id] = place
    is_forward = True
    for place, named in missing:
        known = [places[cause] for cause in named if cause in places]
        if len(known) > len(causes[place]):
            causes[place], is_forward = known, False
    return causes, is_forward


def _beyond(named: Iterable[str], notices: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns causes, where each notice is replaced by the causes that it names."""
    found: dict[str, None] = {}
    stack = list(reversed(tuple(named)))
    passed: set[str] = set()
    while stack:
        cause = stack.pop()
        if cause not in notices:
            found[cause] = None
        elif cause not in passed:
            passed.add(cause)
            stack += reversed(notices[cause])
    return tuple(found)


def _without_circles(causes: _Causes) -> tuple[list[Sequence[int]], list[int]]:
    """Returns the causes without those that close a cycle, and an order behind causes."""
    kept: list[Sequence[int]] = [()] * len(causes)
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
    return kept, order
