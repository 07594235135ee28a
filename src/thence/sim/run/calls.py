"""Calls of components, async or not, in any mix, and the waits for their answers.

A call runs on the thread of the event loop, unless its component blocks: one that took over
`SLOW_S` in a call, or has a timeout, is called in a daemon thread. Answers come back in the
order of the calls, whatever thread they were made in.

A watching thread looks twice a second, so that it names a component also while that component
blocks the thread of the event loop. A call costs the loop nothing for it: the place of the call
that goes on is the number of answers so far.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import copy_context
from inspect import CORO_CREATED
from threading import Event, Thread, current_thread
from time import monotonic, perf_counter
from types import GeneratorType
from typing import Any, Literal, TypeVar, cast

import msgspec

from thence.errors import ThenceError
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.record.writer import logger

LOOK_EVERY_S = 0.5
NAMED_AFTER_S = 2.0
RECORDED_AFTER_S = 10.0
_WATCH_THREAD = "thence-waits"
_JOIN_S = 1.0
_COMPONENT_THREAD = "thence-component"
T = TypeVar("T")
CONCURRENT_MAX = 64
THREADS_MAX = 32
# four times as long as Python lets another thread run: a call that waits for its turn isn't slow
SLOW_S = 0.02
# so many quick calls one after another bring a component back to the loop's thread
QUICK_CALLS = 20
_MARK = "_thence_fault"
Calls = Iterable[tuple[Callable[..., Any], tuple[object, ...]]]
TimeoutOf = Callable[[int], float | None]


class RunWait(msgspec.Struct, frozen=True, kw_only=True):
    """The component that has kept a run waiting for longest, in `turn`; 0 is before the first.

    `others` counts further components that the run waits for, `waited_s` are seconds.
    """

    turn: int
    max_turns: int
    component: str
    waited_s: float
    others: int


# called in the watching thread: with what the run waits for, and with None when that has ended
OnWait = Callable[[RunWait | None], None]
ComponentOf = Callable[[int], str]


class Wait(msgspec.Struct, eq=False):
    """The wait for the answer of one call; `task` is the one that awaits it, if any."""

    component: str
    since_s: float
    task: "asyncio.Task[Any] | None" = None
    is_recorded: bool = False


class LoopCalls(msgspec.Struct, frozen=True, eq=False):
    """Calls that are made one after another on the loop's thread; `answers` grows with them."""

    component_of: ComponentOf
    count: int
    answers: Sequence[object]


class Waits:
    """The waits of one run; only the loop's thread begins and ends them, any thread may look.

    `asked` is what the loop's thread is calling now, None between such calls.
    """

    def __init__(self) -> None:
        self.asked: LoopCalls | None = None
        self._pending: dict[Wait, None] = {}
        self._seen: tuple[LoopCalls, int, Wait] | None = None

    @contextmanager
    def waiting_for(self, component: str) -> Iterator[Wait]:
        """Counts the block as a wait for a component."""
        wait = Wait(component, monotonic())
        self._pending[wait] = None
        try:
            yield wait
        finally:
            del self._pending[wait]

    def longer_than(self, time_s: float) -> list[Wait]:
        """Returns the waits that have lasted so long, the oldest first.

        An async method that blocks the loop's thread keeps all others waiting: it comes first.
        """
        pending = [*self._pending]  # one step, in which no other thread changes it
        waits = [*pending, *self._on_loop_thread()]
        end_s = monotonic() - time_s
        old = [wait for wait in waits if wait.since_s <= end_s]
        old.sort(key=lambda wait: (not _runs_now(wait), wait.since_s))
        return old

    def _on_loop_thread(self) -> list[Wait]:
        """Returns the wait for the call on the loop's thread, since it was seen first."""
        calls = self.asked
        if calls is None:
            return []
        place = len(calls.answers)
        seen = self._seen
        if seen is None or seen[0] is not calls or seen[1] != place:
            if place >= calls.count:
                return []
            wait = Wait(calls.component_of(place), monotonic())
            self._seen = seen = (calls, place, wait)
        return [seen[2]]


