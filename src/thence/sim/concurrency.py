"""Calls of components, async or not, in any mix.

A call runs on the thread of the event loop, unless its component blocks: one that took over
`SLOW_S` in a call, or has a timeout, is called in a daemon thread. Answers come back in the
order of the calls, whatever thread they were made in.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import perf_counter
from types import GeneratorType
from typing import Any, Literal, TypeVar, cast

import msgspec

from thence.errors import ThenceError
from thence.sim.waits import LoopCalls, Waits
from thence.sim.worker_threads import CallEnd, WorkerThreads, taken_whole

T = TypeVar("T")
CONCURRENT_MAX = 64
THREADS_MAX = 32
SLOW_S = 0.005
# so many quick calls one after another bring a component back to the loop's thread
QUICK_CALLS = 20
_MARK = "_thence_fault"

Calls = Iterable[tuple[Callable[..., Any], tuple[object, ...]]]
TimeoutOf = Callable[[int], float | None]


class Part(msgspec.Struct, frozen=True):
    """A part of a run: a call of a component, maybe for an agent, with the ids of its causes."""

    component: str
    causes: Callable[[], Iterable[str]] = tuple
    agent: str | None = None


class Fault(msgspec.Struct, frozen=True):
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
        self._threads = WorkerThreads()
        # by the id of a component, with the component, whose id is its own as long as it lives
        self._quick_calls: dict[int, tuple[object, int]] = {}
        self._abandoned: dict[int, tuple[object, Future[CallEnd]]] = {}

    async def ask_one(self, part: Part, call: Callable[[], T | Awaitable[T]]) -> T:
        """Returns the result of a call, awaited if needed; an error is marked with the part."""
        self._waits.asked = LoopCalls(lambda place: part.component, 1, ())
        try:
            answer = call()
        except Exception as error:
            mark_error(error, part)
            raise
        finally:
            self._waits.asked = None
        if not inspect.isawaitable(answer):
            return answer
        with marking_errors(part), self._waits.waiting_for(part.component) as wait:
            wait.task = asyncio.current_task()
            return await cast(Awaitable[T], answer)

    async def ask(
        self,
        calls: Calls,
        part_of: Callable[[int], Part],
        count: int,
        *,
        timeout_of: TimeoutOf | None = None,
        collects: bool = False,
        threads_max: int | None = None,
    ) -> list[Any]:
        """Returns the answers of `count` calls, in their order; awaitables run concurrently.

        At most `CONCURRENT_MAX` run at a time. With `collects` an error, or a call that took
        longer than its timeout in seconds, is a Fault in the list. Else the error is raised,
        marked with the part of its call: at once on the loop's thread, the others in the order of
        the calls when all have ended.
        """
        answers: list[Any] = []
        threaded: dict[int, Coroutine[Any, Any, Any]] = {}
        slots = asyncio.Semaphore(max(1, threads_max or self._threads_max))
        limit = asyncio.Semaphore(CONCURRENT_MAX)
        self._waits.asked = LoopCalls(lambda place: part_of(place).component, count, answers)
        before_s = perf_counter()
        try:
            for place, (call, arguments) in enumerate(calls):
                timeout_s = timeout_of(place) if timeout_of else None
                if self._is_for_thread(call, timeout_s):
                    wait = _Wait(part_of(place), timeout_s, self._waits)
                    threaded[place] = self._in_thread(slots, limit, call, arguments, wait)
                    answers.append(None)
                    before_s = perf_counter()
                    continue
                try:
                    answer = taken_whole(call(*arguments))
                except Exception as error:  # door: a policy decides on what an agent raises
                    mark_error(error, part_of(place))
                    if not collects:
                        raise
                    answer = Fault("raised", error)
                if answer is not None and _is_awaitable(answer):
                    wait = _Wait(part_of(place), timeout_s, self._waits)
                    threaded[place] = _await_within(limit, answer, wait)
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
        wait: "_Wait",
    ) -> object:
        async with slots:
            answer = await self._answer_of_thread(call, arguments, wait)
        if _is_awaitable(answer):
            return await _await_within(limit, cast(Awaitable[object], answer), wait)
        return answer

    async def _answer_of_thread(
        self, call: Callable[..., object], arguments: tuple[object, ...], wait: "_Wait"
    ) -> object:
        """Returns the answer of a call in a thread; the component's abandoned call ends first."""
        component = _component_of(call)
        key = id(component)
        if (abandoned := self._abandoned.get(key)) is not None:
            if not await wait.until_done(asyncio.wrap_future(abandoned[1])):
                return wait.fault()
            del self._abandoned[key]
        future = self._threads.start(call, arguments)
        if not await wait.until_done(asyncio.wrap_future(future)):
            self._abandoned[key] = (component, future)
            return wait.fault()
        outcome = future.result()
        if key in self._quick_calls:
            count = self._quick_calls[key][1] + 1 if outcome.time_s < SLOW_S else 0
            self._quick_calls[key] = (component, count)
            if count >= QUICK_CALLS:
                del self._quick_calls[key]
        if isinstance(outcome.error, Exception):
            mark_error(outcome.error, wait.part)
            return Fault("raised", outcome.error)
        if outcome.error is not None:
            raise outcome.error
        return outcome.answer


