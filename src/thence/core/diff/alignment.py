"""The alignment of two logs: pairs of events that correspond to each other.

Where both logs have steps, events that have one correspond when it is the same. All other events
correspond when they have the same type, subject and payload, and the causes of one are, each by
each, the causes of the other. Of several that are alike in a log the n-th in total order is the
n-th of the other log. So the result depends on no order of the input.

Notices of the log are left out; what they caused is put down to what caused them. Causes that
a log lacks are passed over. Events of other tools may name each other in a circle: of such a
circle the causes that close it are passed over, walking back from its first event.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from thence.core.diff.content import canonical_bodies
from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.core.values.vocabulary import Vocabulary

ALONE = -1
_Causes = Sequence[Sequence[int]]


class LogSide(NamedTuple):
    """One log laid out for a comparison, without its `notices`, which are counted.

    The events stand in total order, but each behind its causes. `causes` are the places of what
    each event names.
    """

    events: Sequence[Event]
    causes: _Causes
    notices: int


def side(events: Iterable[Event]) -> LogSide:
    """Returns the side of a log from its events, given in any order."""
    ordered = totally_ordered(events)
    notices = {event.event_id: event.caused_by for event in ordered if _is_notice(event)}
    kept = [event for event in ordered if event.event_id not in notices] if notices else ordered
    causes = _places_of_causes(kept, notices)
    if any(max(named, default=ALONE) >= place for place, named in enumerate(causes)):
        order, causes = _behind_causes(causes)
        kept = [kept[place] for place in order]
    return LogSide(kept, causes, len(notices))


def aligned(a: LogSide, b: LogSide) -> list[int]:
    """Returns for each event of A the place of its partner in B, ALONE for one without."""
    has_steps = all(any(event.step is not None for event in of.events) for of in (a, b))
    numbers: dict[Hashable, int] = {}
    names_a, names_b = (_names(of, has_steps, numbers) for of in (a, b))
    place_in_b = {name: place for place, name in enumerate(names_b)}
    return [place_in_b.get(name, ALONE) for name in names_a]


def _names(of: LogSide, by_step: bool, numbers: dict[Hashable, int]) -> list[int]:
    """Returns a number for each event, the same for two that are a pair.

    `numbers` is shared by both logs. An event's key holds the numbers of its causes.
    """
    names: list[int] = []
    counts: dict[int, int] = {}
    for event, causes in zip(of.events, of.causes, strict=True):
        header = event.header
        key: Hashable = header.step
        if key is None or not by_step:
            named = tuple(sorted({names[cause] for cause in causes}))
            key = (named, header.event_type, header.subject, *canonical_bodies(event))
        name = numbers.setdefault(key, len(numbers))
        count = counts[name] = counts.get(name, 0) + 1
        if count > 1:
            name = numbers.setdefault((name, count), len(numbers))
        names.append(name)
    return names


def _is_notice(event: Event) -> bool:
    words = event.vocabulary
    return isinstance(words, Vocabulary) and words.notice_kind(event) is not None


def _places_of_causes(
    events: Sequence[Event], notices: Mapping[str, tuple[str, ...]]
) -> list[Sequence[int]]:
    """Returns the places of what each event names, and of what notices among it name."""
    places = {event.header.event_id: place for place, event in enumerate(events)}
    place_of = places.__getitem__
    causes: list[Sequence[int]] = []
    for event in events:
        named: Iterable[str] = event.header.caused_by
        if notices and not notices.keys().isdisjoint(named):
            named = _beyond(named, notices)
        try:
            causes.append(list(map(place_of, named)))
        except KeyError:  # the log lacks one
            causes.append([places[cause] for cause in named if cause in places])
    return causes


def _beyond(named: Iterable[str], notices: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    """Returns causes, where each notice is replaced by the causes that it names."""
    causes: dict[str, None] = {}
    stack = list(named)
    passed: set[str] = set()
    while stack:
        cause = stack.pop()
        if cause not in notices:
            causes[cause] = None
        elif cause not in passed:
            passed.add(cause)
            stack += notices[cause]
    return causes


def _behind_causes(causes: _Causes) -> tuple[list[int], list[Sequence[int]]]:
    """Returns the places so that each stands behind its causes, and the causes in that order.

    Causes that close a circle are left out.
    """
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
    places = {place: index for index, place in enumerate(order)}
    return order, [[places[cause] for cause in kept[place]] for place in order]
