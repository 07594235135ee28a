"""Causes as a caller names them, and as another process or log names them.

Each function with a `caused_by` takes an event, an id, an iterable of these, or None, and
converts them to ids. A cause in another log is one text, `<event_id>@<lamport_clock>@<log_id>`,
which the environment variable THENCE_CAUSE carries to a process, and `external_causes` of an
event holds.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, cast

from thence.core.clock import CLOCK_MAX
from thence.core.ids import is_ulid
from thence.errors import InvalidEvent

CAUSE_VARIABLE = "THENCE_CAUSE"
_FORM = re.compile(
    r"(?P<event_id>[0-9A-Za-z_.:-]{1,128})@(?P<clock>\d{1,16})@(?P<log_id>[0-9A-Z]{26})", re.ASCII
)


class HasId(Protocol):
    """Anything that has an event's id."""

    @property
    def event_id(self) -> str:
        """The id of the event."""


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


class PassedCause(NamedTuple):
    """An event of some log, with the clock that its effects must exceed."""

    event_id: str
    lamport_clock: int
    log_id: str

    @property
    def text(self) -> str:
        """The text form of the cause."""
        return f"{self.event_id}@{self.lamport_clock}@{self.log_id}"


def parse_cause(text: str) -> PassedCause | None:
    """Reads a cause from its text; None if the text is no cause."""
    found = _FORM.fullmatch(text)
    if found is None or int(found["clock"]) > CLOCK_MAX:
        return None
    return PassedCause(found["event_id"], int(found["clock"]), found["log_id"])