class _Wait(msgspec.Struct, frozen=True):
    """The terms on which one call's answer is waited for."""

    part: Part
    timeout_s: float | None
    waits: Waits

    async def until_done(self, future: "asyncio.Future[Any]") -> bool:
        """Waits for a future; without a result in time it is cancelled and False returned."""
        with self.waits.waiting_for(self.part.component) as wait:
            wait.task = future if isinstance(future, asyncio.Task) else None
            try:
                await asyncio.wait({future}, timeout=self.timeout_s)
            finally:
                is_done = future.done()
                if not is_done:
                    future.cancel()
                    future.add_done_callback(_take_error)
        return is_done

    def fault(self) -> Fault:
        """Returns the fault of a call that was not answered in time."""
        error = ThenceError(
            "could not get an answer",
            place=f"of {self.part.component}",
            cause=f"it gave none within {self.timeout_s:g} s",
            hint="raise timeout_s, or let the run go on with on_agent_error: skip",
        )
        mark_error(error, self.part)
        return Fault("timed_out", error)


async def _fill_in(
    answers: list[Any], pending: dict[int, Coroutine[Any, Any, Any]], collects: bool
) -> None:
    """Awaits what is pending, each for its place among the answers."""
    places = sorted(pending)
    awaited = [pending[place] for place in places]
    outcomes = await asyncio.gather(*awaited, return_exceptions=True)
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
            raise outcome  # an error is what the component returned: one that it raised is a Fault
        if isinstance(outcome, Fault) and not collects:
            raise outcome.error
        answers[place] = outcome


async def _await_within(
    limit: asyncio.Semaphore, pending: Awaitable[object], wait: _Wait
) -> object:
    async with limit:
        try:
            if wait.timeout_s is None:
                with wait.waits.waiting_for(wait.part.component) as counted:
                    counted.task = asyncio.current_task()
                    return await pending
            task = asyncio.ensure_future(pending)
            return task.result() if await wait.until_done(task) else wait.fault()
        except Exception as error:  # door: a policy decides on what an agent raises
            mark_error(error, wait.part)
            return Fault("raised", error)


def _take_error(future: "asyncio.Future[Any]") -> None:
    """Takes the error of an abandoned call, which else the event loop reports."""
    if not future.cancelled():
        future.exception()


def _component_of(call: Callable[..., object]) -> object:
    return getattr(call, "__self__", call)


def _is_awaitable(answer: object) -> bool:
    return hasattr(type(answer), "__await__") or (
        type(answer) is GeneratorType and inspect.isawaitable(answer)
    )


def mark_error(error: Exception, part: Part) -> None:
    """Marks an error with the part that raised it; the first, innermost mark stays."""
    if _MARK not in error.__dict__:
        error.add_note(part.component)
        error.__dict__[_MARK] = part


@contextmanager
def marking_errors(part: Part) -> Iterator[None]:
    """Marks any error of the block with a part."""
    try:
        yield
    except Exception as error:
        mark_error(error, part)
        raise


def take_mark(error: BaseException) -> Part | None:
    """Removes and returns the part that an error is marked with; None without a mark."""
    part: Part | None = error.__dict__.pop(_MARK, None)
    return part


def _close_coroutines(answers: Iterable[object]) -> None:
    """Closes coroutines that will not be awaited."""
    for answer in answers:
        if inspect.iscoroutine(answer):
            answer.close()
