"""Steps: work that lasts, recorded when it begins and when it ends.

The begin is appended before the body runs and is the cause of all inside; the end is
appended when the body is left, however that happens. The error of a body goes on unchanged.
A task that was cancelled and a generator that was closed have not failed: their steps are
cancelled. The error remembers the end, which is a cause of what is appended while the error is
handled.
"""

import contextlib
import inspect
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from functools import wraps
from string import Formatter
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar, cast, overload

from msgspec import structs

from thence.core.codec import CAUSES_MAX
from thence.core.event import Cause, Event, id_of
from thence.core.nearest import did_you_mean
from thence.core.new_event import Causes, HostEvent, PassedCause, cause_ids
from thence.errors import EventTooLarge, InvalidEvent, ThenceError
from thence.log.causes import (
    CauseScope,
    OpenStep,
    StepLog,
    Words,
    carrying,
    current_actor,
    current_causes,
    current_passed,
    current_step,
    ends_in_hand,
    owning_generator_frame,
    record,
    remember_end,
)
from thence.log.files.disk import monotonic_ns, process_id
from thence.log.write.drafting import warn

MESSAGE_CHARACTERS_MAX = 2_000
_P = ParamSpec("_P")
_R = TypeVar("_R")


_FORMAT = 'name arguments of the function, as in subject="order/{order_id}"'
LogOfStep = StepLog | Callable[[], StepLog]
_OF_END = frozenset(("duration_s", "error_message", "error_type", "reason"))
# keywords of `append` that a payload given as keywords must not use
_NO_PAYLOAD = frozenset(
    ("begins", "caused_by", "ends", "event_id", "event_type", "guard", "payload", "timeout_s")
)


def because(*causes: Causes) -> "Because":
    """Names events as causes of all that is appended inside the block.

    Each cause is an event, a ULID, or several of these. The block reaches asyncio tasks begun
    inside it, and threads that were given its context (contextvars.copy_context). An inner
    block replaces the causes of an outer one. Without any event the block names none, or
    the one in THENCE_CAUSE. A block that is entered inside a generator counts while the generator
    runs, whichever task or thread resumes it, not while it is suspended; it reaches no task or
    thread begun inside. Raises InvalidEvent.
    """
    return Because(tuple(event_id for cause in causes for event_id in cause_ids(cause)))


class Because(contextlib.ContextDecorator):
    """A block of `because` or `carried`: a context manager, or a decorator of a function."""

    def __init__(
        self,
        causes: tuple[str, ...],
        passed: tuple[PassedCause, ...] = (),
        trace: tuple[str, str] | None = None,
    ) -> None:
        self._around = causes, passed, trace
        self._block: CauseScope | None = None

    def __enter__(self) -> None:
        if self._block is not None:
            raise InvalidEvent(
                "could not enter",
                place="a block of causes",
                cause="it is entered already",
                hint="call thence.because or thence.carried once more",
            )
        causes, passed, trace = self._around
        frame = owning_generator_frame(sys._getframe(1))
        self._block = CauseScope(causes, frame=frame, passed=passed, trace=trace)

    def __exit__(self, *_: object) -> None:
        if self._block is not None:
            self._block.leave()
            self._block = None

    def _recreate_cm(self) -> "Because":
        return Because(*self._around)


