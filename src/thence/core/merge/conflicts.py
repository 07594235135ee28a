"""Conflicts: concurrent events on one subject that can't all stand, and the rules that settle them.

An event writes one *slot* of its subject: the lane of a package, the status of a gate. Two events
on one subject and slot, neither caused by the other, that write different values can't both stand;
the first rule of the slot that names a winner settles them. Tags and counters write no slot: all of
them count.

Events of one subject and slot fall into *clusters*: an event stands in one with each that it
is concurrent with, and whatever comes after a cluster was caused by all of it. A cluster
that writes different values at once is one conflict, open until an event comes that has
seen all of it. The result depends on the given events alone: equal events, equal conflicts.

Subjects on which each event names the one before need no history; the others are taken together,
as many as fit into one sweep over the history.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from thence.core.event import Event
from thence.core.merge.ancestry import CHOSEN_MAX, SubjectHistory, history, in_turn, seen
from thence.core.nearest import nearest
from thence.core.order import totally_ordered
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent

# equal values are equal bytes
_canonical = msgspec.json.Encoder(order="sorted").encode


class Slot(msgspec.Struct, frozen=True):
    """A part of a subject that events write; two that write equal values can both stand.

    In the slot of a reviewed thing a send-back beats a done that was written beside it. In that of
    a number, which names one thing, the one that a move names stands, else the first; what goes
    back to another one alone is beaten with it.
    """

    name: str
    value: Callable[[Event], Hashable]
    is_reviewed: bool = False
    is_number: bool = False

    def settled(
        self, written: SubjectHistory, numbers: Sequence[int], heads: Sequence[int]
    ) -> tuple[str, int]:
        """Returns the rule for events that were written beside each other, and which one stands.

        `heads` are those of the numbers that none of them goes back to.
        """
        if self.is_reviewed:
            returns = [number for number in numbers if is_send_back(written.events[number])]
            # without each done that is concurrent with a send-back
            standing = [
                head
                for head in heads
                if written.events[head].payload.get("new_status") != "done"
                or not any(written.is_beside(back, head) for back in returns)
            ]
            if 0 < len(standing) < len(heads):
                return "send_back_beats_done", max(standing, key=written.ranks.__getitem__)
        if self.is_number:
            moves = [
                written.seen[number]
                for number, event in enumerate(written.events)
                if event.event_type == "WPStatusChanged"
            ]
            known = [[head for head in heads if move >> head & 1] for move in moves]
            named = [ones[0] for ones in known if len(ones) == 1]
            winner = min(named or heads, key=written.ranks.__getitem__)
            is_first = winner == min(heads, key=written.ranks.__getitem__)
            return "first_in_order" if is_first else "named_by_a_move", winner
        return "last_writer", max(heads or numbers, key=written.ranks.__getitem__)


SlotOf = Callable[[Event], Slot | None]


def is_send_back(event: Event) -> bool:
    """Reports whether an event moves a package out of review, back to work."""
    previous = event.payload.get("previous_status") or event.payload.get("old_status")
    return previous == "for_review" and event.payload.get("new_status") in ("doing", "planned")


def _lane(event: Event) -> Hashable:
    """Returns the lane written; each claim is a value of its own: a package has one agent."""
    lane = event.payload.get("new_status")
    is_claim = lane == "doing" and not is_send_back(event)
    return event.event_id if is_claim else _canonical(lane)


def _written_last(name: str, *fields: str, is_number: bool = False) -> Slot:
    """Returns the slot of some members; an empty one equals an absent one."""

    def value(event: Event) -> Hashable:
        return tuple(_canonical(event.payload.get(field) or None) for field in fields)

    return Slot(name, value, is_number=is_number)


WHOLE = Slot("", lambda event: (event.event_type, _canonical(event.payload)))
LANE = Slot("lane", _lane, is_reviewed=True)
PACKAGE = _written_last("package", "title", "dependencies", is_number=True)
WORK_SLOTS: Mapping[str, Slot] = {
    "WPStatusChanged": LANE,
    "WPAssigned": _written_last("agent", "agent_id", "phase"),
    "WPCreated": PACKAGE,
    "FeatureCreated": _written_last("feature", "feature_number", "target_branch"),
    "SpecCreated": _written_last("spec", "title", "mission", "target_branch"),
    "GateResultChanged": _written_last("gate", "new_status"),
}


def slots_of(vocabulary: Vocabulary) -> SlotOf:
    """Returns a host's function from events to slots; a host without rules has the plain one."""
    if vocabulary.name == "work":
        return lambda event: WORK_SLOTS.get(event.header.event_type)
    return lambda event: None if {"tags", "delta"} & event.payload.keys() else WHOLE


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
    """Judges events in total order, each with its subject; duplicates don't count.

    Subjects on which each event names the one before cost next to nothing.
    """
    beside = {
        **in_turn(ordered, subjects),
        **{duplicate: (one,) for duplicate, one in duplicates.items()},
    }
    last: dict[str, Event] = {}
    tangled: set[str] = set()  # the subjects on which an event does not name the one before
    for event, subject in zip(ordered, subjects, strict=True):
        header = event.header
        if subject is None or (duplicates and header.event_id in duplicates):
            continue
        if (previous := last.get(subject)) is not None:
            name = previous.header.event_id
            if name not in header.caused_by and name not in beside.get(header.event_id, ()):
                tangled.add(subject)
        last[subject] = event
    heads: dict[str, tuple[Event, ...]] = {subject: (event,) for subject, event in last.items()}
    conflicts: list[Conflict] = []
    beaten: set[str] = set()
    if not tangled:
        return Judgement((), heads, frozenset())
    for subject, written in swept(ordered, subjects, tangled, duplicates, beside):
        heads[subject] = written.events_of(written.heads())
        by_slot: dict[str, tuple[Slot, list[int]]] = {}
        for number, event in enumerate(written.events):
            if (slot := slot_of(event)) is not None:
                by_slot.setdefault(slot.name, (slot, []))[1].append(number)
        for slot, numbers in by_slot.values():
            standing = [n for n in numbers if written.events[n].event_id not in beaten]
            for cluster, resolved_by in _clusters(written, standing):
                # if all that are concurrent wrote the same, so did all: they hang together by that
                if len({slot.value(written.events[number]) for number in cluster}) == 1:
                    continue
                slot_heads = written.heads(cluster)
                rule, winner = slot.settled(written, cluster, slot_heads)
                conflict = Conflict(
                    subject,
                    slot.name,
                    written.events_of(cluster),
                    rule,
                    written.events[winner],
                    any(written.lacks_causes[number] for number in cluster),
                    resolved_by,
                    written.events_of(slot_heads),
                )
                conflicts.append(conflict)
                stands = written.seen[winner] | 1 << winner
                beaten.update(
                    written.events[number].event_id
                    for number in cluster
                    if not stands >> number & 1
                )
                if slot.is_number:
                    beaten.update(_on_lost(written, cluster, winner))
    conflicts.sort(
        key=lambda conflict: (conflict.subject, conflict.slot, conflict.events[0].order_key)
    )
    return Judgement(tuple(conflicts), heads, frozenset(beaten))


