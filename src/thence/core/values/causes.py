"""The conversion of causes that a caller names to ids.

Each function with a `caused_by` uses it: an event, an id, an iterable of these, or None.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, cast

from thence.core.ids import is_ulid
from thence.errors import InvalidEvent


class HasId(Protocol):
    """Anything that has an event's id."""

    @property
    def event_id(self) -> str:
        """The id of the event."""
        ...


Cause = HasId | str
Causes = Cause | Iterable[Cause] | None


def id_of(cause: Cause) -> str:
    """Returns the id of an event, or an id as it is; anything else raises InvalidEvent."""
    event_id = cause if isinstance(cause, str) else getattr(cause, "event_id", None)
    if not isinstance(event_id, str) or not event_id:
        raise _refused(f"{cause!r:.80} is neither an event nor an event's id")
    return event_id


def cause_ids(causes: Causes, holds: Callable[[str], bool] | None = None) -> tuple[str, ...]:
    """Returns the ids of the named causes, in their order.

    An event is taken by its id. A bare text must be a ULID, or an id that the log `holds`:
    a misspelt cause would stay in the log for ever. A ULID is not looked up. Raises
    InvalidEvent, which names the invalid cause.
    """
    if causes is None:
        return ()
    if isinstance(causes, str) or hasattr(causes, "event_id"):
        return (_checked(cast(Cause, causes), holds),)
    if not isinstance(causes, Iterable):
        raise _refused(f"{causes!r:.80} is neither an event, an id, nor several of these")
    return tuple([_checked(cause, holds) for cause in causes])


def _checked(cause: Cause, holds: Callable[[str], bool] | None) -> str:
    event_id = id_of(cause)
    if cause is event_id and not is_ulid(event_id) and not (holds and holds(event_id)):
        where = "the id of an event in this log" if holds else "an event"
        raise _refused(f"the text {event_id!r:.80} is neither a ULID nor {where}")
    return event_id


def _refused(cause: str) -> InvalidEvent:
    return InvalidEvent(
        "could not name a cause",
        place="field caused_by",
        cause=cause,
        hint="pass what append, emit or get returned",
    )