class TakenStep(Event):
    """A step as its block has it: the event that began it, which is told what ended it.

    It is a cause like any event, and equal to `begun`.
    """

    __slots__ = ("_end", "_facts", "_plain")

    def __init__(self, event: Event, plain: Callable[[dict[str, Any], str], Any]) -> None:
        super().__init__(event.line, event.header, event.vocabulary)
        self._plain = plain
        self._end: Event | ThenceError | None = None
        self._facts: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Event, (self.line, self.header, self.vocabulary)  # its end is told here

    def set(self, **facts: Any) -> None:
        """Adds to the payload of the step's end: `s.set(result="paid", tokens=812, cost=0.02)`.

        The values are those of a payload; of a name that is set twice the last one stays. They
        are recorded however the step ends. Raises InvalidEvent for other values, for a name
        that the end itself has, and behind the block.
        """
        clashing = sorted(_OF_END.intersection(facts))
        if clashing or self._end is not None:
            raise InvalidEvent(
                "could not add to the end of the step",
                place=f"{self.event_type} {self.event_id}",
                cause=f"{clashing[0]} is recorded by the step itself" if clashing else "it ended",
                hint="give it another name" if clashing else "call set inside the block",
            )
        self._facts.update(self._plain(facts, "set"))

    @property
    def begun(self) -> Event:
        """The event that began the step, by itself."""
        return Event(self.line, self.header, self.vocabulary)

    @property
    def ended(self) -> Event:
        """The event that ended the step, however it ended.

        Raises InvalidEvent while the step is open, or when its end could not be appended.
        """
        if isinstance(self._end, Event):
            return self._end
        open_here = "it is open, or a process that this one was forked from ends it"
        raise InvalidEvent(
            "could not name the end of the step",
            place=f"{self.event_type} {self.event_id}",
            cause=f"its end was not appended: {self._end}" if self._end else open_here,
            hint="read it after the step's block; inside, the step itself is a cause",
        ) from self._end


