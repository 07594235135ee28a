"""Which events of a project later ones rest on by themselves: not what was refused or remarked."""

from collections.abc import Collection, Iterable

from thence.core.event import Event

# a move, a gate or an assignment that rests on one of these names it
DECIDE_NOTHING = frozenset(("ErrorLogged", "HistoryAdded"))


def deciding_heads(
    subjects: Collection[str], events: Iterable[Event]
) -> dict[str, tuple[Event, ...]]:
    """Returns the heads of subjects among the events that decide something, in total order.

    A cause that lies between, on another subject or in an event that decides nothing, counts. All
    events of the log are needed.
    """
    known = {event.event_id: event for event in events}
    on: dict[str, list[Event]] = {subject: [] for subject in subjects}
    for event in known.values():
        subject = event.subject
        if subject in on and event.event_type not in DECIDE_NOTHING:
            on[subject].append(event)
    return {subject: _heads(found, known) for subject, found in on.items()}


def _heads(on: Collection[Event], known: dict[str, Event]) -> tuple[Event, ...]:
    passed: set[str] = set()
    left = [cause for event in on for cause in event.caused_by]
    while left:
        cause = left.pop()
        if cause in known and cause not in passed:
            passed.add(cause)
            left += known[cause].caused_by
    heads = [event for event in on if event.event_id not in passed]
    return tuple(sorted(heads, key=lambda event: event.order_key))
