"""Events in any order become one state, the same wherever the same events are held.

The fold first brings the events into total order, each id once, and keeps only the first of
events that were imported from the same place (equal `source` and `source_id`). Neither the
order of the input nor its division and repetition on the way change the result. Two ready
folds are the grow-only set and the counter of operations (M. Shapiro, N. Preguica, C. Baquero,
M. Zawirski, "Conflict-free Replicated Data Types", 2011): what an event holds under their key
in another shape is passed over, never an error.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from thence.core.event import Event
from thence.core.order import totally_ordered

State = TypeVar("State")


def fold(events: Iterable[Event], step: Callable[[State, Event], State], start: State) -> State:
    """Returns the state after the events, taken in total order and each once.

    `step` gets the state so far and an event, and returns the next state.
    """
    state = start
    for event in in_order(events):
        state = step(state, event)
    return state


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
    held = [event.payload.get(key) for event in in_order(events)]
    return sum(value for value in held if type(value) is int)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Returns the events that count, in total order."""
    return counting(totally_ordered(events))[0]


def counting(ordered: Sequence[Event]) -> tuple[list[Event], Mapping[str, str]]:
    """Returns the events, in total order, that count, and the twins of those that don't.

    The twins map the id of an event that doesn't count to the id of the one that was imported
    from the same place before it.
    """
    imported: dict[tuple[str, str], str] = {}
    twins: dict[str, str] = {}
    for event in ordered:
        header = event.header
        if header.source is not None and header.source_id is not None:
            first = imported.setdefault((header.source, header.source_id), header.event_id)
            if first != header.event_id:
                twins[header.event_id] = first
    if not twins:
        return list(ordered), twins
    return [event for event in ordered if event.event_id not in twins], twins


def canonical(value: object) -> bytes:
    """Encodes a value so that equal ones are equal bytes: keys and sets are sorted.

    A value is JSON, a set, a Struct, or an event, which stands for its id.
    """
    return msgspec.json.encode(value, enc_hook=_plain, order="sorted")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Event):
        return value.event_id
    raise TypeError(f"a {type(value).__name__} is no part of a state")


def _member(item: object) -> object:
    return tuple(map(_member, item)) if isinstance(item, list) else item
