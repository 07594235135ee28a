"""Two logs compared: what is in both, what changed, and where they first part.

An event *differs* if it has no partner in the other log (`core.diff.alignment` pairs them), or one
with another content (`core.diff.content`). The first divergence is one that nothing different
led to, in neither log; of several the one with the fewest same events before it in its own
log's total order, in A if that is equal. All functions are pure.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from thence.core.diff.alignment import ALONE, LogSide, aligned
from thence.core.diff.content import DifferingMember, contrast, is_same
from thence.core.event import Event

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
