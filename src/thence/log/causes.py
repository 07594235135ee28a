"""The causes and the step that surrounding code names for all events appended inside it.

Blocks stand in a context variable: so they reach asyncio tasks begun inside, and threads that
were given the context (contextvars.copy_context). Around all of them lies the cause that
another process handed on.

A context variable outlives a generator that nobody runs to its end. So a block that is entered
in a generator counts only while the generator's frame is on the stack, and is marked when it is
left: the leaving may happen in another context. The resuming may as well, so a table has the
blocks of each generator.

A tracer's current span is around some code too, beside the blocks. `SpanScope` is what is kept of
it, `SpanWatch` the tracer: a block notes the span in which it was entered, and is the inner one
while that is still current; another one was made current inside the block.

The ends of steps that an exception has left are causes of what is appended while it is handled.
They stand on the exception itself: exceptions take no weak references, and a table beside them
would keep them and their frames alive. An end counts while the exception's traceback runs through
the code around the step. So an exception that one future raises in several tasks names in each
the end of that task's step, not those of the others.
"""

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from thence.core.codec import CAUSES_MAX
from thence.core.event import Event
from thence.core.new_event import (
    CAUSE_VARIABLE,
    HostEvent,
    PassedCause,
    parse_cause,
)
from thence.errors import InvalidEvent
from thence.log.files.disk import on_fork
from thence.log.files.identity import LogInfo
from thence.log.write.drafting import warn

# inspect.CO_GENERATOR and inspect.CO_ASYNC_GENERATOR
_GENERATOR_FLAGS = 0x20 | 0x200
_CONTEXTLIB = vars(contextlib)
_ENTERING = frozenset(("__enter__", "__aenter__", "__exit__", "__aexit__"))
# modules that run the generator of a fixture around the test
_FIXTURES = frozenset(("_pytest.fixtures", "pytest_asyncio.plugin", "anyio._backends._asyncio"))
_FORKING_POOLS = frozenset(("concurrent.futures.process", "multiprocessing.pool"))


class CauseScope:
    """The scope of code that names causes, or of a step's body, from entry until exit.

    `frame` is that of the generator in which the block was entered, None outside of any. `passed`
    are those of its causes whose log is known, `trace` the id of the trace that came with them,
    and what other tools say of it. `span` is the tracer's that was around it.
    """

    __slots__ = ("causes", "frame", "is_left", "passed", "span", "step", "trace")

    def __init__(
        self,
        causes: tuple[str, ...],
        step: "OpenStep | None" = None,
        frame: FrameType | None = None,
        *,
        passed: tuple[PassedCause, ...] = (),
        trace: tuple[str, str] | None = None,
    ) -> None:
        self.causes = causes
        self.step = step
        self.frame = frame
        self.passed = passed
        self.trace = trace
        self.span = None if _watch is None else span_around()
        self.is_left = False
        _blocks.set((*current_blocks(), self))
        if frame is not None:
            _of_generators[frame] = (*_of_generators.get(frame, ()), self)

    def leave(self) -> None:
        """Ends the block, in whatever context this is called.

        Tasks and threads that carry it on keep it, unless a generator entered it.
        """
        self.is_left = self.frame is not None or self not in _blocks.get()
        if self.frame is not None:
            entered = _of_generators.pop(self.frame, ())
            if others := tuple([block for block in entered if block is not self]):
                _of_generators[self.frame] = others
            self.frame = None
        _blocks.set(tuple([block for block in current_blocks() if block is not self]))


class SpanScope:
    """A tracer's span, as a cause of what happens inside it until it ends.

    `begin_id` is the event that began it, `cause` the same as another log names it, `outer` the
    span around its begin, `frame` that of the generator in which it was begun. `trace` is the id
    of its trace in hex, with what other tools say of that. `key` holds the ids of trace and span,
    `parent` those of the span that the tracer calls its parent. `actor` is who acts inside.
    """

    __slots__ = (
        *("actor", "begin_id", "cause", "frame", "is_ended", "key", "outer", "parent", "trace"),
    )

    def __init__(
        self,
        key: tuple[int, int],
        begin_id: str,
        cause: PassedCause | None,
        trace: tuple[str, str],
        parent: tuple[int, int] | None = None,
        outer: "SpanScope | None" = None,
        frame: FrameType | None = None,
        actor: str | None = None,
    ) -> None:
        self.actor = actor
        self.key = key
        self.parent = parent
        self.begin_id = begin_id
        self.cause = cause
        self.trace = trace
        self.outer = outer
        self.frame = frame
        self.is_ended = False

    def end(self) -> None:
        """Ends the span; no span that has ended stays in the chain behind it."""
        self.is_ended, self.frame = True, None
        while self.outer is not None and self.outer.is_ended:
            self.outer = self.outer.outer


