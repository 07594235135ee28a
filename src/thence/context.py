"""Causes that the surrounding code names for all events appended inside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from thence.errors import InvalidEvent

_causes: ContextVar[tuple[str, ...]] = ContextVar("thence_causes", default=())


class HasId(Protocol):
    """Anything that has an event's id."""

    @property
    def event_id(self) -> str:
        """The id of the event."""
        ...


Cause = HasId | str


def id_of(cause: Cause) -> str:
    """Returns the id of an event or an id itself; anything else raises InvalidEvent."""
    event_id = cause if isinstance(cause, str) else getattr(cause, "event_id", None)
    if not isinstance(event_id, str) or not event_id:
        raise InvalidEvent(
            "could not name a cause",
            place="field caused_by",
            cause=f"{cause!r} is neither an event nor an event's id",
            hint="pass what append, emit or get returned",
        )
    return event_id


# returns the ids that the innermost `because` block names; the bare method, as each emit calls it
current_causes = _causes.get


@contextmanager
def because(*causes: Cause) -> Iterator[None]:
    """Names these events as causes of all that is appended inside the block.

    It reaches asyncio tasks begun inside it, and threads that were given its context
    (contextvars.copy_context). An inner block replaces the causes of an outer one.
    """
    token = _causes.set(tuple(id_of(cause) for cause in causes))
    try:
        yield
    finally:
        _causes.reset(token)