class Watch:
    """The thread that reports waits, by a log record and by `on_wait`; entered in the run's loop.

    It wakes the loop too: a signal whose handler in C ran before the loop slept, or in another
    thread, would else not be handled before something else wakes the loop.
    """

    def __init__(
        self,
        waits: Waits,
        turn_of: Callable[[], tuple[int, int]],
        on_wait: OnWait | None = None,
    ) -> None:
        self._waits = waits
        self._turn_of = turn_of
        self._on_wait = on_wait
        self._is_named = False
        self._loop: asyncio.AbstractEventLoop
        self._ended = Event()
        self._thread = Thread(target=self._watch, name=_WATCH_THREAD, daemon=True)

    def __enter__(self) -> "Watch":
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if current_thread() is not self._thread:
            self._thread.join(_JOIN_S)  # a daemon, which may hang in writing to a stuck terminal

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self._loop.call_soon_threadsafe(lambda: None)
            for wait in self._waits.longer_than(RECORDED_AFTER_S):
                if not wait.is_recorded:
                    wait.is_recorded = True
                    waited_s = round(monotonic() - wait.since_s)
                    logger().warning("still_waiting", component=wait.component, waited_s=waited_s)
            if self._on_wait is not None:
                try:
                    self._name(self._on_wait)
                except Exception as error:  # door: the host's own callback
                    self._on_wait = None
                    logger().error("on_wait_failed", error=f"{type(error).__name__}: {error}")

    def _name(self, on_wait: OnWait) -> None:
        waits = self._waits.longer_than(NAMED_AFTER_S)
        if waits:
            turn, turns_max = self._turn_of()
            waited_s = monotonic() - waits[0].since_s
            on_wait(
                RunWait(
                    turn=turn,
                    max_turns=turns_max,
                    component=waits[0].component,
                    waited_s=waited_s,
                    others=0 if _runs_now(waits[0]) else len(waits) - 1,
                )
            )
        elif self._is_named:
            on_wait(None)
        self._is_named = bool(waits)


def _runs_now(wait: Wait) -> bool:
    """Reports whether an awaited call runs on the loop's thread at this moment."""
    task = wait.task
    return task is not None and asyncio.current_task(task.get_loop()) is task


class CallEnd(msgspec.Struct, frozen=True):
    """The end of a call in a thread: its answer or its error, and the time that it took."""

    answer: Any
    error: BaseException | None
    time_s: float


def taken_whole(answer: Any) -> Any:
    """Returns the values of a generator, any other answer as it is.

    A generator's values run its component's code, which may block, hang or raise: they are taken
    within the call, where that is provided for.
    """
    if type(answer) is GeneratorType:
        is_awaited = answer.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE
        return answer if is_awaited else tuple(answer)
    return answer


def in_new_thread(call: Callable[..., object], arguments: tuple[object, ...]) -> "Future[CallEnd]":
    """Starts a call in a daemon thread of its own, with the caller's context variables.

    The standard library's pool would keep the program waiting at its end for components that hang,
    one of our own would spare each call 35 µs (117 and 82 µs, of 200 agents with a timeout). The
    caller bounds the number of threads.
    """
    future: Future[CallEnd] = Future()
    future.set_running_or_notify_cancel()

    def work(run: Callable[[Callable[[], object]], object]) -> None:
        answer, error, started_s = None, None, perf_counter()
        try:
            answer = run(lambda: taken_whole(call(*arguments)))
        except BaseException as raised:  # door: it is raised where the call's answer is awaited
            error = raised
        future.set_result(CallEnd(answer, error, perf_counter() - started_s))

    thread = Thread(target=work, args=(copy_context().run,), name=_COMPONENT_THREAD, daemon=True)
    thread.start()
    return future


class ComponentRef(msgspec.Struct, frozen=True):
    """A component that is called, maybe for an agent, with the ids of the causes of the call."""

    name: str
    causes: Callable[[], Iterable[str]] = tuple
    agent: str | None = None


class CallFailure(msgspec.Struct, frozen=True):
    """A call without a usable answer."""

    kind: Literal["raised", "timed_out", "nonsense"]
    error: Exception


