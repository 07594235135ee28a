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
    else:
        begun = beginnings(text)
        found = [event for event in events if event.event_id.startswith(begun)]
    if not found:
        raise not_found(place, text)
    if len(found) > 1:
        raise ambiguous(text, len(found), found[0].event_id)
    return found[0]


def beginnings(text: str) -> tuple[str, str]:
    """Returns how an id that a text names may begin; raises AmbiguousId for too short a text."""
    if len(text) < PREFIX_CHARACTERS_MIN:
        raise AmbiguousId(
            "could not look up",
            place=text,
            cause=f"a prefix has at least {PREFIX_CHARACTERS_MIN} characters",
            hint="give more of the id",
        )
    return text, text.upper()


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


def ambiguous(text: str, count: int, first_id: str) -> AmbiguousId:
    """Returns the error for a text by which several ids begin, one of them the given."""
    return AmbiguousId(
        "could not look up",
        place=text,
        cause=f"{count} events begin with it",
        hint=f"give more of the id, such as {first_id}",
    )
