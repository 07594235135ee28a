"""What events of other tools go on from, where they name no causes.

A move goes on from what stands before it on its subject if it names the lane that this left the
package in, and what is no move always does. A move from another lane was made beside it. So the
history of one tool is one line, and what contradicts itself stays a conflict.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from thence.core.event import Event
from thence.core.vocabulary import WORK
from thence.work.replay import said, text

_MOVE = "WPStatusChanged"


def linked(ordered: Sequence[Event], subject_of: Callable[[Event], str | None]) -> list[Event]:
    """Returns events in total order, those that go on from another with it as their cause.

    Foreign lines without causes have no clock, so that all of them stand in front.
    """
    found: list[Event] = []
    last: dict[str, str] = {}
    lanes: dict[str, str] = {}
    for event in ordered:
        if not event.is_foreign:
            break
        subject = subject_of(event)
        if subject is not None:
            before, lane = last.get(subject), lanes.get(subject)
            last[subject] = event.event_id
            previous = None
            if event.event_type == _MOVE:
                told = said(event)
                previous = text(told.previous_status) or text(told.old_status)
                lanes[subject] = text(told.new_status) or ""
            goes_on = previous is None or lane is None or previous == lane
            if before is not None and goes_on and not event.header.caused_by:
                event = Event(event.line, replace(event.header, caused_by=(before,)), WORK)
        found.append(event)
    return [*found, *ordered[len(found) :]]
