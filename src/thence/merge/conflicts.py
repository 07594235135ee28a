"""Conflicts: what was written on one subject at once though it can't all stand.

Events of one subject and slot fall into *stretches*: an event stands in one with each that it
is concurrent with, and whatever comes behind a stretch was caused by all of it. A stretch
that writes different values at once is one conflict, open until an event comes that has
seen all of it. Everything is told from the events given: two who hold the same see the same.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import msgspec

from thence.core.event import Event
from thence.core.order import total_order_key, totally_ordered
from thence.core.vocabulary import Vocabulary
from thence.merge.ancestry import CHOSEN_MAX, History, history, seen
from thence.merge.fold import counting
from thence.merge.policies import Dispute, Slot, SlotOf, slots_of


class Conflict(msgspec.Struct, frozen=True):
    """Events on one subject, in total order, that can't all stand, and the one that does.

    Each of them is concurrent with another of them. `rule` is the name of the policy that
    settled it, None with `winner` None where none did. It is provisional while a cause that
    any of the events goes back to isn't held. `resolved_by` is the first event on the slot
    that has seen all of them; None while the conflict is open.
    """

    subject: str
    slot: str
    events: tuple[Event, ...]
    rule: str | None
    winner: Event | None
    is_provisional: bool
    resolved_by: Event | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody has gone on with all of the events in sight."""
        return self.resolved_by is None


class Judgement(msgspec.Struct, frozen=True):
    """What the causes of the events of all subjects say.

    `heads` are the events on each subject that no other event on it goes back to, in total
    order; `beaten` the ids of events on the side of a conflict that lost.
    """

    conflicts: tuple[Conflict, ...]
    heads: Mapping[str, tuple[Event, ...]]
    beaten: frozenset[str]


def find_conflicts(
    events: Iterable[Event], vocabulary: Vocabulary, slot_of: SlotOf | None = None
) -> tuple[Conflict, ...]:
    """Returns all conflicts among the events, resolved ones too, ordered by subject and time.

    The events are all that is held of a log, in any order: causes are followed through events
    on other subjects. `slot_of` says what an event writes and which policies settle it; as a
    rule the vocabulary does.
    """
    ordered = totally_ordered(events)
    _, twins = counting(ordered)
    subjects = [vocabulary.subject_of(event) for event in ordered]
    return judged(ordered, subjects, slot_of or slots_of(vocabulary), twins).conflicts


def judged(
    ordered: Sequence[Event],
    subjects: Sequence[str | None],
    slot_of: SlotOf,
    twins: Mapping[str, str],
) -> Judgement:
    """Judges events in total order, each with its subject; twins don't count (`merge.fold`).

    Subjects on which each event names the one before cost next to nothing.
    """
    heads, tangled = _straight(ordered, subjects, twins)
    if not tangled:
        return Judgement((), heads, frozenset())
    all_events = history(ordered, twins)
    subject_of = dict(zip((event.event_id for event in ordered), subjects, strict=True))
    on: dict[str, list[int]] = {}
    for place, event in enumerate(all_events.events):
        subject = subject_of[event.event_id]
        if subject in tangled and event.event_id not in twins:
            on.setdefault(subject, []).append(place)
    conflicts: list[Conflict] = []
    beaten: set[str] = set()
    for subject, written in _swept(all_events, on):
        heads[subject] = _in_total_order(written.events[n] for n in written.heads())
        for slot, numbers in _by_slot(written.events, slot_of):
            for stretch in _stretches(written, numbers):
                if _is_in_dispute(slot, written, stretch):
                    conflict, lost = _settled(subject, slot, written, stretch)
                    conflicts.append(conflict)
                    beaten.update(lost)
    conflicts.sort(key=lambda each: (each.subject, each.slot, each.events[0].order_key))
    return Judgement(tuple(conflicts), heads, frozenset(beaten))


def _straight(
    ordered: Sequence[Event], subjects: Sequence[str | None], twins: Mapping[str, str]
) -> tuple[dict[str, tuple[Event, ...]], set[str]]:
    """Finds each subject's last event, and those on which an event does not name the one before."""
    last: dict[str, Event] = {}
    tangled: set[str] = set()
    for event, subject in zip(ordered, subjects, strict=True):
        if subject is None or (twins and event.event_id in twins):
            continue
        before = last.get(subject)
        if before is not None and before.header.event_id not in event.header.caused_by:
            tangled.add(subject)
        last[subject] = event
    return {subject: (event,) for subject, event in last.items()}, tangled


