"""An event named by a text: its id, a beginning of it, or a word for a place in the log."""

from collections.abc import Iterable, Sequence

from thence.core.event import Event
from thence.core.vocabulary import Vocabulary
from thence.errors import AmbiguousId, EventNotFound

PREFIX_CHARACTERS_MIN = 6


def named(text: str, events: Sequence[Event], vocabulary: Vocabulary, place: object) -> Event:
    """Returns the event that a text names, among the events of a log in total order.

    It is an id, an unambiguous prefix of at least 6 characters, "@last", or
    "@last-error". Raises EventNotFound, AmbiguousId.
    """
    if text == "@last":
        found = list(events[-1:])
    elif text == "@last-error":
        found = [event for event in events if vocabulary.is_error(event)][-1:]
    elif len(text) < PREFIX_CHARACTERS_MIN:
        raise AmbiguousId(
            "could not look up",
            place=text,
            cause=f"a prefix has at least {PREFIX_CHARACTERS_MIN} characters",
            hint="give more of the id",
        )
    else:
        beginnings = (text, text.upper())
        found = [event for event in events if event.event_id.startswith(beginnings)]
    if not found:
        raise not_found(place, text)
    if len(found) > 1:
        raise AmbiguousId(
            "could not look up",
            place=text,
            cause=f"{len(found)} events begin with it",
            hint=f"give more of the id, such as {found[0].event_id}",
        )
    return found[0]


def among(events: Iterable[Event], event_id: str, place: object) -> Event:
    """Returns the event of an id; raises EventNotFound."""
    for event in events:
        if event.event_id == event_id:
            return event
    raise not_found(place, event_id)


def not_found(place: object, text: str) -> EventNotFound:
    """Returns the error for a text that names no event of the log at a place."""
    return EventNotFound(
        "could not find the event",
        place=text,
        cause=f"no event of the log {place} has this id",
        hint="`thence log` lists the events",
    )