class Caller:
    """The caller of a run's components, which knows those that block.

    At most `threads_max` calls are in threads at a time, besides those that were abandoned. With 0
    only components with a timeout are called in a thread, one after another. `waits` are the calls
    without an answer yet.
    """

    def __init__(self, threads_max: int = THREADS_MAX, waits: Waits | None = None) -> None:
        self._threads_max = threads_max
        self._waits = waits or Waits()
        # by the id of a component, with the component, whose id is its own as long as it lives
        self._quick_calls: dict[int, tuple[object, int]] = {}
        self._abandoned: dict[int, tuple[object, Future[CallEnd]]] = {}
        # those of answers that were none to be awaited, nor generators
        self._plain_types: set[type] = {type(None)}

    async def ask_one(self, component: ComponentRef, call: Callable[[], T | Awaitable[T]]) -> T:
        """Returns the result of a call, awaited if needed; errors are marked with the component."""
        self._waits.asked = LoopCalls(lambda place: component.name, 1, ())
        try:
            answer = call()
            if not inspect.isawaitable(answer):
                return answer
            self._waits.asked = None
            with self._waits.waiting_for(component.name) as wait:
                wait.task = asyncio.current_task()
                return await cast(Awaitable[T], answer)
        except Exception as error:
            mark_error(error, component)
            raise
        finally:
            self._waits.asked = None

    async def ask(
        self,
        calls: Calls,
        component_at: Callable[[int], ComponentRef],
        count: int,
        *,
        timeout_of: TimeoutOf | None = None,
        collects: bool = False,
        threads_max: int | None = None,
    ) -> list[Any]:
        """Returns the answers of `count` calls, in their order; awaitables run concurrently.

        At most `CONCURRENT_MAX` run at a time, besides those that ask models, which the endpoints'
        settings limit. With `collects` an error, or a call that took
        longer than its timeout in seconds, is a CallFailure in the list. Else the error is raised,
        marked with the component of its call: at once on the loop's thread, the others in the order
        of the calls when all have ended.
        """
        answers: list[Any] = []
        threaded: dict[int, Coroutine[Any, Any, Any]] = {}
        slots = asyncio.Semaphore(max(1, threads_max or self._threads_max))
        limit = asyncio.Semaphore(CONCURRENT_MAX)
        plain_types = self._plain_types
        self._waits.asked = LoopCalls(lambda place: component_at(place).name, count, answers)
        before_s = perf_counter()
        try:
            for place, (call, arguments) in enumerate(calls):
                timeout_s = timeout_of(place) if timeout_of else None
                if (timeout_s is not None or self._quick_calls) and self._is_for_thread(
                    call, timeout_s
                ):
                    wait = _Pending(component_at(place), timeout_s, self._waits)
                    threaded[place] = self._in_thread(slots, limit, call, arguments, wait)
                    answers.append(None)
                    before_s = perf_counter()
                    continue
                try:
                    answer = call(*arguments)
                    is_plain = type(answer) in plain_types
                    if not is_plain:
                        answer = taken_whole(answer)
                except Exception as error:  # door: a policy decides on what an agent raises
                    mark_error(error, component_at(place))
                    if not collects:
                        raise
                    answer, is_plain = CallFailure("raised", error), True
                if not is_plain and not _is_awaitable(answer):
                    plain_types.add(type(answer))
                elif not is_plain:
                    wait = _Pending(component_at(place), timeout_s, self._waits)
                    gate = nullcontext() if _asks_models(call) else limit
                    threaded[place] = _await_within(gate, answer, wait)
                answers.append(answer)
                after_s = perf_counter()
                if after_s - before_s > SLOW_S and self._threads_max:
                    component = _component_of(call)
                    self._quick_calls[id(component)] = (component, 0)
                before_s = after_s
        except BaseException:
            _close_coroutines([*answers, *threaded.values()])
            raise
        finally:
            self._waits.asked = None
        if threaded:
            await _fill_in(answers, threaded, collects)
        return answers

    def _is_for_thread(self, call: Callable[..., object], timeout_s: float | None) -> bool:
        if timeout_s is not None and not inspect.iscoroutinefunction(call):
            return True
        return bool(self._quick_calls) and id(_component_of(call)) in self._quick_calls

    async def _in_thread(
        self,
        slots: asyncio.Semaphore,
        limit: asyncio.Semaphore,
        call: Callable[..., object],
        arguments: tuple[object, ...],
        wait: "_Pending",
    ) -> object:
        """Returns the answer of a call in a thread; the component's abandoned call ends first."""
        component = _component_of(call)
        key = id(component)
        async with slots:
            if (abandoned := self._abandoned.get(key)) is not None:
                if not await wait.until_done(asyncio.wrap_future(abandoned[1])):
                    return wait.failure()
                del self._abandoned[key]
            future = in_new_thread(call, arguments)
            if not await wait.until_done(asyncio.wrap_future(future)):
                self._abandoned[key] = (component, future)
                return wait.failure()
        end = future.result()
        if key in self._quick_calls:
            count = self._quick_calls[key][1] + 1 if end.time_s < SLOW_S else 0
            self._quick_calls[key] = (component, count)
            if count >= QUICK_CALLS:
                del self._quick_calls[key]
        if isinstance(end.error, Exception):
            mark_error(end.error, wait.component)
            return CallFailure("raised", end.error)
        if end.error is not None:
            raise end.error
        if _is_awaitable(end.answer):
            return await _await_within(limit, cast(Awaitable[object], end.answer), wait)
        return end.answer