class _Written(msgspec.Struct, frozen=True):
    """What was written on one subject, in an order that extends causes.

    Bit n of `seen` says that an event goes back to the n-th of them.
    """

    events: Sequence[Event]
    seen: Sequence[int]
    lacks_causes: Sequence[bool]

    def heads(self, among: Sequence[int] | None = None) -> list[int]:
        """Returns the numbers of those events that none of them, or of some, goes back to."""
        numbers = range(len(self.events)) if among is None else among
        passed = 0
        for number in numbers:
            passed |= self.seen[number]
        return [number for number in numbers if not passed >> number & 1]


def _swept(events: History, on: Mapping[str, list[int]]) -> Iterator[tuple[str, _Written]]:
    """Yields what was written on each subject; many subjects share a sweep over the history."""
    shared: list[list[str]] = []
    room = 0
    for subject, places in on.items():
        if len(places) > room:
            shared.append([])
            room = CHOSEN_MAX
        shared[-1].append(subject)
        room -= len(places)
    for subjects in shared:
        masks = seen(events, [place for subject in subjects for place in on[subject]])
        first = 0
        for subject in subjects:
            places = on[subject]
            own = (1 << len(places)) - 1
            yield (
                subject,
                _Written(
                    [events.events[place] for place in places],
                    [mask >> first & own for mask in masks[first : first + len(places)]],
                    [events.lacks_causes[place] for place in places],
                ),
            )
            first += len(places)


def _by_slot(events: Sequence[Event], slot_of: SlotOf) -> Iterable[tuple[Slot, list[int]]]:
    found: dict[str, tuple[Slot, list[int]]] = {}
    for number, event in enumerate(events):
        slot = slot_of(event)
        if slot is not None and not slot.is_merged:
            found.setdefault(slot.name, (slot, []))[1].append(number)
    return found.values()


class _Stretch(msgspec.Struct, frozen=True):
    """The numbers of events that were written beside each other, and what came behind first."""

    numbers: Sequence[int]
    next: int | None


def _stretches(written: _Written, numbers: Sequence[int]) -> Iterator[_Stretch]:
    """Yields the stretches of more than one event.

    Where events stand behind their causes a stretch lies together: one that has not seen some
    earlier event joins all from there on.
    """
    starts: list[int] = []
    earlier = 0
    for number in numbers:
        unseen = earlier & ~written.seen[number]
        earlier |= 1 << number
        starts.append(number)
        if unseen:
            first = (unseen & -unseen).bit_length() - 1
            while starts[-1] > first:
                starts.pop()
    place = {number: index for index, number in enumerate(numbers)}
    ends = [*starts[1:], None]
    for start, end in zip(starts, ends, strict=True):
        members = numbers[place[start] : None if end is None else place[end]]
        if len(members) > 1:
            yield _Stretch(members, end)


def _is_in_dispute(slot: Slot, written: _Written, stretch: _Stretch) -> bool:
    """Tells whether any two that are concurrent write different values."""
    alike: dict[Hashable, int] = {}
    earlier = 0
    for number in stretch.numbers:
        value = slot.value(written.events[number])
        if earlier & ~written.seen[number] & ~alike.get(value, 0):
            return True
        alike[value] = alike.get(value, 0) | 1 << number
        earlier |= 1 << number
    return False


def _settled(
    subject: str, slot: Slot, written: _Written, stretch: _Stretch
) -> tuple[Conflict, list[str]]:
    """Returns a conflict as its slot's policies settle it, and the ids on the side that lost."""
    events, numbers = written.events, stretch.numbers
    number = {events[n].event_id: n for n in numbers}

    def has_seen(one: Event, other: Event) -> bool:
        return bool(written.seen[number[one.event_id]] >> number[other.event_id] & 1)

    def is_beside(one: Event, other: Event) -> bool:
        return one != other and not has_seen(one, other) and not has_seen(other, one)

    dispute = Dispute(
        _in_total_order(events[n] for n in numbers),
        _in_total_order(events[n] for n in written.heads(numbers)),
        is_beside,
    )
    named = ((policy.name, policy.settle(dispute)) for policy in slot.policies)
    rule, winner = next(((name, event) for name, event in named if event), (None, None))
    lost = []
    if winner is not None:
        lost = [
            event.event_id
            for event in dispute.events
            if event != winner and not has_seen(winner, event)
        ]
    conflict = Conflict(
        subject,
        slot.name,
        tuple(dispute.events),
        rule,
        winner,
        any(written.lacks_causes[n] for n in numbers),
        None if stretch.next is None else events[stretch.next],
    )
    return conflict, lost


def _in_total_order(events: Iterable[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=total_order_key))
