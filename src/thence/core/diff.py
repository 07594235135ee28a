"""Two logs compared: what is in both, what changed, and where they first part.

An event's *content* leaves out what must differ between two runs: ids, times, node, numbers, names
of runs and streams, the causes themselves and members that nobody here knows; latency and cost in
the details of a simulation too. JSON values are the same when they are after sorting the keys of
their maps: 1 is not 1.0.

Where both logs have steps, events that have one are *partners* when it is the same. All other
events are when they have the same type, subject and payload, and the causes of one are, each by
each, the causes of the other. Of several that are alike in a log the n-th in total order is the
n-th of the other log. So the result depends on no order of the input. Notices of the log are left
out; what they caused is put down to what caused them. Causes that a log lacks are passed over.
Events of other tools may name each other in a circle: of such a circle the causes that close it are
passed over, walking back from its first event.

An event *differs* if it has no partner, or one with another content. The first divergence is one
that nothing different led to, in neither log; of several the one with the fewest same events before
it in its own log's total order, in A if that is equal. All functions are pure.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from thence.core.event import Event, decoded
from thence.core.order import totally_ordered
from thence.core.vocabulary import Vocabulary

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


# members of `details` about a model's performance, not about the event
VOLATILE = frozenset(("latency", "latency_s", "latency_ms", "cost", "cost_usd"))
_NOTHING = msgspec.Raw(b"{}")


class DifferingMember(msgspec.Struct, frozen=True):
    """One place in an event where two differ: `path` such as "details.new_value".

    Names of members and indices of lists are joined by dots. UNSET stands for a place that
    an event lacks.
    """

    path: str
    a: Any
    b: Any


class _Bodies(msgspec.Struct, frozen=True, gc=False):
    """The host's content in an event, as the bytes that are stored."""

    details: msgspec.Raw = _NOTHING
    payload: msgspec.Raw = _NOTHING


_MEMBERS = (
    "event_type",
    "event_version",
    "turn_number",
    "agent_id",
    "subject",
    "actor",
    "description",
    "begins",
)
_members = attrgetter(*_MEMBERS)
_decode_bodies = msgspec.json.Decoder(_Bodies).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def canonical_bodies(event: Event) -> tuple[bytes, bytes]:
    """Returns bytes that are equal for events whose details and payload are the same."""
    bodies = _bodies_of(event)
    return _canonical(bodies.details, "details"), _canonical(bodies.payload, "payload")


def is_same(a: Event, b: Event) -> bool:
    """Reports whether the contents of two events are the same."""
    return _members(a.header) == _members(b.header) and _have_same_bodies(a, b)


def contrast(a: Event, b: Event) -> tuple[DifferingMember, ...]:
    """Returns each place where two events differ, in the order of their members."""
    places = [
        DifferingMember(name, _set(x), _set(y))
        for name, x, y in zip(_MEMBERS, _members(a.header), _members(b.header), strict=True)
        if x != y
    ]
    one, other = _bodies_of(a), _bodies_of(b)
    for name in _Bodies.__struct_fields__:
        places += _apart(name, *(_readable(getattr(of, name), name) for of in (one, other)))
    return tuple(places)


def _bodies_of(event: Event) -> _Bodies:
    """Returns the bodies of an event, with whole values; one that is no JSON counts as absent."""
    try:
        return _decode_bodies(event.whole_line)
    except (ValueError, RecursionError):
        return _Bodies()


def _have_same_bodies(a: Event, b: Event) -> bool:
    one, other = _bodies_of(a), _bodies_of(b)
    if one == other:  # as stored, which is faster than what follows
        return True
    return all(
        _canonical(getattr(one, name), name) == _canonical(getattr(other, name), name)
        for name in _Bodies.__struct_fields__
    )


def _canonical(body: msgspec.Raw, name: str) -> bytes:
    """Returns a body with sorted keys and without volatile members; no JSON is left as it is."""
    if body is _NOTHING:
        return b"{}"
    try:
        return _encode(_value(body, name))
    except (ValueError, OverflowError, RecursionError):
        return bytes(body)