class SpanWatch(Protocol):
    """A tracer, as far as causes need it."""

    def current(self) -> SpanScope | None:
        """Returns the current span, or the nearest one around it that a log holds."""

    def context(self) -> object:
        """Returns the tracer's own context, which holds the current span."""

    def attach(self, context: object) -> object:
        """Makes a context the current one, None for an empty one; `detach` takes the result."""

    def detach(self, token: object) -> None:
        """Makes the context current again that was before `attach`."""


_watch: SpanWatch | None = None


def watch_spans(watch: SpanWatch) -> None:
    """Takes the spans of a tracer for causes from now on."""
    global _watch
    _watch = watch


def span_watch() -> SpanWatch | None:
    """Returns the tracer whose spans are causes, None for none."""
    return _watch


def span_around() -> SpanScope | None:
    """Returns the innermost span around the caller that has not ended.

    One that was begun in a generator counts while that runs.
    """
    span = None if _watch is None else _watch.current()
    stack: set[FrameType] = set()
    while span is not None:
        if not span.is_ended:
            if span.frame is None:
                return span
            stack = stack or {*_frames(sys._getframe(1))}
            if span.frame in stack:
                return span
        span = span.outer
    return None


def inner_span() -> SpanScope | None:
    """Returns the span around the caller that lies inside all blocks which count."""
    span = span_around()
    if span is None or not _entered():
        return span
    around = next((block.span for block in _counting()), None)
    while around is not None:
        if around is span:
            return None
        around = around.outer
    return span


# the outermost first
_blocks: ContextVar[tuple[CauseScope, ...]] = ContextVar("thence_blocks", default=())
# of each generator those that it entered and did not leave
_of_generators: dict[FrameType, tuple[CauseScope, ...]] = {}


def _entered() -> tuple[CauseScope, ...]:
    """Returns the blocks that were entered in this context, the outermost first.

    Those of a running generator that were entered in another context are entered here too.
    """
    blocks = _blocks.get()
    if _of_generators:
        others: list[CauseScope] = []
        for frame in _frames(sys._getframe(1)):
            own = _of_generators.get(frame, ())
            others += [block for block in reversed(own) if block not in blocks]
        if others:
            blocks = (*blocks, *reversed(others))
            _blocks.set(blocks)
    return blocks


def current_blocks() -> tuple[CauseScope, ...]:
    """Returns the blocks that were entered and not left, the outermost first."""
    return tuple([block for block in _entered() if not block.is_left])


def _counting() -> Iterator[CauseScope]:
    """Yields the blocks that count where this is called, the innermost first."""
    stack: set[FrameType] = set()
    for block in reversed(current_blocks()):
        if block.frame is not None and not stack:
            stack.update(_frames(sys._getframe(1)))
        if block.frame is None or block.frame in stack:
            yield block


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def owning_generator_frame(frame: FrameType | None) -> FrameType | None:
    """Returns the generator's frame to which a block entered in `frame` belongs, None for none.

    A generator that contextlib, an `__enter__` or a fixture drives is a context manager: the block
    belongs to the code around the `with` that uses it.
    """
    while frame is not None:
        is_generator = frame.f_code.co_flags & _GENERATOR_FLAGS
        if not _is_of_manager(frame) and not (is_generator and is_manager(frame)):
            return frame if is_generator else None
        frame = frame.f_back
    return None


def is_manager(frame: FrameType) -> bool:
    """Reports whether a running frame is that of a generator which serves as context manager."""
    outer = frame.f_back
    if outer is None or not frame.f_code.co_flags & _GENERATOR_FLAGS:
        return False
    return _is_of_manager(outer) or outer.f_globals.get("__name__") in _FIXTURES


def _is_of_manager(frame: FrameType) -> bool:
    return frame.f_globals is _CONTEXTLIB or frame.f_code.co_name in _ENTERING


