"""Conflicts: concurrent events on one subject that can't all stand, and the rules that settle them.

An event writes one *slot* of its subject: the lane of a package, the status of a gate. Two events
on one subject and slot, neither caused by the other, that write different values can't both stand;
the first rule of the slot that names a winner settles them. Tags and counters write no slot: all of
them count.

Events of one subject and slot fall into *clusters*: an event stands in one with each that it
is concurrent with, and whatever comes after a cluster was caused by all of it. A cluster
that writes different values at once is one conflict, open until an event comes that has
seen all of it. The result depends on the given events alone: equal events, equal conflicts.

Caused is reachable over `caused_by` alone, as in `core.order`, also through events on other
subjects. Most other tools record no causes. Such a line counts as behind what is on its subject
with a smaller clock, and behind the line before it of the same tool.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import attrgetter

import msgspec

from thence.core.event import Event, EventHeader
from thence.core.order import behind_causes, total_order_key, totally_ordered
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent

__all__ = ["Conflict", "find_conflicts", "merge_counter", "merge_gset", "state_machine_merge"]

# about so many events are looked for in one sweep: 512 bytes for each event between them
SWEPT_MAX = 4096
# equal values are equal bytes
_canonical = msgspec.json.Encoder(order="sorted").encode


class Written(msgspec.Struct, frozen=True):
    """The events on one subject, in an order that extends causes.

    Bit n of `seen` is set if an event goes back to the n-th of them.
    """

    events: Sequence[Event]
    seen: Sequence[int]

    def heads(self, among: Sequence[int] | None = None) -> list[int]:
        """Returns the numbers of the events that are causes of none of them, or of `among`."""
        numbers = range(len(self.events)) if among is None else among
        passed = 0
        for number in numbers:
            passed |= self.seen[number]
        return [number for number in numbers if not passed >> number & 1]

    def events_of(self, numbers: Iterable[int]) -> tuple[Event, ...]:
        """Returns events by their numbers, in total order."""
        return tuple(sorted([self.events[n] for n in numbers], key=total_order_key))

    def rank(self, number: int) -> tuple[Hashable, ...]:
        """Returns the sort key of the total order."""
        return self.events[number].order_key

    def is_beside(self, one: int, other: int) -> bool:
        """Reports whether neither of two events is a cause of the other."""
        is_seen = self.seen[one] >> other & 1 or self.seen[other] >> one & 1
        return one != other and not is_seen


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
        self, written: Written, numbers: Sequence[int], heads: Sequence[int]
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
                return "send_back_beats_done", max(standing, key=written.rank)
        if self.is_number:
            moves = [
                written.seen[number]
                for number, event in enumerate(written.events)
                if event.event_type == "WPStatusChanged"
            ]
            known = [[head for head in heads if move >> head & 1] for move in moves]
            named = [ones[0] for ones in known if len(ones) == 1]
            winner = min(named or heads, key=written.rank)
            is_first = winner == min(heads, key=written.rank)
            return "first_in_order" if is_first else "named_by_a_move", winner
        return "last_writer", max(heads or numbers, key=written.rank)


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
    back to. `rule` is the name of the rule that settled the conflict. `resolved_by` is the first
    event on the slot that goes back to all of `events`; None while the conflict is open.
    """

    subject: str
    slot: str
    events: tuple[Event, ...]
    rule: str
    winner: Event
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
    beside = _in_turn(ordered, subjects)
    beside |= {duplicate: (one,) for duplicate, one in duplicates.items()}
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
                if slot.is_number:  # things are told apart by their titles
                    titles = {n: written.events[n].payload.get("title") for n in cluster}
                    kept = sum(1 << n for n in cluster if titles[n] == titles[winner])
                    lost = sum(1 << n for n in cluster) & ~kept
                    beaten.update(
                        event.event_id
                        for event, seen in zip(written.events, written.seen, strict=True)
                        if seen & lost and not seen & kept
                    )
    conflicts.sort(
        key=lambda conflict: (conflict.subject, conflict.slot, conflict.events[0].order_key)
    )
    return Judgement(tuple(conflicts), heads, frozenset(beaten))


def _clusters(
    written: Written, numbers: Sequence[int]
) -> Iterator[tuple[Sequence[int], Event | None]]:
    """Yields the clusters of more than one event, the last first, each with the first event after.

    A cluster begins where all from there on have seen whatever stands before.
    """
    before = seen_by_all = sum(1 << number for number in numbers)
    cluster: list[int] = []
    after: Event | None = None
    for number in reversed(numbers):
        cluster.append(number)
        before ^= 1 << number
        seen_by_all &= written.seen[number]
        if not before & ~seen_by_all:
            if len(cluster) > 1:
                yield cluster[::-1], after
            cluster, after = [], written.events[number]