def _on_lost(written: SubjectHistory, cluster: Sequence[int], winner: int) -> Iterator[str]:
    """Yields the events on a number that go back to things which lost it, and to none of its own.

    Things are told apart by their titles.
    """
    titles = {number: written.events[number].payload.get("title") for number in cluster}
    kept = sum(1 << number for number in cluster if titles[number] == titles[winner])
    lost = sum(1 << number for number in cluster) & ~kept
    for event, seen_ones in zip(written.events, written.seen, strict=True):
        if seen_ones & lost and not seen_ones & kept:
            yield event.event_id


def _clusters(
    written: SubjectHistory, numbers: Sequence[int]
) -> Iterator[tuple[Sequence[int], Event | None]]:
    """Yields the clusters of more than one event, each with the first event after it.

    Where events stand after their causes a cluster lies together: one that has not seen some
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
            resolved_by = written.events[numbers[end]] if end < len(numbers) else None
            yield numbers[begin:end], resolved_by
        begin = end


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
    groups: list[list[str]] = []
    room = 0
    for subject, places in on.items():
        if not groups or len(places) > room:
            groups.append([])
            room = CHOSEN_MAX
        groups[-1].append(subject)
        room -= len(places)
    for group in groups:
        masks = seen(events, [place for subject in group for place in on[subject]])
        first = 0
        for subject in group:
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


def state_machine_merge(
    events: Iterable[Event],
    priority: Mapping[str, int] | Sequence[str],
    state_key: str = "new_status",
) -> Event | None:
    """Returns the event whose state comes first, of several with one state the last in total order.

    `priority` maps states to numbers, the highest wins, or lists them, the first wins. Events
    without `state_key` in their payload are passed over; no events have none. Causes between the
    events play no part: pass the heads alone. Raises InvalidEvent, a
    ValueError, if no event holds the key, if one holds a state without a priority, or if
    the events are about several subjects.
    """
    if not isinstance(priority, Mapping):
        priority = {state: -rank for rank, state in enumerate(priority)}
    refused = partial(InvalidEvent, "could not merge the states")
    ordered = totally_ordered(events)
    payloads = [(event, event.payload) for event in ordered]
    holding = [(event, payload[state_key]) for event, payload in payloads if state_key in payload]
    if payloads and not holding:
        near = nearest(state_key, sorted({key for _, payload in payloads for key in payload}))
        raise refused(
            place=f"under {state_key}",
            cause="no event holds that key in its payload",
            hint=f"did you mean {near[0]}?" if near else "pass the state's key as state_key",
        )
    for event, state in holding:
        if not isinstance(state, str) or state not in priority:
            raise refused(
                place=f"of {event.event_id}",
                cause=f"{state_key} is {state!r:.80}, which is not in the priority",
                hint=f"give it a place among {', '.join(map(str, priority)) or 'no states'}",
            )
    highest = max([priority[state] for _, state in holding], default=0)
    winners = [event for event, state in holding if priority[state] == highest]
    return winners[-1] if winners else None


def merge_gset(events: Iterable[Event], key: str = "tags") -> set[Hashable]:
    """Returns the union of what the events' payloads hold under a key, lists or single values.

    A list within a list becomes a tuple. A map can't be a member of a set and is passed over.
    """
    members: set[Hashable] = set()
    for event in events:
        held = event.payload.get(key)
        for item in map(_member, held if isinstance(held, list) else (held,)):
            if item is not None:
                with suppress(TypeError):  # a map
                    members.add(item)
    return members


def merge_counter(events: Iterable[Event], key: str = "delta") -> int:
    """Returns the sum of the whole numbers that the events' payloads hold under a key."""
    counted, _ = counting(totally_ordered(events))
    held = [event.payload.get(key) for event in counted]
    return sum(value for value in held if type(value) is int)


def counting(ordered: Sequence[Event]) -> tuple[list[Event], Mapping[str, str]]:
    """Returns the events, in total order, that count, and the duplicates, which don't.

    These map the id of an event that doesn't count to the id of the one that was imported
    from the same place before it.
    """
    imported: dict[tuple[str, str], str] = {}
    duplicates: dict[str, str] = {}
    for event in ordered:
        header = event.header
        if header.source is not None and header.source_id is not None:
            first = imported.setdefault((header.source, header.source_id), header.event_id)
            if first != header.event_id:
                duplicates[header.event_id] = first
    return [one for one in ordered if one.header.event_id not in duplicates], duplicates


def _member(item: object) -> object:
    return tuple(map(_member, item)) if isinstance(item, list) else item
