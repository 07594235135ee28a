"""Order, causes, lookups, pages and counts by plain algorithms: what the index must answer.

All functions are pure: events in, events out, in any input order.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from thence.core.codec import BadLine
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.new_event import Position
from thence.core.order import (
    CHAIN_EVENTS_MAX,
    CONE_EVENTS_MAX,
    Cone,
    by_closeness,
    causes_of,
    total_order_key,
    totally_ordered,
)
from thence.core.query.filter import Filter
from thence.core.query.why import (
    PREFIX_CHARACTERS_MIN,
    Concurrent,
    Effects,
    LogEnd,
    Tally,
    Why,
    ambiguous,
    descending,
    ends_of,
    not_found,
    subject_named,
)
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk
from thence.log.index.page import Key, Page, PageBounds, PageRequest
from thence.log.read.reader import events as read_events
from thence.log.read.reader import lines

Neighbours = Callable[[Event], Iterable[Event]]


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


def heads(subject: str, events: Iterable[Event], but: Collection[str] = ()) -> tuple[Event, ...]:
    """Returns the events on a subject that caused no other event on it, in total order.

    Events of the types in `but` don't count as events on it. Causes that lie between, on other
    subjects or of such a type, count. All events of the log are needed.
    """
    by_id = {event.event_id: event for event in totally_ordered(events)}
    on = [e for e in by_id.values() if e.subject == subject and e.event_type not in but]
    passed: set[str] = set()
    stack = [cause for event in on for cause in event.caused_by]
    while stack:
        cause = stack.pop()
        if cause in by_id and cause not in passed:
            passed.add(cause)
            stack += by_id[cause].caused_by
    return tuple(event for event in on if event.event_id not in passed)


def chain(
    event: Event, events: Mapping[str, Event], limit: int = CHAIN_EVENTS_MAX
) -> tuple[Event, ...]:
    """Returns one line of causes from a root to the event, the root first.

    The chain follows the closest cause. A chain longer than the limit is cut at the root's side.
    """
    links = [event]
    seen = {event.event_id}
    while len(links) < limit:
        named = [events[cause] for cause in links[-1].caused_by if cause in events]
        named = [cause for cause in named if cause.event_id not in seen]
        if not named:
            break
        link = by_closeness(links[-1], named)[0]
        seen.add(link.event_id)
        links.append(link)
    return tuple(reversed(links))


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
    latest are those that caused no other common one; of a circle there is none.
    """
    known = {event.event_id: event for event in totally_ordered([*events, *named])}
    roots = [causes_of(event, known) | {event.event_id} for event in named]
    shared = set[str].intersection(*roots)
    surpassed = set[str]().union(*(known[event_id].caused_by for event_id in shared))
    return tuple(event for event in known.values() if event.event_id in shared - surpassed)


def why(event: Event, events: Sequence[Event], vocabulary: Vocabulary) -> Why:
    """Finds the causes of an event among the events of its log."""
    known = {other.event_id: other for other in events}
    links = chain(event, known)
    cone, truncated = upstream(event, known, CONE_EVENTS_MAX)
    ends = ends_of(links, cone, known.keys().__and__)
    return Why(event, links, cone, tuple(map(vocabulary.sentence, links)), truncated, *ends)


def log_end(events: Iterable[Event]) -> LogEnd:
    """Returns the last event, and the steps that an event begins and none ends."""
    ordered = totally_ordered(events)
    ended = {event.ends for event in ordered}
    begins = [event for event in ordered if event.begins and event.event_id not in ended]
    return LogEnd(ordered[-1] if ordered else None, tuple(begins))