def current_causes() -> tuple[str, ...]:
    """Returns the ids that the innermost counting block or span names; each append calls it."""
    if _watch is not None and (span := inner_span()) is not None:
        return (span.begin_id,)
    blocks = _entered() if _of_generators else _blocks.get()
    if not blocks:
        return ()
    if blocks[-1].frame is None and not blocks[-1].is_left:
        return blocks[-1].causes
    return next((block.causes for block in _counting()), ())


def current_actor() -> str | None:
    """Returns who acts in the innermost counting span, None where a block lies inside of it."""
    span = None if _watch is None else inner_span()
    return None if span is None else span.actor


def current_step() -> "OpenStep | None":
    """Returns the innermost open step around the caller, None if there is none."""
    if not _entered():
        return None
    return next((block.step for block in _counting() if block.step is not None), None)


def current_passed() -> tuple[PassedCause, ...]:
    """Returns the causes around whose log is known, up to those of the innermost open step."""
    if _watch is not None and (span := inner_span()) is not None:
        return () if span.cause is None else (span.cause,)
    passed: tuple[PassedCause, ...] = ()
    has_blocks = _entered() if _of_generators else _blocks.get()
    for block in _counting() if has_blocks else ():
        passed += block.passed
        if block.step is not None:
            return passed if block.step.cause is None else (*passed, block.step.cause)
    return passed


def current_trace() -> tuple[str, str] | None:
    """Returns the id of the trace that causes or a span around belong to, None for none."""
    if _watch is not None and (span := inner_span()) is not None:
        return span.trace
    for block in _counting():
        if block.trace is not None:
            return block.trace
        if block.span is not None:
            return block.span.trace
    return None


def _leave_pool() -> None:
    """Leaves all blocks in a worker of a pool, which was forked where somebody handed it work.

    The work that it is handed later comes from elsewhere. Any other fork goes on inside them.
    """
    names = {frame.f_globals.get("__name__") for frame in _frames(sys._getframe(1))}
    if not names.isdisjoint(_FORKING_POOLS):
        _blocks.set(())
        _of_generators.clear()
        _carried.set(((), None))
        if _watch is not None:
            _watch.attach(None)


on_fork(lambda: None, _leave_pool)


# subject, actor and stream
Words = tuple[str | None, str | None, str | None]


@runtime_checkable
class StepLog(Protocol):
    """The part of `Log` that a step needs."""

    def plain(self, value: Any, path: str = "payload") -> Any:
        """Returns a value as JSON; raises InvalidEvent."""

    def _host_append(
        self, events: Sequence[HostEvent], *, timeout_s: float | None = ...
    ) -> list[Event]:
        """Appends events durably, or without a timeout queues those that the queue has room for."""

    def handed_on(self, event: Event) -> PassedCause | None:
        """Returns an event of this log as another log names it; None while the log has no id."""


class OpenStep(NamedTuple):
    """A step that has begun: its log, the ends of steps inside it, whose process it is.

    `words` are its subject, actor and stream, `cause` is its begin as another log names it.
    `begun_ns` is when its body began, on the monotonic clock.
    """

    log: StepLog
    begun: Event
    words: Words
    cause: PassedCause | None
    inner: deque[str]
    outer: "OpenStep | None"
    process: int
    begun_ns: int


def record(log: StepLog, new: HostEvent, is_durable: bool) -> Event:
    """Appends an event; one that need not be durable is queued while there is room."""
    queued = [] if is_durable else log._host_append((new,), timeout_s=None)
    return (queued or log._host_append((new,)))[0]


