"""What has arrived in a log behind an event, of its index if it has one, else of its lines.

All of it blocks.
"""

from collections.abc import Sequence
from itertools import islice

from thence.core.event import Event
from thence.core.lookup import not_found
from thence.index import arrivals as indexed
from thence.index.arrivals import Arrived
from thence.server.logs import OpenLog

# where a stream begins: behind the event of an id, with the last so many, or with the first
After = str | int | None


def between(log: OpenLog, after: After, until: str | None) -> Arrived:
    """Returns the first events that arrived behind `after`, up to one and with it.

    There are none behind an event that arrived later than `until`, and none at all up to None.
    Raises EventNotFound for an id that the log lacks, ReadFailed.
    """
    index = log.answers.index()
    if index is not None:
        return indexed.between(index, after, until)
    if until is None and not isinstance(after, str):
        return Arrived((), False)
    events = list(log.answers.read())
    last = _place(log, events, until) + 1 if until is not None else 0
    first = max(0, last - after) if isinstance(after, int) else 0
    if isinstance(after, str):
        first = _place(log, events, after) + 1
    return Arrived(tuple(islice(events, first, max(first, last))), False)


def is_reached(log: OpenLog, event_id: str, until: str | None) -> bool:
    """Tells whether an event arrived up to another one, or is that one; raises EventNotFound."""
    if until is None or event_id == until:
        return event_id == until
    index = log.answers.index()
    if index is not None:
        return event_id in indexed.known(index, (event_id,), until)
    events = list(log.answers.read())
    return _place(log, events, event_id) <= _place(log, events, until)


def _place(log: OpenLog, events: Sequence[Event], event_id: str) -> int:
    for place, event in enumerate(events):
        if event.event_id == event_id:
            return place
    raise not_found(log.folder, event_id)
