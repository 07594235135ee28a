"""Conflicts: concurrent events on one subject that can't all stand.

Events of one subject and slot fall into *clusters*: an event stands in one with each that it
is concurrent with, and whatever comes behind a cluster was caused by all of it. A cluster
that writes different values at once is one conflict, open until an event comes that has
seen all of it. The result depends on the given events alone: equal events, equal conflicts.

Subjects on which each event names the one before need no history; the others are taken together,
as many as fit into one sweep over the history.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from thence.core.event import Event, EventHeader
from thence.core.merge.ancestry import CHOSEN_MAX, SubjectHistory, history, in_turn, seen
from thence.core.merge.policies import Slot, SlotOf, counting, slots_of
from thence.core.order import totally_ordered
from thence.core.vocabulary import Vocabulary


def swept(
    ordered: Sequence[Event],
    subjects: Sequence[str | None],
    tangled: Collection[str],
    duplicates: Collection[str],
    beside: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, SubjectHistory]]:
    """Yields what was written on each tangled subject; many share a sweep over the history.

    Duplicates are left out; `beside` holds causes that the events don't name (`merge.ancestry`).
    """
    headers = [event.header for event in ordered]
    events = history(headers, beside)
    on: dict[str, list[int]] = {subject: [] for subject in sorted(tangled)}
    for place, rank in enumerate(events.ranks):
        subject = subjects[rank]
        if subject in on and not (duplicates and headers[rank].event_id in duplicates):
            on[subject].append(place)
    for shared in _shared(on):
        masks = seen(events, [place for subject in shared for place in on[subject]])
        first = 0
        for subject in shared:
            places = on[subject]
            own = (1 << len(places)) - 1
            ranks = [events.ranks[place] for place in places]
            yield (
                subject,
                SubjectHistory(
                    [ordered[rank] for rank in ranks],
                    ranks,
                    [mask >> first & own for mask in masks[first : first + len(places)]],
                    [events.lacks_causes[place] for place in places],
                ),
            )
            first += len(places)


def _shared(on: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """Divides subjects into groups, one for each sweep."""
    groups: list[list[str]] = []
    room = 0
    for subject, places in on.items():
        if not groups or len(places) > room:
            groups.append([])
            room = CHOSEN_MAX
        groups[-1].append(subject)
        room -= len(places)
    return groups


class Conflict(msgspec.Struct, frozen=True):
    """Events on one subject, in total order, that can't all stand, and the one that does.

    Each event is concurrent with another one of `events`; `heads` are those that none of them goes
    back to. `rule` is the name of the rule that settled the conflict. The conflict is provisional
    while a cause that any of the events goes back to isn't held. `resolved_by` is the first event
    on the slot that goes back to all of `events`; None while the conflict is open.
    """

    subject: str
    slot: str
    events: tuple[Event, ...]
    rule: str
    winner: Event
    is_provisional: bool
    resolved_by: Event | None = None
    heads: tuple[Event, ...] = ()

    @property
    def is_open(self) -> bool:
        """True if no later event goes back to all of the events."""
        return self.resolved_by is None


class Judgement(msgspec.Struct, frozen=True):
    """The judgement of all subjects, by the causes of their events.

    `heads` are the events on each subject that no other event on it goes back to, in total
    order; `beaten` the ids of events on the side of a conflict that lost.
    """

    conflicts: tuple[Conflict, ...]
    heads: Mapping[str, tuple[Event, ...]]
    beaten: frozenset[str]


def find_conflicts(events: Iterable[Event], vocabulary: Vocabulary) -> tuple[Conflict, ...]:
    """Returns all conflicts among the events, resolved ones too, ordered by subject and time.

    The events are all that is held of a log, in any order: causes are followed through events
    on other subjects.
    """
    ordered = totally_ordered(events)
    _, duplicates = counting(ordered)
    subjects = [vocabulary.subject_of(event) for event in ordered]
    return judged(ordered, subjects, slots_of(vocabulary), duplicates).conflicts


def judged(
    ordered: Sequence[Event],
    subjects: Sequence[str | None],
    slot_of: SlotOf,
    duplicates: Mapping[str, str],
) -> Judgement:
    """Judges events in total order, each with its subject; duplicates don't count (`policies`).

    Subjects on which each event names the one before cost next to nothing.
    """
    headers = [event.header for event in ordered]
    beside = {
        **in_turn(ordered, subjects),
        **{duplicate: (one,) for duplicate, one in duplicates.items()},
    }
    last, tangled = _straight(headers, subjects, duplicates, beside)
    heads: dict[str, tuple[Event, ...]] = {
        subject: (ordered[rank],) for subject, rank in last.items()
    }
    if not tangled:
        return Judgement((), heads, frozenset())
    conflicts: list[Conflict] = []
    beaten: set[str] = set()
    for subject, written in swept(ordered, subjects, tangled, duplicates, beside):
        heads[subject] = written.events_of(written.heads())
        by_slot: dict[str, tuple[Slot, list[int]]] = {}
        for number, event in enumerate(written.events):
            if (slot := slot_of(event)) is not None:
                by_slot.setdefault(slot.name, (slot, []))[1].append(number)
        for slot, numbers in by_slot.values():
            for cluster, behind in _clusters(written, numbers):
                # if all that are concurrent wrote the same, so did all: they hang together by that
                if len({slot.value(written.events[number]) for number in cluster}) > 1:
                    conflict, lost = _settled(subject, slot, written, cluster, behind)
                    conflicts.append(conflict)
                    beaten.update(lost)
    conflicts.sort(
        key=lambda conflict: (conflict.subject, conflict.slot, conflict.events[0].order_key)
    )
    return Judgement(tuple(conflicts), heads, frozenset(beaten))


def _straight(
    headers: Sequence[EventHeader],
    subjects: Sequence[str | None],
    duplicates: Mapping[str, str],
    beside: Mapping[str, Sequence[str]],
) -> tuple[dict[str, int], set[str]]:
    """Returns each subject's last event, and the subjects where an event skips the one before."""
    last: dict[str, int] = {}
    tangled: set[str] = set()
    for rank, (header, subject) in enumerate(zip(headers, subjects, strict=True)):
        if subject is None or (duplicates and header.event_id in duplicates):
            continue
        before = last.get(subject)
        if before is not None:
            name = headers[before].event_id
            if name not in header.caused_by and name not in beside.get(header.event_id, ()):
                tangled.add(subject)
        last[subject] = rank
    return last, tangled


