"""What the surrounding code says of all events appended inside it: their causes, their step.

It lives in context variables: so it reaches asyncio tasks begun inside, and threads that
were given the context (contextvars.copy_context). Around all of it lies the cause that
another process handed on.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, runtime_checkable

from thence.core.event import Event
from thence.core.handing import VARIABLE, HandedCause, handed
from thence.errors import InvalidEvent
from thence.log.drafting import Words
from thence.log.identity import LogInfo
from thence.log.notice import warn

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
    (contextvars.copy_context). An inner block replaces the causes of an outer one. Without
    any event it names none, or what THENCE_CAUSE names.
    """
    token = _causes.set(tuple(id_of(cause) for cause in causes))
    try:
        yield
    finally:
        _causes.reset(token)


@runtime_checkable
class StepLog(Protocol):
    """An open log, as a step needs it: a Replica."""

    origin: "Origin"

    def append_step(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None,
        words: Words,
        ends: str | None = None,
        caused_by: Iterable[Cause] = (),
    ) -> Event:
        """Appends the begin of a step, or the end of the one that the event `ends` began."""
        ...


class OpenStep(NamedTuple):
    """A step that has begun: its log, the ends of steps inside it, whose process it is."""

    log: StepLog
    begun: Event
    inner: deque[str]
    outer: "OpenStep | None"
    process: int


open_step: ContextVar[OpenStep | None] = ContextVar("thence_step", default=None)


@contextmanager
def inside(step: OpenStep) -> Iterator[None]:
    """Makes a step the innermost one, and its begin the cause of all in the block."""
    around, causes = open_step.set(step), _causes.set((step.begun.event_id,))
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator that is closed in another context
            _causes.reset(causes)
            open_step.reset(around)


class Origin:
    """What an open log takes from other processes and logs, and hands on to them.

    `causes` are around all that it appends: the cause that `received` is. `witness` takes a
    clock that the next events must pass, `info` tells the id of the log.
    """

    def __init__(
        self,
        received: str | None,
        witness: Callable[[int], None],
        info: Callable[[], LogInfo | None],
    ) -> None:
        self._received = handed(received) if received else None
        self._malformed = received if self._received is None else None
        self.causes = (self._received.event_id,) if self._received is not None else ()
        self._witness = witness
        self._witnessed = -1
        self._info = info
        self._log_id: str | None = None

    @property
    def log_id(self) -> str | None:
        """The id of the log, which stays when its folder moves; None while it has none."""
        if self._log_id is None:
            info = self._info()
            self._log_id = info.log_id if info is not None else None
        return self._log_id

    def tell_malformed(self) -> None:
        """Warns, once, of a received cause that is none."""
        malformed, self._malformed = self._malformed, None
        if malformed:
            warn("cause_ignored", {VARIABLE: malformed, "form": "ID@CLOCK@LOG_ID"})

    def environment(self, event: Event) -> dict[str, str]:
        """Returns the variable that hands an event of this log on; raises InvalidEvent."""
        cause = self._handed(event)
        if cause is None:
            raise InvalidEvent(
                "could not hand on the event",
                place=event.event_id,
                cause="its log has no id and can't be given one, or its own id is out of form",
                hint="give this user the right to write to the log's folder",
            )
        return {VARIABLE: cause.text}

    def external(self, causes: tuple[str, ...]) -> tuple[str, ...]:
        """Witnesses those of an event's causes that were handed on.

        Returns, as texts, those that lie in other logs than the event's own.
        """
        step = open_step.get()
        is_inside = step is None or step.log.origin is self
        if self._received is None and is_inside:
            return ()
        around = None if step is None or is_inside else step.log.origin._handed(step.begun)
        external = []
        for cause in (self._received, around):
            if cause is None or cause.event_id not in causes:
                continue
            if cause.lamport_clock > self._witnessed:
                self._witness(cause.lamport_clock)
                self._witnessed = cause.lamport_clock
            if cause.log_id != self.log_id:
                external.append(cause.text)
        return tuple(external)

    def _handed(self, event: Event) -> HandedCause | None:
        return handed(f"{event.event_id}@{event.lamport_clock}@{self.log_id}")
