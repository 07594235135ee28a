"""Which of some chosen events each of them goes back to, found for all of them in one sweep.

Caused is reachable over `caused_by` alone, as in `core.order`, through events that were not
chosen too. Chosen events are numbered; what an event goes back to is a number whose bit n
says whether the n-th is among its causes. Lines of other tools may stand before their causes
and name each other in a circle: each of a circle is then a cause of all of it.

Most other tools record no causes at all. Of lines that one of them wrote on one subject each
that names none counts as behind the one before it: `in_turn` tells these.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from thence.core.event import Event, Header

# so many chosen events share a sweep: 512 bytes for each event between them
CHOSEN_MAX = 4096


class _Writer(msgspec.Struct):
    """Who wrote a line of another tool; anything may stand there."""

    node_id: object = None


_decode_writer = msgspec.json.Decoder(_Writer).decode


class History(msgspec.Struct, frozen=True):
    """Events so that each stands behind its causes, those of one circle side by side.

    `ranks` holds for each its place in the total order, `causes` the places of its causes in
    this one, `lacks_causes` whether it names, or goes back to what names, an event that is
    not held.
    """

    ranks: Sequence[int]
    causes: Sequence[Sequence[int]]
    lacks_causes: Sequence[bool]
    has_circles: bool = False


def in_turn(ordered: Sequence[Event], subjects: Sequence[str | None]) -> dict[str, str]:
    """Maps lines of other tools that name no causes to the line before, by their ids.

    Before is in total order, on the same subject, and by the same `node_id`, if it has one.
    """
    found: dict[str, str] = {}
    last: dict[tuple[str, object], str] = {}
    for event, subject in zip(ordered, subjects, strict=True):
        header = event.header
        if header.seq or subject is None:
            continue
        key = (subject, _decode_writer(event.line).node_id)
        if key in last and not header.caused_by:
            found[header.event_id] = last[key]
        last[key] = header.event_id
    return found


def history(headers: Sequence[Header], beside: Mapping[str, str]) -> History:
    """Links events in total order, by what they name and by one more cause for some."""
    places = {header.event_id: place for place, header in enumerate(headers)}
    causes: list[Sequence[int]] = []
    lacks: list[bool] = []
    is_forward = True
    find = places.get
    for place, header in enumerate(headers):
        held = tuple([at for at in map(find, header.caused_by) if at is not None])
        is_whole = len(held) == len(header.caused_by) or _is_elsewhere(header, places)
        if beside and header.event_id in beside:
            held = (*held, places[beside[header.event_id]])
        causes.append(held)
        lacks.append(not is_whole)
        if held and max(held) >= place:
            is_forward = False
    ranks = range(len(headers))
    found = History(ranks, causes, lacks) if is_forward else _sorted(causes, lacks)
    return msgspec.structs.replace(found, lacks_causes=_handed_on(found))


def _is_elsewhere(header: Header, places: Mapping[str, int]) -> bool:
    """Tells whether each cause that is not held lies in another log, by what the event says."""
    elsewhere = {cause.partition("@")[0] for cause in header.external_causes}
    return all(cause in places or cause in elsewhere for cause in header.caused_by)


def _sorted(causes: list[Sequence[int]], lacks: Sequence[bool]) -> History:
    order: list[int] = []
    has_circles = False
    for circle in _circles(causes):
        order += circle
        if len(circle) > 1:
            has_circles = True
            shared = sorted({cause for member in circle for cause in causes[member]})
            for member in circle:
                causes[member] = shared
    place = {old: new for new, old in enumerate(order)}
    return History(
        order,
        [[place[cause] for cause in causes[old]] for old in order],
        [lacks[old] for old in order],
        has_circles,
    )


def _circles(causes: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yields the circles, single events most of them, each behind what it goes back to.

    R. Tarjan, "Depth-first search and linear graph algorithms", 1972, without recursion.
    """
    found: dict[int, int] = {}
    lowest: dict[int, int] = {}
    closed: set[int] = set()
    waiting: list[int] = []
    for start in range(len(causes)):
        stack = [] if start in found else [(start, iter(causes[start]))]
        while stack:
            place, rest = stack[-1]
            if place not in found:
                found[place] = lowest[place] = len(found)
                waiting.append(place)
            for cause in rest:
                if cause not in found:
                    stack.append((cause, iter(causes[cause])))
                    break
                if cause not in closed:
                    lowest[place] = min(lowest[place], lowest[cause])
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[place])
                if lowest[place] == found[place]:
                    circle = [waiting.pop()]
                    while circle[-1] != place:
                        circle.append(waiting.pop())
                    closed.update(circle)
                    yield sorted(circle)


def _handed_on(found: History) -> list[bool]:
    """Hands on to each event whether any of its causes lacks some."""
    lacks = list(found.lacks_causes)
    if not any(lacks):
        return lacks
    for _ in range(1 + found.has_circles):
        for place, causes in enumerate(found.causes):
            lacks[place] = lacks[place] or any(map(lacks.__getitem__, causes))
    return lacks


def seen(events: History, chosen: Sequence[int]) -> list[int]:
    """Returns for each of the chosen places which chosen ones it goes back to, as bits."""
    if not chosen:
        return []
    numbers = {place: number for number, place in enumerate(chosen)}
    # what stands before the first chosen event goes back to none, unless by a circle
    first, behind = 0 if events.has_circles else min(chosen), max(chosen) + 1
    masks = [0] * len(events.causes)
    found = [0] * len(chosen)
    for _ in range(1 + events.has_circles):
        for place in range(first, behind):
            mask = 0
            for cause in events.causes[place]:
                mask |= masks[cause]
            number = numbers.get(place)
            if number is not None:
                found[number] = mask
                mask |= 1 << number
            masks[place] = mask
    return found