def _clusters(
    written: SubjectHistory, numbers: Sequence[int]
) -> Iterator[tuple[Sequence[int], Event | None]]:
    """Yields the clusters of more than one event, each with the first event behind it.

    Where events stand behind their causes a cluster lies together: one that has not seen some
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
    if len(starts) == len(numbers):
        return
    ends = [bisect_left(numbers, start) for start in starts[1:]] + [len(numbers)]
    begin = 0
    for end in ends:
        if end - begin > 1:
            behind = written.events[numbers[end]] if end < len(numbers) else None
            yield numbers[begin:end], behind
        begin = end


def _settled(
    subject: str,
    slot: Slot,
    written: SubjectHistory,
    numbers: Sequence[int],
    behind: Event | None,
) -> tuple[Conflict, list[str]]:
    """Returns a conflict as its slot's rules settle it, and the ids on the side that lost."""
    events, heads = written.events, written.heads(numbers)
    rule, winner = slot.settled(written, numbers, heads)
    lost = [n for n in numbers if n != winner and not written.seen[winner] >> n & 1]
    conflict = Conflict(
        subject,
        slot.name,
        written.events_of(numbers),
        rule,
        events[winner],
        any(written.lacks_causes[n] for n in numbers),
        behind,
        written.events_of(heads),
    )
    return conflict, [events[n].event_id for n in lost]
