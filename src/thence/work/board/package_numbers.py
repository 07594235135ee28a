"""Package numbers that clones gave concurrently, and the package that keeps each.

Two WPCreated of one number, neither caused by the other, with different titles are two packages.
The first one that a move names keeps the number, else the first in total order. A move names the
package that it goes back to; one that goes back to several names the one that an earlier move
named, else the first. The other packages have lost the number: an event on it that goes back to
one of them, and not to the package that keeps it, changes nothing. A WPCreated of another number
adds a lost package again if it names the lost WPCreated as a cause.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from thence.core.event import Event
from thence.core.merge.ancestry import CausalHistory, history, in_turn
from thence.core.merge.conflicts import Conflict
from thence.work.board.replay import text
from thence.work.board.state import LostPackage

SLOT = "number"
_CREATES, _MOVES = "WPCreated", "WPStatusChanged"
_NUMBER_MEMBERS = ("wp_id", "work_package_id")


class NumbersGivenTwice(NamedTuple):
    """The numbers that were given twice.

    `lost` maps subjects to the packages that lost their number. `ignored` are the ids of the events
    on lost packages.
    """

    conflicts: tuple[Conflict, ...] = ()
    lost: Mapping[str, tuple[LostPackage, ...]] = {}
    ignored: frozenset[str] = frozenset()


def numbers_given_twice(
    ordered: Sequence[Event], subjects: Sequence[str | None], duplicates: Mapping[str, str]
) -> NumbersGivenTwice:
    """Returns the numbers that were given twice, by events in total order and their subjects.

    Duplicates don't count. In a log without a number given twice only the beginnings are read.
    """
    numbers = _doubtful(ordered, subjects, duplicates)
    if not numbers:
        return NumbersGivenTwice()
    extra_causes = {
        **in_turn(ordered, subjects),
        **{duplicate: (one,) for duplicate, one in duplicates.items()},
    }
    causal = history([event.header for event in ordered], extra_causes)
    chosen = [
        position
        for position, rank in enumerate(causal.ranks)
        if subjects[rank] in numbers
        and ordered[rank].event_type in (_CREATES, _MOVES)
        and ordered[rank].event_id not in duplicates
    ]
    reached = _reached(causal, chosen)
    conflicts: list[Conflict] = []
    lost: dict[str, tuple[LostPackage, ...]] = {}
    ignored: set[str] = set()
    for subject in sorted(numbers):
        on_it = [
            _Event(ordered[causal.ranks[position]], causal.ranks[position], position, 1 << bit)
            for bit, position in enumerate(chosen)
            if subjects[causal.ranks[position]] == subject
        ]
        packages = _packages(on_it, reached)
        if len(packages) < 2:
            continue
        kept = _kept(packages, on_it, reached)
        kept_bits = sum(one.bit for one in kept)
        lost_bits = sum(one.bit for package in packages for one in package) & ~kept_bits
        firsts = tuple(package[0].event for package in packages)
        added = {
            cause: event
            for event, other in zip(ordered, subjects, strict=True)
            if event.event_type == _CREATES and other != subject
            for cause in event.header.caused_by
        }
        others = [one for one in firsts if one is not kept[0].event]
        lost[subject] = tuple(
            LostPackage(
                text(one.payload.get("title")) or "",
                one.event_id,
                one.node_id,
                is_added=one.event_id in added,
            )
            for one in others
        )
        is_open = not all(one.is_added for one in lost[subject])
        conflicts.append(
            Conflict(
                subject,
                SLOT,
                firsts,
                "first_in_order" if kept is packages[0] else "named_by_a_move",
                kept[0].event,
                any(causal.lacks_causes[package[0].position] for package in packages),
                None if is_open else added[others[-1].event_id],
                firsts,
            )
        )
        feature, _, number = subject.rpartition("/")
        for position, rank in enumerate(causal.ranks):
            is_lost = reached[position] & lost_bits and not reached[position] & kept_bits
            is_near = (subjects[rank] or "").startswith(f"{feature}/")
            if is_lost and is_near and _is_about(ordered[rank], number):
                ignored.add(ordered[rank].event_id)
    return NumbersGivenTwice(tuple(conflicts), lost, frozenset(ignored))


class _Event(NamedTuple):
    """A WPCreated or a move of a number: rank in total order, position in causal order, bit."""

    event: Event
    rank: int
    position: int
    bit: int


def _doubtful(
    ordered: Sequence[Event], subjects: Sequence[str | None], duplicates: Mapping[str, str]
) -> set[str]:
    """Returns the subjects of packages that have WPCreated of several titles."""
    titles: dict[str, object] = {}
    several: set[str] = set()
    for event, subject in zip(ordered, subjects, strict=True):
        if subject is None or event.header.event_type != _CREATES:
            continue
        if event.header.event_id in duplicates:
            continue
        title = event.payload.get("title")
        if titles.setdefault(subject, title) != title:
            several.add(subject)
    return several


def _reached(causal: CausalHistory, chosen: Sequence[int]) -> list[int]:
    """Returns for each position the chosen events among its causes and itself, as bits."""
    bits = {position: 1 << bit for bit, position in enumerate(chosen)}
    masks = [0] * len(causal.causes)
    for position, causes in enumerate(causal.causes):
        mask = bits.get(position, 0)
        for cause in causes:
            mask |= masks[cause]
        masks[position] = mask
    return masks


def _packages(on_number: Sequence[_Event], reached: Sequence[int]) -> list[list[_Event]]:
    """Returns the packages that have a number: the beginnings of each, all in total order.

    A WPCreated that goes back to another one of its number describes that package anew.
    """
    created = [one for one in on_number if one.event.event_type == _CREATES]
    every = sum(one.bit for one in created)
    by_title: dict[object, list[_Event]] = {}
    for one in sorted(created, key=lambda one: one.rank):
        if reached[one.position] & every == one.bit:
            by_title.setdefault(one.event.payload.get("title"), []).append(one)
    return list(by_title.values())


def _kept(
    packages: Sequence[list[_Event]], on_number: Sequence[_Event], reached: Sequence[int]
) -> list[_Event]:
    """Returns the package that keeps the number."""
    named: dict[int, int] = {}  # by the bit of a move: the package that it names
    for move in on_number:
        mask = reached[move.position]
        bases = [i for i, package in enumerate(packages) if any(mask & one.bit for one in package)]
        if move.event.event_type == _MOVES and bases:
            earlier = [index for bit, index in named.items() if mask & bit]
            named[move.bit] = min(earlier if len(bases) > 1 and earlier else bases)
    return packages[min(named.values(), default=0)]


def _is_about(event: Event, number: str) -> bool:
    """Reports whether an event is about the package of a number, or about a part of it."""
    is_named = any(event.payload.get(name) == number for name in _NUMBER_MEMBERS)
    return is_named or event.header.aggregate_id == number