def effects(event: Event, events: Sequence[Event], vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event among the events of its log."""
    cone, truncated = downstream(event, events, CONE_EVENTS_MAX)
    sentences = tuple(vocabulary.sentence(effect) for effect, _ in cone)
    return Effects(event, cone, sentences, truncated)


def concurrent(event: Event, events: Sequence[Event], limit: int) -> Concurrent:
    """Finds the events of a log that neither caused an event nor were caused by it."""
    found = concurrent_with(event, events)
    return Concurrent(event, found[:limit], len(found) > limit)


def named(
    text: str,
    events: Sequence[Event],
    vocabulary: Vocabulary,
    place: object,
) -> Event:
    """Returns the event that a text names, among the events of a log in total order.

    It is an id, an unambiguous prefix of at least 6 characters, "@last", or "@last-error";
    else the latest event on the subject of that name, of which the last parts are enough:
    WP01 for 028-sync/WP01; else the latest event of that type. Raises EventNotFound,
    `ambiguous_id`.
    """
    if text == "@last":
        found = list(events[-1:])
    elif text == "@last-error":
        found = [event for event in events if is_failure(event)][-1:]
    else:
        begun = (text, text.upper())
        found = [event for event in events if event.event_id.startswith(begun)]
        for event in found:
            if event.event_id == text:
                return event
        if not found or len(text) < PREFIX_CHARACTERS_MIN:
            latest = {event.subject: event for event in events if event.subject}
            subject = subject_named(text, latest)
            if subject is not None:
                return latest[subject]
            for event in reversed(events):
                if event.event_type == text:
                    return event
            if not found:
                raise not_found(place, text, latest)
            raise ambiguous(text, len(found))
    if not found:
        raise not_found(place, text)
    if len(found) > 1:
        raise ambiguous(text, len(found), found[0].event_id)
    return found[0]


def page_of_events(
    events: Iterable[Event],
    filter: Filter,
    log_id: str = "",
    **paging: Unpack[PageBounds],
) -> Page:
    """Returns a page of the events that match, as `index.query.page` does.

    The events come in arrival order, each once, as `log.read.reader.events` yields them. Raises
    InvalidFilter, `invalid_cursor`.
    """
    request = PageRequest.of(filter, log_id, **paging)
    arrived = list(events)
    snapshot = request.mark.snapshot if request.mark else len(arrived)
    found = [event for event in arrived[:snapshot] if filter.matches(event)]
    found.sort(key=lambda event: event.order_key)
    begin = request.offset
    if request.mark is not None:
        begin = bisect_right(found, request.mark.last, key=key_of)
        if request.descending:  # the mark's own event, if still in the log, comes before `begin`
            begin = len(found) - bisect_left(found, request.mark.last, key=key_of)
    if request.descending:
        found.reverse()
    total = request.mark.total if request.mark else len(found)
    chosen = tuple(found[begin : begin + request.room(total)])
    last = key_of(chosen[-1]) if chosen else None
    return Page(chosen, *request.end(len(chosen), last, snapshot, total))


def key_of(event: Event) -> Key:
    """Returns the key of an event in the total order, as a cursor holds it."""
    # another tool's line may hold half a character, which the index writes as an escape
    lamport, *texts, _ = event.order_key
    node_id, *rest = (text.encode("utf-8", "backslashreplace") for text in texts)
    return (lamport, node_id, b"", rest[0]) if lamport else (0, b"", rest[0], rest[1])


def events_after(
    disk: Disk, folder: Path, vocabulary: Vocabulary, after: Position | str | None
) -> Iterator[Event]:
    """Yields the events behind a position, or behind the event of an id.

    Raises EventNotFound when the log ends without that event.
    """
    found = iter(read_events(disk, folder, vocabulary))
    if isinstance(after, Position):
        yield from (event for event in found if not after.holds(event))
        return
    if after is not None and not any(event.event_id == after for event in found):
        raise not_found(folder, after)
    yield from found


def count_events(events: Iterable[Event]) -> Tally:
    """Counts events, in any order."""
    types: Counter[str] = Counter()
    actors: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    unverified = 0
    first: Event | None = None
    last: Event | None = None
    for event in events:
        types[event.event_type] += 1
        if event.is_foreign:
            unverified += 1
        else:
            nodes[event.node_id] += 1
        actor = event.actor
        if actor:
            actors[actor] += 1
        key = total_order_key(event)
        if first is None or last is None:
            first = last = event
        elif key > total_order_key(last):
            last = event
        elif key < total_order_key(first):
            first = event
    return Tally(
        types.total(),
        unverified,
        descending(types),
        descending(actors),
        descending(nodes),
        first,
        last,
    )


def position(disk: Disk, folder: Path, vocabulary: Vocabulary) -> Position:
    """Returns the position behind all events of the log."""
    own: list[tuple[str, int]] = []
    foreign: list[str] = []
    for line in lines(disk, folder, vocabulary):
        event = line.content
        if not line.is_whole or isinstance(event, BadLine):
            continue
        if event.is_foreign:
            foreign.append(event.event_id)
        else:
            own.append((event.node_id, event.seq))
    ranges: dict[str, list[tuple[int, int]]] = {}
    for node_id, seq in sorted(set(own)):
        spans = ranges.setdefault(node_id, [])
        if spans and spans[-1][1] == seq - 1:
            spans[-1] = (spans[-1][0], seq)
        else:
            spans.append((seq, seq))
    intervals = {node_id: tuple(spans) for node_id, spans in ranges.items()}
    return Position(intervals, frozenset(foreign))
