"""The ancestry of chosen events: the chosen causes of each, found for all in one sweep.

Caused is reachable over `caused_by` alone, as in `core.order`, through events that were not
chosen too. Chosen events are numbered; what an event goes back to is a number whose bit n
is set if the n-th is among its causes. Lines of other tools may stand before their causes
and name each other in a circle: a cause that closes a circle doesn't count.

Most other tools record no causes at all. Such a line counts as behind what is on its subject
with a smaller clock, and behind the line before it of the same tool: `in_turn` returns these.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from thence.core.event import Event, EventHeader
from thence.core.order import after_causes

# the most chosen events in one sweep: 512 bytes for each event between them
CHOSEN_MAX = 4096


class CausalHistory(msgspec.Struct, frozen=True):
    """Events in an order where each comes after its causes.

    `ranks` holds for each its place in the total order, `causes` the places of its causes in
    this one, `lacks_causes` whether it names, or goes back to what names, an event that is
    not held.
    """

    ranks: Sequence[int]
    causes: Sequence[Sequence[int]]
    lacks_causes: Sequence[bool]


class SubjectHistory(msgspec.Struct, frozen=True):
    """The events on one subject, in an order that extends causes.

    `ranks` are the places in the total order. Bit n of `seen` is set if an event goes back to
    the n-th of them.
    """

    events: Sequence[Event]
    ranks: Sequence[int]
    seen: Sequence[int]
    lacks_causes: Sequence[bool]

    def heads(self, among: Sequence[int] | None = None) -> list[int]:
        """Returns the numbers of the events that are causes of none of them, or of `among`."""
        numbers = range(len(self.events)) if among is None else among
        passed = 0
        for number in numbers:
            passed |= self.seen[number]
        return [number for number in numbers if not passed >> number & 1]

    def events_of(self, numbers: Iterable[int]) -> tuple[Event, ...]:
        """Returns events by their numbers, in total order."""
        return tuple(
            [self.events[number] for number in sorted(numbers, key=self.ranks.__getitem__)]
        )

    def is_beside(self, one: int, other: int) -> bool:
        """Reports whether neither of two events is a cause of the other."""
        is_seen = self.seen[one] >> other & 1 or self.seen[other] >> one & 1
        return one != other and not is_seen


def in_turn(ordered: Sequence[Event], subjects: Sequence[str | None]) -> dict[str, tuple[str, ...]]:
    """Maps lines of other tools that name no causes to what they count as behind, by ids.

    That is whatever has a smaller clock on the same subject, and the line before by the same
    `node_id`. One that is behind another of these is left out.
    """
    silent: dict[str | None, list[EventHeader]] = {
        subject: []
        for event, subject in zip(ordered, subjects, strict=True)
        if subject is not None and not (event.header.seq or event.header.caused_by)
    }
    for event, subject in zip(ordered, subjects, strict=True):
        if subject in silent:
            silent[subject].append(event.header)
    beside: dict[str, tuple[str, ...]] = {}
    for headers in silent.values():
        ends: dict[str, None] = {}
        last: dict[str, str] = {}
        for _, group in groupby(headers, key=attrgetter("lamport_clock")):
            at_once = list(group)
            for header in at_once:
                own = last.get(header.node_id)
                before = tuple(ends) if own is None or own in ends else (*ends, own)
                if before and not (header.seq or header.caused_by):
                    beside[header.event_id] = before
                if not header.seq:
                    last[header.node_id] = header.event_id
            for header in at_once:
                for cause in header.caused_by or beside.get(header.event_id, ()):
                    ends.pop(cause, None)
                ends[header.event_id] = None
    return beside


def history(headers: Sequence[EventHeader], beside: Mapping[str, Sequence[str]]) -> CausalHistory:
    """Links events in total order, by their named causes and by additional ones for some."""
    places = {header.event_id: place for place, header in enumerate(headers)}
    causes: list[Sequence[int]] = []
    lacks: list[bool] = []
    is_forward = True
    find = places.get
    for place, header in enumerate(headers):
        held = tuple([at for at in map(find, header.caused_by) if at is not None])
        is_whole = len(held) == len(header.caused_by)
        if not is_whole:  # unless the event places each cause that is not held in another log
            elsewhere = {cause.partition("@")[0] for cause in header.external_causes}
            is_whole = all(cause in places or cause in elsewhere for cause in header.caused_by)
        if beside and header.event_id in beside:
            held = (*held, *map(places.__getitem__, beside[header.event_id]))
        causes.append(held)
        lacks.append(not is_whole)
        if held and max(held) >= place:
            is_forward = False
    ranks: Sequence[int] = range(len(headers))
    if not is_forward:
        ranks, causes = after_causes(causes)
        lacks = [lacks[rank] for rank in ranks]
    if any(lacks):
        for place, causes_of in enumerate(causes):
            lacks[place] = lacks[place] or any(map(lacks.__getitem__, causes_of))
    return CausalHistory(ranks, causes, lacks)


def seen(events: CausalHistory, chosen: Sequence[int]) -> list[int]:
    """Returns for each of the chosen places its chosen causes, as bits."""
    if not chosen:
        return []
    numbers = {place: number for number, place in enumerate(chosen)}
    masks = [0] * len(events.causes)
    chosen_masks = [0] * len(chosen)
    # events before the first chosen one have no chosen cause
    for place in range(min(chosen), max(chosen) + 1):
        mask = 0
        for cause in events.causes[place]:
            mask |= masks[cause]
        number = numbers.get(place)
        if number is not None:
            chosen_masks[number] = mask
            mask |= 1 << number
        masks[place] = mask
    return chosen_masks