class _Pending(msgspec.Struct, frozen=True):
    """The terms on which one call's answer is waited for."""

    component: ComponentRef
    timeout_s: float | None
    waits: Waits

    async def until_done(self, future: "asyncio.Future[Any]") -> bool:
        """Waits for a future; without a result in time it is cancelled and False returned."""
        with self.waits.waiting_for(self.component.name) as wait:
            wait.task = future if isinstance(future, asyncio.Task) else None
            try:
                await asyncio.wait({future}, timeout=self.timeout_s)
            finally:
                is_done = future.done()
                if not is_done:
                    future.cancel()
                    future.add_done_callback(_take_error)
        return is_done

    def failure(self) -> CallFailure:
        """Returns the failure of a call that was not answered in time."""
        place, cause = f"of {self.component.name}", f"it gave none within {self.timeout_s:g} s"
        hint = "raise timeout_s, or let the run go on with on_agent_error: skip"
        error = ThenceError("could not get an answer", place=place, cause=cause, hint=hint)
        mark_error(error, self.component)
        return CallFailure("timed_out", error)


async def _fill_in(
    answers: list[Any], pending: dict[int, Coroutine[Any, Any, Any]], collects: bool
) -> None:
    """Awaits what is pending, each for its place among the answers."""
    places = sorted(pending)
    awaited = [pending[place] for place in places]
    try:
        outcomes = await asyncio.gather(*awaited, return_exceptions=True)
    finally:
        _close_coroutines(answers)  # where a call was cancelled at once
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
            raise outcome  # an error that the component raised is a CallFailure
        if isinstance(outcome, CallFailure) and not (collects and is_of_agent(outcome.error)):
            raise outcome.error
        answers[place] = outcome


async def _await_within(
    limit: AbstractAsyncContextManager[None], pending: Awaitable[object], wait: _Pending
) -> object:
    async with limit:
        try:
            if wait.timeout_s is None:
                with wait.waits.waiting_for(wait.component.name) as counted:
                    counted.task = asyncio.current_task()
                    return await pending
            task = asyncio.ensure_future(pending)
            return task.result() if await wait.until_done(task) else wait.failure()
        except Exception as error:  # door: a policy decides on what an agent raises
            mark_error(error, wait.component)
            return CallFailure("raised", error)


def is_of_agent(error: Exception) -> bool:
    """Reports whether a policy decides on an error of an agent; others pause the run."""
    return not isinstance(error, ModelsUnavailable)


def _take_error(future: "asyncio.Future[Any]") -> None:
    """Takes the error of an abandoned call, which else the event loop reports."""
    if not future.cancelled():
        future.exception()


def _component_of(call: Callable[..., object]) -> object:
    return getattr(call, "__self__", call)


def _asks_models(call: Callable[..., object]) -> bool:
    return bool(getattr(_component_of(call), "asks_models", False))


def _is_awaitable(answer: object) -> bool:
    return hasattr(type(answer), "__await__") or (
        type(answer) is GeneratorType and inspect.isawaitable(answer)
    )


def mark_error(error: Exception, component: ComponentRef) -> None:
    """Marks an error with the component that raised it; the first, innermost mark stays."""
    if _MARK not in error.__dict__:
        error.add_note(component.name)
        error.__dict__[_MARK] = component


def take_mark(error: BaseException) -> ComponentRef | None:
    """Removes and returns the component that an error is marked with; None without a mark."""
    component: ComponentRef | None = error.__dict__.pop(_MARK, None)
    return component


def wrong_answer(
    component: ComponentRef, method: str, answer: object, kind: str, hint: str
) -> ThenceError:
    """Returns the error, marked, for what a method of a component returned in place of a kind."""
    place, cause = f"of {component.name}", f"{method} returned {answer!r:.80}, not {kind}"
    error = ThenceError("could not use the answer", place=place, cause=cause, hint=hint)
    mark_error(error, component)
    return error


def _close_coroutines(answers: Iterable[object]) -> None:
    """Closes coroutines that have not begun, and will not be awaited."""
    for answer in answers:
        if inspect.iscoroutine(answer) and inspect.getcoroutinestate(answer) == CORO_CREATED:
            answer.close()
