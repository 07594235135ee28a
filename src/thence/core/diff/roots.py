"""The roots of a difference: what no other difference led to, and what came of each.

A root is an event that differs while none of its causes does, in neither log, directly or by way of
others. A later event is *in its cone* if the root is among its causes, in either log; the cone of
an event that differs goes on from both its sides. Of the events in a cone, those that differ are
changed because of the root; the others happened all the same.

What happens in one log because the other has an event more names no cause that differs: such an
event is a root of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from thence.core.diff.alignment import ALONE
from thence.core.diff.content import DifferingMember, contrast
from thence.core.diff.difference import Difference
from thence.core.diff.log_side import LogSide

# the most roots whose effects are counted, the earliest ones
ROOTS_MAX = 100
# two logs whose orders cross are gone through several times; more would find nothing as a rule
_PASSES_MAX = 20
# an event of A with its partner in B; ALONE where a log has none
Unit = tuple[int, int]


class RootDifference(msgspec.Struct, frozen=True):
    """A root by its places in A and B, None where a log has no such event.

    Without a partner by alignment the other side is another root of the same type, subject and
    causes. `changed`, `only_a` and `only_b` count the events that differ because of it,
    `unchanged` those in its cone that are the same in both logs.
    """

    a: int | None
    b: int | None
    differs: tuple[DifferingMember, ...]
    changed: int
    only_a: int
    only_b: int
    unchanged: int


class Roots(NamedTuple):
    """The roots of a difference in the order of the logs, the first ROOTS_MAX of `total`.

    `reached_a` and `reached_b` hold the roots of each place that one led to, or that is one, as
    the bits of a number.
    """

    roots: Sequence[RootDifference]
    total: int
    reached_a: Mapping[int, int]
    reached_b: Mapping[int, int]

    def of(self, a: int | None, b: int | None) -> list[int]:
        """Returns the indices of the roots that an event is, or has in its cone."""
        mask = self.reached_a.get(ALONE if a is None else a, 0)
        mask |= self.reached_b.get(ALONE if b is None else b, 0)
        return [index for index in range(len(self.roots)) if mask >> index & 1]

    def changed_by(self, index: int, found: Difference) -> Iterator[tuple[int | None, int | None]]:
        """Yields the events that differ because of a root: first those in both logs."""
        root, bit = self.roots[index], 1 << index
        for x, y in found.changed:
            is_reached = (self.reached_a.get(x, 0) | self.reached_b.get(y, 0)) & bit
            if is_reached and x != root.a:
                yield x, y
        for x in found.only_a:
            if self.reached_a.get(x, 0) & bit and x != root.a:
                yield x, None
        for y in found.only_b:
            if self.reached_b.get(y, 0) & bit and y != root.b:
                yield None, y


def roots_of(found: Difference) -> Roots:
    """Returns the roots of a difference."""
    if found.is_empty:
        return Roots((), 0, {}, {})
    partners = [ALONE] * len(found.a.contents)
    for x, y in found.aligned:
        partners[x] = y
    units, is_merged = _units(found, partners)
    differing_a = {x for x, _ in found.changed} | set(found.only_a)
    differing_b = {y for _, y in found.changed} | set(found.only_b)
    led_a, led_b = _led(found.a, differing_a), _led(found.b, differing_b)
    begun = [
        (x, y)
        for x, y in units
        if (x in differing_a or y in differing_b) and x not in led_a and y not in led_b
    ]
    if not begun:  # each difference follows from one in the other log
        begun = [next((x, y) for x, y in units if x in differing_a or y in differing_b)]
    pairs = _paired(begun, found, partners)
    bits: dict[Unit, int] = {}
    for index, (x, y) in enumerate(pairs):
        for unit in ((x, y), (x, ALONE), (ALONE, y)):
            bits[unit] = 1 << min(index, ROOTS_MAX)
    if is_merged and len(pairs) == 1:  # then it led to all that differs
        reached = dict.fromkeys(differing_a | led_a, 1), dict.fromkeys(differing_b | led_b, 1)
    else:
        passes = 1 if is_merged else _PASSES_MAX
        reached = _reached(found, units, bits, differing_a, passes)
    roots = _counted(found, pairs, units, *reached, differing_a)
    return Roots(roots, len(pairs), *reached)


def _units(found: Difference, partners: Sequence[int]) -> tuple[list[Unit], bool]:
    """Returns all events of both logs, each pair once, and whether each comes after its causes.

    It does where both logs have their pairs in one order.
    """
    units: list[Unit] = []
    alone = iter(found.only_b)
    waiting = next(alone, None)
    last, is_merged = -1, True
    for x, y in enumerate(partners):
        if y != ALONE:
            is_merged, last = is_merged and y > last, max(last, y)
            while waiting is not None and waiting < y:
                units.append((ALONE, waiting))
                waiting = next(alone, None)
        units.append((x, y))
    while waiting is not None:
        units.append((ALONE, waiting))
        waiting = next(alone, None)
    is_forward = isinstance(found.a.order, range) and isinstance(found.b.order, range)
    return units, is_merged and is_forward


def _led(of: LogSide, differing: set[int]) -> set[int]:
    """Returns the places that a differing one led to, in this log."""
    reached, led = set(differing), set()
    causes, is_apart = of.causes, reached.isdisjoint
    for place in of.order:
        if not is_apart(causes[place]):
            reached.add(place)
            led.add(place)
    return led


def _paired(begun: Sequence[Unit], found: Difference, partners: Sequence[int]) -> list[Unit]:
    """Returns the roots, where those that only one log has are one if they fit each other."""

    def key(of: LogSide, place: int, causes: Iterable[int]) -> tuple[object, ...]:
        content = of.contents[place]
        return content.event_type, content.subject, frozenset(causes)

    waiting: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for x, y in begun:
        if x == ALONE:
            waiting[key(found.b, y, found.b.causes[y])].append(y)
    pairs: list[Unit] = []
    taken: dict[int, int] = {}
    for x, y in begun:
        if x == ALONE or y != ALONE:
            continue
        causes = [partners[cause] for cause in found.a.causes[x]]
        fitting = waiting.get(key(found.a, x, causes), [])
        own = found.a.contents[x]
        chosen = min(
            (at for at in fitting if own.step is None or found.b.contents[at].step is None),
            key=lambda at: found.b.contents[at].actor != own.actor,
            default=None,
        )
        if chosen is not None:
            fitting.remove(chosen)
            taken[x] = chosen
    others = set(taken.values())
    for x, y in begun:
        if x != ALONE or y not in others:
            pairs.append((x, taken.get(x, y) if x != ALONE else y))
    return pairs


def _reached(
    found: Difference,
    units: Sequence[Unit],
    bits: Mapping[Unit, int],
    differing_a: set[int],
    passes: int,
) -> tuple[dict[int, int], dict[int, int]]:
    """Returns the roots of each place in A and in B, as bits."""
    reached_a: dict[int, int] = {}
    reached_b: dict[int, int] = {}
    for _ in range(passes):
        is_changed = False
        for x, y in units:
            own = bits.get((x, y), 0)
            a = own | _gathered(reached_a, found.a.causes[x]) if x != ALONE else 0
            b = own | _gathered(reached_b, found.b.causes[y]) if y != ALONE else 0
            if x in differing_a and y != ALONE:  # what is different on one side is on the other
                a = b = a | b
            if a and reached_a.get(x) != a:
                reached_a[x], is_changed = a, True
            if b and reached_b.get(y) != b:
                reached_b[y], is_changed = b, True
        if not is_changed:
            break
    return reached_a, reached_b


def _gathered(reached: Mapping[int, int], causes: Sequence[int]) -> int:
    mask = 0
    for cause in causes:
        if cause in reached:
            mask |= reached[cause]
    return mask


def _counted(
    found: Difference,
    pairs: Sequence[Unit],
    units: Sequence[Unit],
    reached_a: Mapping[int, int],
    reached_b: Mapping[int, int],
    differing_a: set[int],
) -> list[RootDifference]:
    """Returns the roots with the numbers of events in their cones, by kind."""
    begun_a, begun_b = (
        {each for each in side if each != ALONE} for side in zip(*pairs, strict=True)
    )
    masks: Counter[tuple[int, str]] = Counter()
    for x, y in units:
        mask = reached_a.get(x, 0) | reached_b.get(y, 0)
        if not mask or x in begun_a or y in begun_b:
            continue
        if y == ALONE:
            masks[mask, "only_a"] += 1
        elif x == ALONE:
            masks[mask, "only_b"] += 1
        else:
            masks[mask, "changed" if x in differing_a else "unchanged"] += 1
    roots = []
    for index, (x, y) in enumerate(pairs[:ROOTS_MAX]):
        counts: Counter[str] = Counter()
        for (mask, kind), count in masks.items():
            if mask >> index & 1:
                counts[kind] += count
        is_pair = x != ALONE and y != ALONE
        roots.append(
            RootDifference(
                a=None if x == ALONE else x,
                b=None if y == ALONE else y,
                differs=contrast(found.a.contents[x], found.b.contents[y]) if is_pair else (),
                changed=counts["changed"],
                only_a=counts["only_a"],
                only_b=counts["only_b"],
                unchanged=counts["unchanged"],
            )
        )
    return roots