def _apart(path: str, a: object, b: object) -> Iterator[DifferingMember]:
    """Yields the places where two JSON values differ, as deep as possible."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a | b:
            yield from _apart(f"{path}.{key}", a.get(key, msgspec.UNSET), b.get(key, msgspec.UNSET))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            x, y = (of[index] if index < len(of) else msgspec.UNSET for of in (a, b))
            yield from _apart(f"{path}.{index}", x, y)
    elif not _is_equal(a, b):
        yield DifferingMember(path, a, b)


def _is_equal(a: object, b: object) -> bool:
    """Reports whether two values are equal in JSON, where true is not 1."""
    if msgspec.UNSET in (a, b) and a is not b:
        return False
    try:
        return _encode(a) == _encode(b)
    except (ValueError, OverflowError, RecursionError):
        return type(a) is type(b) and a == b


def _value(body: msgspec.Raw, name: str) -> Any:
    """Decodes a body, without its volatile members."""
    value = decoded(body)
    if name == "details" and isinstance(value, dict) and not VOLATILE.isdisjoint(value):
        return {key: item for key, item in value.items() if key not in VOLATILE}
    return value


def _readable(body: msgspec.Raw, name: str) -> Any:
    """Decodes a body to be shown; one that is no JSON is shown as its text."""
    try:
        return _value(body, name)
    except (ValueError, OverflowError, RecursionError):
        return bytes(body).decode(errors="replace")


def _set(value: object) -> object:
    return msgspec.UNSET if value is None else value


# the most differences of each kind in the JSON, the earliest ones
DIFFERENCES_MAX = 1_000


class CauseOnSide(msgspec.Struct, frozen=True):
    """A cause on one side of a divergence.

    `other` is its partner in the other log, None if it has none; `is_changed` means that the
    two differ, `is_shared` that the partner is a cause of the other side's event too.
    """

    event: Event
    other: Event | None
    is_changed: bool
    is_shared: bool


class FirstDifference(msgspec.Struct, frozen=True):
    """The first divergence of two logs: the event on each side, None where a log has none.

    Without a partner by alignment the event of the other side is the one of the same type
    and subject that has the same causes. `differs` are the places in which the two differ;
    `causes_a` and `causes_b` what each names; `follow_a` and `follow_b` count all later
    events that follow from each.
    """

    a: Event | None
    b: Event | None
    differs: tuple[DifferingMember, ...]
    causes_a: tuple[CauseOnSide, ...]
    causes_b: tuple[CauseOnSide, ...]
    follow_a: int
    follow_b: int


class Difference(NamedTuple):
    """The common and the differing events of two logs, as places in A and B, in total order.

    `aligned` are all pairs, `changed` those of them whose contents differ,
    `only_a` and `only_b` the events without a partner.
    """

    a: LogSide
    b: LogSide
    aligned: Sequence[tuple[int, int]]
    changed: Sequence[tuple[int, int]]
    only_a: Sequence[int]
    only_b: Sequence[int]
    first: FirstDifference | None

    @property
    def is_empty(self) -> bool:
        """True if the two logs have the same content."""
        return self.first is None


def difference(a: LogSide, b: LogSide) -> Difference:
    """Compares two logs."""
    of_a = aligned(a, b)
    of_b = [ALONE] * len(b.events)
    pairs = [(x, y) for x, y in enumerate(of_a) if y != ALONE]
    for x, y in pairs:
        of_b[y] = x
    changed = [(x, y) for x, y in pairs if not is_same(a.events[x], b.events[y])]
    only_a, only_b = (
        [place for place, partner in enumerate(partners) if partner == ALONE]
        for partners in (of_a, of_b)
    )
    one = _half(a, of_a, {*only_a, *(x for x, _ in changed)})
    two = _half(b, of_b, {*only_b, *(y for _, y in changed)})
    return Difference(a, b, pairs, changed, only_a, only_b, _first(one, two))


def as_json(result: Difference, limit: int = DIFFERENCES_MAX) -> dict[str, object]:
    """Returns a difference as an object for JSON, its events as the lines that are stored.

    The JSON holds the number of events of each kind; at most `limit` of each kind are listed,
    and `truncated` reports that there are more.
    """
    a, b = result.a, result.b
    kinds = (result.changed, result.only_a, result.only_b)
    return {
        "same": len(result.aligned) - len(result.changed),
        "changed": len(result.changed),
        "only_a": len(result.only_a),
        "only_b": len(result.only_b),
        "notices_a": a.notices,
        "notices_b": b.notices,
        "first": result.first and _first_as_json(result.first),
        "changed_events": [
            {
                "a": _line(a.events[x]),
                "b": _line(b.events[y]),
                "differs": contrast(a.events[x], b.events[y]),
            }
            for x, y in result.changed[:limit]
        ],
        "only_a_events": [_line(a.events[place]) for place in result.only_a[:limit]],
        "only_b_events": [_line(b.events[place]) for place in result.only_b[:limit]],
        "truncated": any(len(kind) > limit for kind in kinds),
    }


class _Half(NamedTuple):
    """One log with what the comparison came to.

    `partners` are places in the other log; `differing` are the places of all events that differ,
    `led_to` those with a differing event among their causes, near or far.
    """

    side: LogSide
    partners: Sequence[int]
    differing: set[int]
    led_to: set[int]

    def begins(self, other: "_Half") -> tuple[int, int] | None:
        """Returns the earliest place that nothing different led to, and the same before it."""
        for before, place in enumerate(sorted(self.differing)):
            if place not in self.led_to and self.partners[place] not in other.led_to:
                return place - before, place
        return None


def _half(side: LogSide, partners: Sequence[int], differing: set[int]) -> _Half:
    return _Half(side, partners, differing, _effects(side, differing))


def _effects(of: LogSide, places: Iterable[int]) -> set[int]:
    """Returns the places of all effects of some events, direct and indirect."""
    reached, effects = set(places), set()
    is_apart = reached.isdisjoint
    for place, causes in enumerate(of.causes):
        if not is_apart(causes):
            reached.add(place)
            effects.add(place)
    return effects


def _first(a: _Half, b: _Half) -> FirstDifference | None:
    """Returns the first divergence of two logs."""
    in_a, in_b = a.begins(b), b.begins(a)
    if in_a is None and in_b is None:  # each difference follows from one in the other log
        in_a, in_b = ((0, min(half.differing)) if half.differing else None for half in (a, b))
    if in_a is not None and (in_b is None or in_a[0] <= in_b[0]):
        return _divergence(in_a[1], _opposite(in_a[1], a, b), a, b)
    if in_b is not None:
        return _divergence(_opposite(in_b[1], b, a), in_b[1], a, b)
    return None


def _opposite(place: int, mine: _Half, other: _Half) -> int | None:
    """Returns the place of the event to set against one: its partner, or a substitute."""
    partner = mine.partners[place]
    if partner != ALONE:
        return partner
    own, events = mine.side.events[place], other.side.events
    causes = {mine.partners[cause] for cause in mine.side.causes[place]}
    fitting = [
        at
        for at in sorted(other.differing)
        if other.partners[at] == ALONE
        and events[at].event_type == own.event_type
        and events[at].header.subject == own.header.subject
        and (events[at].step is None or own.step is None)
        and set(other.side.causes[at]) == causes
    ]
    return min(fitting, key=lambda at: events[at].header.actor != own.header.actor, default=None)


def _divergence(x: int | None, y: int | None, a: _Half, b: _Half) -> FirstDifference:
    event_a = None if x is None else a.side.events[x]
    event_b = None if y is None else b.side.events[y]
    return FirstDifference(
        a=event_a,
        b=event_b,
        differs=contrast(event_a, event_b) if event_a and event_b else (),
        causes_a=() if x is None else _causes(x, y, a, b),
        causes_b=() if y is None else _causes(y, x, b, a),
        follow_a=0 if x is None else len(_effects(a.side, (x,))),
        follow_b=0 if y is None else len(_effects(b.side, (y,))),
    )


def _causes(place: int, across: int | None, mine: _Half, other: _Half) -> tuple[CauseOnSide, ...]:
    """Returns the causes of an event, compared with those of the event `across`."""
    others = set() if across is None else set(other.side.causes[across])
    causes = []
    for cause in sorted(set(mine.side.causes[place])):
        partner = mine.partners[cause]
        causes.append(
            CauseOnSide(
                event=mine.side.events[cause],
                other=None if partner == ALONE else other.side.events[partner],
                is_changed=partner != ALONE and cause in mine.differing,
                is_shared=partner in others,
            )
        )
    return tuple(causes)


def _first_as_json(first: FirstDifference) -> dict[str, object]:
    return {
        "a": first.a and _line(first.a),
        "b": first.b and _line(first.b),
        "differs": first.differs,
        "causes_a": list(map(_cause_as_json, first.causes_a)),
        "causes_b": list(map(_cause_as_json, first.causes_b)),
        "follow_a": first.follow_a,
        "follow_b": first.follow_b,
    }


def _cause_as_json(cause: CauseOnSide) -> dict[str, object]:
    return {
        "event": _line(cause.event),
        "other": cause.other and cause.other.event_id,
        "changed": cause.is_changed,
        "shared": cause.is_shared,
    }


def _line(event: Event) -> msgspec.Raw:
    return msgspec.Raw(event.line)
