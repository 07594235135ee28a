"""Two logs compared: what is in both, what changed, and where they first part.

An event *differs* if it has no partner in the other log (`core.diff.alignment` pairs them), or one
with another content (`core.diff.content`). The first divergence is one that nothing different
led to, in neither log; of several the one with the fewest same events before it in its own
log's total order, in A if that is equal. All functions are pure.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from thence.core.diff.alignment import ALONE, aligned
from thence.core.diff.content import DifferingMember, are_same, contrast
from thence.core.diff.log_side import LogSide
from thence.core.event import Event


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
    of_b = [ALONE] * len(b.contents)
    pairs = [(x, y) for x, y in enumerate(of_a) if y != ALONE]
    for x, y in pairs:
        of_b[y] = x
    same = are_same([a.contents[x] for x, _ in pairs], [b.contents[y] for _, y in pairs])
    changed = [pair for pair, is_same in zip(pairs, same, strict=True) if not is_same]
    one = _Half.of(a, of_a, [x for x, _ in changed])
    two = _Half.of(b, of_b, [y for _, y in changed])
    return Difference(a, b, pairs, changed, one.alone, two.alone, _first(one, two))


class _Half(NamedTuple):
    """One log with what the comparison found.

    `partners` are places in the other log; `alone` are the places of events without one,
    `differing` of all events that differ; `led_to` are the places with a differing cause.
    """

    side: LogSide
    partners: Sequence[int]
    alone: Sequence[int]
    differing: set[int]
    led_to: "_LedTo"

    @staticmethod
    def of(laid: LogSide, partners: Sequence[int], changed: Iterable[int]) -> "_Half":
        """Makes a half with the events that differ, and their effects."""
        alone = [place for place, partner in enumerate(partners) if partner == ALONE]
        differing = {*alone, *changed}
        return _Half(laid, partners, alone, differing, _LedTo(differing, laid))

    def begins(self, other: "_Half") -> tuple[int, int] | None:
        """Returns the earliest place that nothing different led to, and the same before it."""
        for before, place in enumerate(sorted(self.differing)):
            if place not in self.led_to and self.partners[place] not in other.led_to:
                return place - before, place
        return None


class _LedTo:
    """The set of places with a differing cause; computed only as far as asked for."""

    def __init__(self, differing: set[int], laid: LogSide) -> None:
        self._causes = laid.causes
        self._unread = iter(laid.order)
        self._is_known = bytearray(len(laid.contents))
        self._reached = set(differing)
        self._found: set[int] = set()

    def __contains__(self, place: int) -> bool:
        if place == ALONE:
            return False
        while not self._is_known[place]:
            at = next(self._unread)
            self._is_known[at] = True
            if not self._reached.isdisjoint(self._causes[at]):
                self._reached.add(at)
                self._found.add(at)
        return place in self._found


def _first(a: _Half, b: _Half) -> FirstDifference | None:
    """Returns the first divergence of two logs."""
    in_a, in_b = a.begins(b), b.begins(a)
    if in_a is None and in_b is None:  # each difference follows from one in the other log
        in_a, in_b = ((0, min(half.differing)) if half.differing else None for half in (a, b))
    if in_a is not None and (in_b is None or in_a[0] <= in_b[0]):
        x: int | None = in_a[1]
        y = _other(in_a[1], a, b)
    elif in_b is not None:
        y = in_b[1]
        x = _other(in_b[1], b, a)
    else:
        return None
    return _divergence(x, y, a, b)


def _other(place: int, mine: _Half, other: _Half) -> int | None:
    """Returns the place of the event to compare with one: its partner, or a substitute."""
    partner = mine.partners[place]
    if partner != ALONE:
        return partner
    own, theirs = mine.side.contents[place], other.side.contents
    causes = {mine.partners[cause] for cause in mine.side.causes[place]}
    fitting = [
        at
        for at in sorted(other.differing)
        if other.partners[at] == ALONE
        and theirs[at].event_type == own.event_type
        and theirs[at].subject == own.subject
        and (theirs[at].step is None or own.step is None)
        and set(other.side.causes[at]) == causes
    ]
    return min(fitting, key=lambda at: theirs[at].actor != own.actor, default=None)


def _divergence(x: int | None, y: int | None, a: _Half, b: _Half) -> FirstDifference:
    differs: tuple[DifferingMember, ...] = ()
    if x is not None and y is not None:
        differs = contrast(a.side.contents[x], b.side.contents[y])
    return FirstDifference(
        a=None if x is None else a.side.event_at(x),
        b=None if y is None else b.side.event_at(y),
        differs=differs,
        causes_a=() if x is None else _causes(x, y, a, b),
        causes_b=() if y is None else _causes(y, x, b, a),
        follow_a=0 if x is None else _followers(x, a.side),
        follow_b=0 if y is None else _followers(y, b.side),
    )


def _causes(place: int, across: int | None, mine: _Half, other: _Half) -> tuple[CauseOnSide, ...]:
    """Returns the causes of an event, compared with those of the event `across`."""
    theirs = set() if across is None else set(other.side.causes[across])
    found = []
    for cause in sorted(set(mine.side.causes[place])):
        partner = mine.partners[cause]
        found.append(
            CauseOnSide(
                event=mine.side.event_at(cause),
                other=None if partner == ALONE else other.side.event_at(partner),
                is_changed=partner != ALONE and cause in mine.differing,
                is_shared=partner in theirs,
            )
        )
    return tuple(found)


def _followers(place: int, of: LogSide) -> int:
    """Counts all effects of an event, direct and indirect."""
    reached = {place}
    causes = of.causes
    for at in of.order:
        if not reached.isdisjoint(causes[at]):
            reached.add(at)
    return len(reached) - 1