class Step:
    """Something that lasts: a context manager, sync and async, or a decorator.

    As a context manager it gives the event that began it, which has `begun`, that event by
    itself, and `ended`, the end, once the block is left. `thence.step` makes one.
    """

    def __init__(
        self,
        name: str | None,
        log: LogOfStep | None,
        words: Words,
        payload: Mapping[str, Any],
        retry_of: Cause | None = None,
        is_durable: bool = True,
    ) -> None:
        clashing = sorted(_NO_PAYLOAD.intersection(payload))
        if clashing:
            raise _refused(
                name,
                f"{clashing[0]} is a word of append that a step has no use for",
                "give the payload's key another name; causes go into `with thence.because(…)`",
            )
        if name is not None and (not isinstance(name, str) or not name):
            raise _refused(name, f"{name!r:.80} is not a name", "pass a name such as refund")
        self._name = name
        self._log = log
        self._words = words
        self._payload = payload
        self._retry_of = retry_of
        self._is_durable = is_durable
        self._block: CauseScope | None = None
        self._step: OpenStep | None = None
        self._taken: TakenStep | None = None

    def __enter__(self) -> TakenStep:
        step = self._begin(current_step())
        return self._enter(step, sys._getframe(1))

    def __exit__(
        self, _: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            end = self._end(error)
            if error is not None:
                remember_end(error, traceback, end)
        finally:
            self._leave()

    async def __aenter__(self) -> TakenStep:
        # looked up here: the thread has not the frames of this task
        outer = current_step()
        if not self._is_durable:
            return self._enter(self._begin(outer), sys._getframe(1))
        causes, passed = current_causes(), current_passed()

        def begin() -> OpenStep:
            around = CauseScope(causes, outer, passed=passed)
            try:
                return self._begin(outer)
            finally:
                around.leave()

        step, cancelled = await _in_thread(begin)
        taken = self._enter(step, sys._getframe(1))
        if cancelled is not None:
            await self.__aexit__(type(cancelled), cancelled, None)
            raise cancelled
        return taken

    async def __aexit__(
        self, _: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            end, cancelled = await _in_thread(lambda: self._end(error))
            if error is not None:
                # another task may have raised it meanwhile, with a traceback of its own
                error.__traceback__ = traceback or error.__traceback__
                remember_end(error, traceback, end)
        finally:
            self._leave()
        if cancelled is not None and error is None:
            raise cancelled

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Returns the function as a step that is taken anew with each call.

        A generator's step is begun when it is first asked, and lasts until it ends or is closed.
        """
        name = self._name or getattr(function, "__name__", None)
        if not callable(function) or isinstance(function, type | staticmethod | classmethod):
            raise _refused(
                name,
                f"{function!r:.80} is not a function",
                "decorate a function; under @staticmethod and @classmethod, not above",
            )
        filled = _filled_by(function, self._words, name)

        def fresh(args: tuple[object, ...], kwargs: Mapping[str, object]) -> Step:
            words = self._words if filled is None else filled(args, kwargs)
            return Step(name, self._log, words, self._payload, self._retry_of, self._is_durable)

        return cast(Callable[_P, _R], wraps(function)(_stepping(function, fresh)))

    def _begin(self, outer: OpenStep | None) -> OpenStep:
        """Appends the begin inside the step around it."""
        if self._name is None:
            raise _refused(None, "it has no name", 'pass one: `with thence.step("refund"):`')
        if self._step is not None:
            raise _refused(self._name, "it is being taken already", "call thence.step once more")
        log = self._found_log(outer)
        subject, actor, stream = self._words
        actor = current_actor() if actor is None else actor
        if outer is not None and outer.log is log:
            subject = outer.words[0] if subject is None else subject
            actor = outer.words[1] if actor is None else actor
        words = (subject, actor, stream)
        payload, before = self._payload, self._retry_of
        if before is not None:
            payload = {**payload, "retry_of": id_of(before)}
            if isinstance(before, TakenStep) and isinstance(before._end, Event):
                before = before._end
        new = HostEvent(f"{self._name}.begun", payload, *words, caused_by=before, begins=True)
        event = record(log, new, self._is_durable)
        inner: deque[str] = deque(maxlen=CAUSES_MAX - 1)
        cause = log.handed_on(event)
        return OpenStep(log, event, words, cause, inner, outer, process_id(), monotonic_ns())

    def _found_log(self, outer: OpenStep | None) -> StepLog:
        log = self._log
        if log is None:
            if outer is None:
                hint = "pass log=, what thence.open(path) returned, here or to a step around it"
                raise _refused(self._name, "no log is known here", hint)
            return outer.log
        log_of_step: object = log if isinstance(log, StepLog) or not callable(log) else log()
        if not isinstance(log_of_step, StepLog):
            hint = "pass what thence.open(path) returned, or a function that returns it"
            raise _refused(self._name, f"log={log_of_step!r:.80} is not an open log", hint)
        return log_of_step

    def _enter(self, step: OpenStep, frame: FrameType) -> TakenStep:
        self._step = step
        self._block = CauseScope((step.begun.event_id,), step, owning_generator_frame(frame))
        self._taken = TakenStep(step.begun, step.log.plain)
        return self._taken

    def _end(self, error: BaseException | None) -> PassedCause | None:
        """Appends the end, unless this is a forked child: the step is its parent's.

        The end names the begin, and the last ends of steps inside this one. It is returned as
        another log names it.
        """
        step, taken = self._step, self._taken
        if step is None or taken is None or step.process != process_id():
            return None
        word, of_error = _outcome(error)
        payload = {**taken._facts, **of_error}
        payload["duration_s"] = (monotonic_ns() - step.begun_ns) // 1_000 / 1_000_000
        begin_id = step.begun.event_id
        try:
            with because(begin_id):
                ended = self._appended_end(
                    step,
                    HostEvent(
                        f"{self._name}.{word}",
                        payload,
                        *step.words,
                        caused_by=(begin_id, *step.inner),
                        ends=begin_id,
                    ),
                )
        except ThenceError as failure:
            taken._end = failure
            if error is None:
                raise
            # the error of the body is raised; the end that could not be logged is reported here
            warn("step_not_ended", {"event_id": begin_id, "error": failure})
            return None
        taken._end = ended
        if step.outer is not None and step.outer.log is step.log:
            step.outer.inner.append(ended.event_id)
        if step.cause is None:
            return None
        return PassedCause(ended.event_id, ended.lamport_clock, step.cause.log_id)

    def _appended_end(self, step: OpenStep, new: HostEvent) -> Event:
        """Appends an end; without what `set` added, where that makes it too large for a line."""
        try:
            return record(step.log, new, self._is_durable)
        except EventTooLarge as failure:
            warn("step_end_cut", {"event_id": step.begun.event_id, "error": failure})
            kept = {key: value for key, value in (new.payload or {}).items() if key in _OF_END}
            was = f"the log refused the values of set: {failure.cause}"
            members = {"repairs": ({"path": "payload", "was": was},)}
            new = structs.replace(new, payload=kept, members=members)
            return record(step.log, new, self._is_durable)

    def _leave(self) -> None:
        self._step = self._taken = None
        if self._block is not None:
            self._block.leave()


def _stepping(
    function: Callable[..., Any],
    fresh: Callable[[tuple[object, ...], Mapping[str, object]], Step],
) -> Callable[..., Any]:
    """Returns a function that runs another one, of any kind, inside a fresh step."""

    async def awaited(*args: object, **kwargs: object) -> object:
        async with fresh(args, kwargs):
            return await function(*args, **kwargs)

    async def iterated(*args: object, **kwargs: object) -> AsyncIterator[object]:
        async with fresh(args, kwargs):
            items = function(*args, **kwargs)
            step, value = items.asend, None
            try:
                while True:
                    item = await step(value)
                    try:
                        step, value = items.asend, (yield item)
                    except GeneratorExit:
                        await items.aclose()
                        raise
                    except BaseException as error:  # boundary: what is thrown in goes on inside
                        step, value = items.athrow, error
            except StopAsyncIteration:
                return

    def generated(*args: object, **kwargs: object) -> Generator[Any, Any, Any]:
        with fresh(args, kwargs):
            return (yield from function(*args, **kwargs))

    def called(*args: object, **kwargs: object) -> object:
        with fresh(args, kwargs):
            return function(*args, **kwargs)

    if inspect.iscoroutinefunction(function):
        return awaited
    if inspect.isasyncgenfunction(function):
        return iterated
    return generated if inspect.isgeneratorfunction(function) else called


def _filled_by(
    function: Callable[..., object], words: Words, name: str | None
) -> Callable[[tuple[object, ...], Mapping[str, object]], Words] | None:
    """Returns what fills the arguments of a call into words, None if they name no argument.

    Raises InvalidEvent for a word that names another thing.
    """
    if not any(word and ("{" in word or "}" in word) for word in words):
        return None
    signature = inspect.signature(function)
    for word in filter(None, words):
        try:
            fields = [field for _, field, _, _ in Formatter().parse(word) if field is not None]
        except ValueError as error:
            raise _refused(name, f"{word!r:.80} is not a format: {error}", _FORMAT) from error
        for field in fields:
            root = re.split(r"[.\[]", field)[0]
            if root not in signature.parameters:
                near = did_you_mean(root, signature.parameters)
                cause = f"{word!r:.80} names {root or 'a number'}, no argument{near}"
                raise _refused(name, cause, _FORMAT)

    def filled(args: tuple[object, ...], kwargs: Mapping[str, object]) -> Words:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            subject, actor, stream = (word and word.format(**bound.arguments) for word in words)
        except (LookupError, AttributeError, ValueError, TypeError) as error:
            raise _refused(name, f"its words {words} fit no call: {error}", _FORMAT) from error
        return subject, actor, stream

    return filled


@overload
def step(name: Callable[_P, _R], /) -> Callable[_P, _R]: ...


@overload
def step(
    name: str | None = None,
    /,
    *,
    log: LogOfStep | None = None,
    subject: str | None = None,
    actor: str | None = None,
    stream: str | None = None,
    retry_of: Cause | None = None,
    durable: bool = True,
    **payload: Any,
) -> Step: ...


def step(
    name: str | Callable[_P, _R] | None = None,
    /,
    *,
    log: LogOfStep | None = None,
    subject: str | None = None,
    actor: str | None = None,
    stream: str | None = None,
    retry_of: Cause | None = None,
    durable: bool = True,
    **payload: Any,
) -> Step | Callable[_P, _R]:
    """Records something that lasts: its begin, its end, and the begin as cause of all inside.

    `with thence.step("refund", log=log, amount=12):` appends `refund.begun` with the payload
    before the body runs; after it `refund.ended`, `refund.failed` with `error_type` and
    `error_message`, or `refund.cancelled` when a cancelled task or a closed generator left the
    body; each with `duration_s`, the seconds that the body took, to the microsecond. The error
    continues unchanged. Each event is durable when the next line runs.
    `log` is an open log, or a function that returns one; without it the log of the step
    around is taken, and of a step in the same log its subject and actor, where none are given.
    Begin and end have the same subject, actor and stream. `async with` does the same and lets
    other tasks run in the meantime.

    `with thence.step(…) as s:` gives the begin, which is a cause like any event; `s.set(tokens=8)`
    adds to the payload of the end, and after the block `s.ended` is the end. `retry_of` names an
    earlier step, or an event, as a cause and in the payload. With `durable=False` begin and end
    are queued, as `emit` does, and appended where the queue is full.

    An event appended while the error of a step is handled (`sys.exception()`, one in its chain of
    `__cause__` and `__context__`, or a member of a group) has the step's end as cause too: in
    `except` and `finally`, of the same thread or task. Nothing else follows from order;
    `caused_by=s.ended` names an end elsewhere.

    `@thence.step`, `@thence.step("refund", log=log, subject="order/{order_id}")` decorate a
    function, a coroutine or a generator; its own name is the step's where none is given, and
    subject, actor and stream may name its arguments. A generator's step begins when its first
    item is asked for, and is a cause while it runs, not while it waits. Raises InvalidEvent, and
    what `append` raises; when the end can't be appended while an error passes, the error passes
    and a warning reports the failure. An end that `set` made too large is appended without that.
    """
    words = (subject, actor, stream)
    if callable(name):
        return Step(None, log, words, payload, retry_of, durable)(name)
    return Step(name, log, words, payload, retry_of, durable)


async def _in_thread(work: Callable[[], _R]) -> tuple[_R, BaseException | None]:
    """Runs blocking work to its end beside the event loop, and returns what it returns.

    A cancellation meanwhile does not stop it: it is returned beside.
    """
    import asyncio  # a program that is here has imported it

    cancelled: BaseException | None = None
    # the thread handles nothing: what this task has in hand goes with the work
    running = asyncio.ensure_future(asyncio.to_thread(carrying, ends_in_hand(), work))
    while not running.done():
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError as error:
            cancelled = error
    failure = running.exception()
    if cancelled is not None and failure is not None:
        raise cancelled from failure
    return running.result(), cancelled


def _outcome(error: BaseException | None) -> tuple[str, dict[str, Any]]:
    """Returns the outcome of a body, and the payload for its end."""
    if error is None:
        return "ended", {}
    try:
        message = str(error)[:MESSAGE_CHARACTERS_MAX]
    except Exception:  # boundary: the __str__ of a user's error may raise anything
        message = ""
    message = message.encode("utf-8", "backslashreplace").decode()
    if is_cancellation(error):
        return "cancelled", {"reason": message} if message else {}
    return "failed", {"error_type": type(error).__name__, "error_message": message}


def is_cancellation(error: BaseException) -> bool:
    """Reports whether an error cancels a task, or closes a generator, as dropping it does."""
    asyncio = sys.modules.get("asyncio")  # nobody raises its error without it
    is_cancelled = asyncio is not None and isinstance(error, asyncio.CancelledError)
    return is_cancelled or isinstance(error, GeneratorExit)


def _refused(name: object, cause: str, hint: str) -> InvalidEvent:
    place = f"step {name}" if name else "the step"
    return InvalidEvent("could not take", place=place, cause=cause, hint=hint)
