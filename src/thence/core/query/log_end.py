"""The end of a log: its last event, with the steps that were still open there.

A step is begun by one event and ended by another, which names the first. A process that was
killed in between leaves the step open, which shows what the process was doing.
"""

from collections.abc import Iterable
from typing import NamedTuple

from thence.core.event import Event
from thence.core.order import total_order_key


class LogEnd(NamedTuple):
    """The last event, None in an empty log, and the open steps' begins, both in total order."""

    last: Event | None
    still_open: tuple[Event, ...]


def ending(events: Iterable[Event]) -> LogEnd:
    """Reads events once, in any order, and returns their end.

    An event is open if it begins a step that no event ends. Only the open events are kept in
    memory, with the ids that were ended but not begun so far.
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
