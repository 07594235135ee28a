"""Which events count, in whatever order they come; the merging of tags and counters.

Of events that were imported from the same place (equal `source` and `source_id`) only the first
in total order counts. The folds are the grow-only set and the counter of operations (M. Shapiro,
N. Preguica, C. Baquero, M. Zawirski, "Conflict-free Replicated Data Types", 2011): what an event
holds under their key in another shape is passed over, never an error.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress

from thence.core.event import Event
from thence.core.order import totally_ordered


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
