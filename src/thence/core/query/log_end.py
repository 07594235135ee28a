"""How a log ends: its last event, with what was still open there.

What lasts is begun by one event and ended by another, which names it. A process that was
killed in between leaves it open: that is how one sees what it was at.
"""

from collections.abc import Iterable
from typing import NamedTuple

from thence.core.event import Event
from thence.core.order import total_order_key


class LogEnd(NamedTuple):
    """The last event, None in an empty log, and what is open, both by the total order."""

    last: Event | None
    still_open: tuple[Event, ...]


def ending(events: Iterable[Event]) -> LogEnd:
    """Reads events once, in any order, and returns how they end.

    Open is an event that begins something and that no event ends. Kept are the open events
    alone, however many go by, with the ids that are ended and not begun so far.
    """
    last: Event | None = None
    begun: dict[str, Event] = {}
    ended_early: set[str] = set()
    for event in events:
        if last is None or total_order_key(event) > total_order_key(last):
            last = event
        if event.begins and event.event_id not in ended_early:
            begun[event.event_id] = event
        if event.ends is not None and begun.pop(event.ends, None) is None:
            ended_early.add(event.ends)
    return LogEnd(last, tuple(sorted(begun.values(), key=total_order_key)))