class Origin:
    """The causes that an open log receives from other processes and logs, or passes to them.

    `causes` are around all that it appends: the cause that `received` is. `witness` takes a
    clock that the next events must pass, `info` returns the id of the log.
    """

    def __init__(
        self,
        received: str | None,
        witness: Callable[[int], None],
        info: Callable[[], LogInfo | None],
    ) -> None:
        self._received = parse_cause(received) if received else None
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

    def warn_malformed(self) -> None:
        """Warns, once, of a received cause that is none."""
        malformed, self._malformed = self._malformed, None
        if malformed:
            warn("cause_ignored", {CAUSE_VARIABLE: malformed, "form": "ID@CLOCK@LOG_ID"})

    def environment(self, event: Event) -> dict[str, str]:
        """Returns the variable that hands an event of this log on; raises InvalidEvent."""
        cause = self.handed_on(event)
        if cause is None:
            raise InvalidEvent(
                "could not pass on the event",
                place=event.event_id,
                cause="its log has no id and can't be given one, or its own id is out of form",
                hint="give this user the right to write to the log's folder",
            )
        return {CAUSE_VARIABLE: cause.text}

    def external(
        self, causes: tuple[str, ...], ends: tuple[PassedCause, ...] = ()
    ) -> tuple[str, ...]:
        """Witnesses those of an event's causes that were handed on, or are `ends` in hand.

        Returns, as texts, those that lie in other logs than the event's own.
        """
        around = current_passed()
        if self._received is None and not around and not ends:
            return ()
        external = []
        for cause in dict.fromkeys((self._received, *around, *ends)):
            if cause is None or cause.event_id not in causes:
                continue
            if cause.lamport_clock > self._witnessed:
                self._witness(cause.lamport_clock)
                self._witnessed = cause.lamport_clock
            if cause.log_id != self.log_id:
                external.append(cause.text)
        return tuple(external)

    def handed_on(self, event: Event) -> PassedCause | None:
        """Returns an event of this log as another log names it; None while the log has no id."""
        return parse_cause(f"{event.event_id}@{event.lamport_clock}@{self.log_id}")


# of exceptions that hang together, and of ends on one of them; more would not fit into a line
ERRORS_MAX = ENDS_MAX = CAUSES_MAX
_KEY = "_thence_ends"
# the attributes of an exception, whatever its class makes of __getattr__, __setattr__ or __dict__
_members: Callable[[BaseException], dict[str, Any]] = vars(BaseException)["__dict__"].__get__
_R = TypeVar("_R")


class PassedEnds(tuple[tuple[TracebackType, PassedCause], ...]):
    """The ends of the steps that one exception has left, the latest last.

    An exception that is pickled or copied deeply takes none of them along.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[type[tuple[object, ...]], tuple[()]]:
        return tuple, ()


# the ends in hand of the code that work is done for, and what this thread handled at its begin
_carried: ContextVar[tuple[tuple[PassedCause, ...], BaseException | None]] = ContextVar(
    "thence_ends", default=((), None)
)


def remember_end(
    error: BaseException, traceback: TracebackType | None, end: PassedCause | None
) -> None:
    """Notes on an exception that it has left a step, with the traceback that it had there.

    Nothing is noted while the step's log has no id, for another log could not name the end.
    """
    entry = traceback or error.__traceback__
    # contextlib takes the entries of its generators off the traceback
    while entry is not None and entry.tb_next is not None and is_manager(entry.tb_frame):
        entry = entry.tb_next
    if entry is not None and end is not None:
        passed = _members(error).get(_KEY, ())
        _members(error)[_KEY] = PassedEnds((*passed, (entry, end))[-ENDS_MAX:])


def ends_in_hand() -> tuple[PassedCause, ...]:
    """Returns the ends of steps whose exception is being handled where this is called.

    These are the exception, those in its chain of `__cause__` and `__context__`, and the members
    of a group, the nearest first; of each the latest end in each log. Each append calls it.
    """
    error = sys.exception()
    carried, before = _carried.get()
    if error is None or error is before:
        return carried
    ends: list[PassedCause] = []
    chain, seen = [error], {id(error)}
    for linked in chain:
        if passed := _members(linked).get(_KEY):
            entries: set[TracebackType] = set()
            entry = linked.__traceback__
            while entry is not None:
                entries.add(entry)
                entry = entry.tb_next
            ends += {end.log_id: end for around, end in passed if around in entries}.values()
        members = linked.exceptions if isinstance(linked, BaseExceptionGroup) else ()
        for other in (linked.__cause__, linked.__context__, *members):
            if other is not None and id(other) not in seen and len(chain) < ERRORS_MAX:
                seen.add(id(other))
                chain.append(other)
    return tuple(dict.fromkeys(ends)) if ends else ()


def carrying(ends: tuple[PassedCause, ...], work: Callable[[], _R]) -> _R:
    """Runs work with the ends that were in hand elsewhere."""
    token = _carried.set((ends, sys.exception()))
    try:
        return work()
    finally:
        _carried.reset(token)
