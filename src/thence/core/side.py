"""One log laid out for a comparison: its events by their places, their causes as places.

Notices of the log are left out; what they caused is put down to what caused them. Causes that
a log lacks are passed over. Events of other tools may name each other in a circle: of such a
circle the causes that close it are passed over, walking back from its first event.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from thence.core.event import Event, Header
from thence.core.order import totally_ordered
from thence.core.vocabulary import Vocabulary

_Causes = Sequence[Sequence[int]]


class Side(NamedTuple):
    """One log: its events in total order, without `notices`, each known by its place there.

    `causes` are the places of what each event names; they close no circle. `order` is one in
    which each place comes after its causes.
    """

    events: Sequence[Event]
    headers: Sequence[Header]
    causes: _Causes
    order: Sequence[int]
    notices: int


def side(events: Iterable[Event]) -> Side:
    """Lays out the events of one log, given in any order."""
    found = list(events)
    headers = [event.header for event in found]
    if not _is_in_order(headers):
        found = totally_ordered(found)
        headers = [event.header for event in found]
    notices = _notices(found, headers)
    if notices:
        kept = [place for place, head in enumerate(headers) if head.event_id not in notices]
        found, headers = [found[place] for place in kept], [headers[place] for place in kept]
    causes, is_forward = _causes(headers, notices)
    if is_forward:
        return Side(found, headers, causes, range(len(headers)), len(notices))
    return Side(found, headers, *_without_circles(causes), len(notices))


def _is_in_order(headers: Sequence[Header]) -> bool:
    """Tells quickly that events stand in total order, each id once; False when unsure."""
    clock = 0
    for head in headers:
        if not head.seq or head.lamport_clock <= clock:
            return False
        clock = head.lamport_clock
    return len({head.event_id for head in headers}) == len(headers)


def _notices(events: Sequence[Event], headers: Sequence[Header]) -> dict[str, tuple[str, ...]]:
    """Returns the ids of the notices among events, with the causes that each names."""
    words = events[0].vocabulary if events else None
    if not isinstance(words, Vocabulary):
        return {}
    kind = words.notice_type
    return {
        head.event_id: head.caused_by
        for event, head in zip(events, headers, strict=True)
        if (head.event_type == kind if kind else head.event_type.startswith("log."))
        and words.notice_kind(event) is not None
    }


def _causes(
    headers: Sequence[Header], notices: Mapping[str, tuple[str, ...]]
) -> tuple[list[Sequence[int]], bool]:
    """Returns the places of each event's causes, and whether all stand before it."""
    places: dict[str, int] = {}
    causes: list[Sequence[int]] = []
    missing: list[tuple[int, Sequence[str]]] = []
    for place, head in enumerate(headers):
        named: Sequence[str] = head.caused_by
        if notices and not notices.keys().isdisjoint(named):
            named = _beyond(named, notices)
        known = [places[cause] for cause in named if cause in places]
        if len(known) < len(named):
            missing.append((place, named))
        causes.append(known)
        places[head.event_id] = place
    is_forward = True
    for place, named in missing:
        known = [places[cause] for cause in named if cause in places]
        if len(known) > len(causes[place]):
            causes[place], is_forward = known, False
    return causes, is_forward


def _beyond(named: Iterable[str], notices: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns causes with those that notices name in place of the notices."""
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
    """Leaves out the causes that close a circle, and puts each place after its causes."""
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
