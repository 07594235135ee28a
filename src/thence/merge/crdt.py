"""Values to which many may add at once, because every order of additions ends in the same value.

M. Shapiro, N. Preguica, C. Baquero, M. Zawirski, "Conflict-free Replicated Data Types", 2011:
the grow-only set and the counter of operations. Each event counts once, however often it is
given; what an event holds under the key in another shape is passed over, never an error.
"""

from collections.abc import Hashable, Iterable

from thence.core.event import Event
from thence.merge.fold import in_order


def merge_gset(events: Iterable[Event], key: str = "tags") -> set[Hashable]:
    """Returns the union of what the events' payloads hold under a key, lists or single values.

    A list within a list becomes a tuple. A map can't be a member of a set and is passed over.
    """
    found: set[Hashable] = set()
    for event in events:
        held = event.payload.get(key)
        for item in map(_member, held if isinstance(held, list) else (held,)):
            if item is not None and _is_hashable(item):
                found.add(item)
    return found


def merge_counter(events: Iterable[Event], key: str = "delta") -> int:
    """Returns the sum of the whole numbers that the events' payloads hold under a key."""
    held = [event.payload.get(key) for event in in_order(events)]
    return sum(value for value in held if type(value) is int)


def _member(item: object) -> object:
    return tuple(map(_member, item)) if isinstance(item, list) else item


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
