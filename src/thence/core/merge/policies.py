"""The rules for concurrent events, and what of a subject each event writes.

An event writes one *slot* of its subject: the lane of a package, the status of a gate. Two events
on one subject and slot, neither caused by the other, that write different values can't both stand;
the first rule of the slot that names a winner settles them. Tags and counters write no slot: all of
them count.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from thence.core.event import Event
from thence.core.merge.ancestry import SubjectHistory
from thence.core.nearest import nearest
from thence.core.order import totally_ordered
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent

# equal values are equal bytes
_canonical = msgspec.json.Encoder(order="sorted").encode


class Slot(msgspec.Struct, frozen=True):
    """A part of a subject that events write; two that write equal values can both stand.

    In the slot of a reviewed thing a send-back beats a done that was written beside it.
    """

    name: str
    value: Callable[[Event], Hashable]
    is_reviewed: bool = False

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
        return "last_writer", max(heads or numbers, key=written.ranks.__getitem__)


SlotOf = Callable[[Event], Slot | None]


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
    ordered = totally_ordered(events)
    subjects = list(dict.fromkeys(event.subject for event in ordered))
    if len(subjects) > 1:
        first, second = (subject or "none" for subject in subjects[:2])
        raise InvalidEvent(
            "could not merge the states",
            place=f"of {len(ordered)} events",
            cause=f"they are about {len(subjects)} subjects, among them {first} and {second}",
            hint="merge the events of one subject at a time",
        )
    payloads = [(event, event.payload) for event in ordered]
    holding = [(event, payload[state_key]) for event, payload in payloads if state_key in payload]
    if payloads and not holding:
        near = nearest(state_key, sorted({key for _, payload in payloads for key in payload}))
        raise InvalidEvent(
            "could not merge the states",
            place=f"under {state_key}",
            cause="no event holds that key in its payload",
            hint=f"did you mean {near[0]}?" if near else "pass the state's key as state_key",
        )
    winner: tuple[int, Event] | None = None
    for event, state in holding:
        if not isinstance(state, str) or state not in priority:
            raise InvalidEvent(
                "could not merge the states",
                place=f"of {event.event_id}",
                cause=f"{state_key} is {state!r:.80}, which is not in the priority",
                hint=f"give it a place among {', '.join(map(str, priority)) or 'no states'}",
            )
        if winner is None or priority[state] >= winner[0]:
            winner = (priority[state], event)
    return winner and winner[1]


def is_send_back(event: Event) -> bool:
    """Reports whether an event moves a package out of review, back to work."""
    previous = event.payload.get("previous_status") or event.payload.get("old_status")
    return previous == "for_review" and event.payload.get("new_status") in ("doing", "planned")


WHOLE = Slot("", lambda event: (event.event_type, _canonical(event.payload)))


def _lane(event: Event) -> Hashable:
    """Returns the lane written; each claim is a value of its own: a package has one agent."""
    lane = event.payload.get("new_status")
    is_claim = lane == "doing" and not is_send_back(event)
    return event.event_id if is_claim else _canonical(lane)


def _written_last(name: str, *fields: str) -> Slot:
    """Returns the slot of some members; an empty one equals an absent one."""

    def value(event: Event) -> Hashable:
        return tuple(_canonical(event.payload.get(field) or None) for field in fields)

    return Slot(name, value)


LANE = Slot("lane", _lane, is_reviewed=True)
WORK_SLOTS: Mapping[str, Slot] = {
    "WPStatusChanged": LANE,
    "WPAssigned": _written_last("agent", "agent_id", "phase"),
    "WPCreated": _written_last("package", "title", "dependencies"),
    "FeatureCreated": _written_last("feature", "feature_number", "target_branch"),
    "SpecCreated": _written_last("spec", "title", "mission", "target_branch"),
    "GateResultChanged": _written_last("gate", "new_status"),
}


def slots_of(vocabulary: Vocabulary) -> SlotOf:
    """Returns a host's function from events to slots; a host without rules has the plain one."""
    if vocabulary.name == "work":
        return lambda event: WORK_SLOTS.get(event.header.event_type)
    return lambda event: None if {"tags", "delta"} & event.payload.keys() else WHOLE


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
    if not duplicates:
        return list(ordered), duplicates
    return [event for event in ordered if event.event_id not in duplicates], duplicates


def _member(item: object) -> object:
    return tuple(map(_member, item)) if isinstance(item, list) else item