def _in_turn(
    ordered: Sequence[Event], subjects: Sequence[str | None]
) -> dict[str, tuple[str, ...]]:
    """Maps lines of other tools that name no causes to what they count as behind, by ids.

    Of what has a smaller clock on the same subject these are the heads.
    """
    on: dict[str, list[EventHeader]] = {}
    if not all(event.header.seq for event in ordered):
        for event, subject in zip(ordered, subjects, strict=True):
            if subject is not None:
                on.setdefault(subject, []).append(event.header)
    beside: dict[str, tuple[str, ...]] = {}
    for headers in on.values():
        heads: dict[str, None] = {}
        last: dict[str, tuple[str]] = {}
        for _, group in groupby(headers, key=attrgetter("lamport_clock")):
            at_once = list(group)
            for header in at_once:
                if not (header.seq or header.caused_by):
                    beside[header.event_id] = (*heads, *last.get(header.node_id, ()))
                if not header.seq:
                    last[header.node_id] = (header.event_id,)
            for header in at_once:
                for cause in header.caused_by or beside.get(header.event_id, ()):
                    heads.pop(cause, None)
                heads[header.event_id] = None
    return beside


def swept(
    ordered: Sequence[Event],
    subjects: Sequence[str | None],
    tangled: Collection[str],
    duplicates: Collection[str],
    beside: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, Written]]:
    """Yields what was written on each tangled subject; many share a sweep over all events.

    Duplicates are left out; `beside` holds causes that the events don't name.
    """
    named = [(*e.header.caused_by, *beside.get(e.header.event_id, ())) for e in ordered]
    events, causes = behind_causes(list(zip(ordered, named, strict=True)))
    of = {event.header.event_id: subject for event, subject in zip(ordered, subjects, strict=True)}
    on: dict[str, list[int]] = {subject: [] for subject in sorted(tangled)}
    for place, event in enumerate(events):
        subject = of[event.header.event_id]
        if subject in on and event.header.event_id not in duplicates:
            on[subject].append(place)
    sweeps: dict[int, list[str]] = {}
    total = 0
    for subject, places in on.items():
        sweeps.setdefault(total // SWEPT_MAX, []).append(subject)
        total += len(places)
    for group in sweeps.values():
        chosen = [place for subject in group for place in on[subject]]
        bits = {place: 1 << number for number, place in enumerate(chosen)}
        masks = [0] * len(events)  # what each event goes back to, and itself
        # events before the first chosen one have no chosen cause
        for place in range(min(chosen), max(chosen) + 1):
            mask = bits.get(place, 0)
            for cause in causes[place]:
                mask |= masks[cause]
            masks[place] = mask
        first = 0
        for subject in group:
            places, own = on[subject], (1 << len(on[subject])) - 1
            seen = [(masks[place] ^ bits[place]) >> first & own for place in places]
            yield subject, Written([events[place] for place in places], seen)
            first += len(places)


def state_machine_merge(
    events: Iterable[Event],
    priority: Mapping[str, int] | Sequence[str],
    state_key: str = "new_status",
) -> Event | None:
    """Returns the event whose state comes first, of several with one state the last in total order.

    `priority` maps states to numbers, the highest wins, or lists them, the first wins. Events
    without `state_key` in their payload are passed over; no events have none. Causes between the
    events play no part: pass the heads alone. Raises InvalidEvent, a ValueError, if no event holds
    the key, or one holds a state without a priority.
    """
    if not isinstance(priority, Mapping):
        priority = {state: -rank for rank, state in enumerate(priority)}
    refused = partial(InvalidEvent, "could not merge the states")
    ordered = totally_ordered(events)
    payloads = [(event, event.payload) for event in ordered]
    holding = [(event, payload[state_key]) for event, payload in payloads if state_key in payload]
    if payloads and not holding:
        raise refused(
            place=f"under {state_key}",
            cause="no event holds that key in its payload",
            hint="pass the state's key as state_key",
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

    A list or a map in a list can't be a member of a set and is passed over.
    """
    members: set[Hashable] = set()
    for event in events:
        held = event.payload.get(key)
        for item in held if isinstance(held, list) else (held,):
            if item is not None:
                with suppress(TypeError):
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
