"""Calls of components, async or not, in any mix, and the waits for their answers.

Plain methods are called one after another in one thread beside the event loop, where none runs, so
that they may run one. Where one has a timeout, or its component says that it blocks, it gets a
daemon thread of its own. Answers come back in the order of the calls. An interrupted run ends at
once: the call that goes on is abandoned in its thread.

A watching thread looks twice a second, so that it names a component also while that component
blocks a thread. A call costs nothing for it: the place of the call that goes on is the number of
answers so far.
"""

import asyncio
import inspect
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from contextvars import Context, copy_context
from inspect import CORO_CREATED
from math import inf
from queue import SimpleQueue
from threading import Event, Thread, current_thread
from time import monotonic
from typing import Any, Literal

import msgspec

from thence.errors import ThenceError
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.record.loggers import logger

LOOK_EVERY_S = 0.5
NAMED_AFTER_S = 2.0
RECORDED_AFTER_S = 10.0
_JOIN_S = 1.0
CONCURRENT_MAX = 64
_MARK = "_thence_fault"
Calls = Iterable[tuple[Callable[..., Any], tuple[object, ...]]]
# the seconds that a call may take, by its place: in a thread of its own, inf without a limit
TimeoutOf = Callable[[int], float | None]


def message_of(error: Exception) -> str:
    """Returns the text of an error, "" if it can't be read."""
    try:
        return str(error)
    except Exception:  # boundary: a user's error, whose code runs here
        return ""


def described(error: Exception) -> str:
    """Returns the text of an error behind its type; that of our own errors needs none."""
    text = message_of(error)
    return text if isinstance(error, ThenceError) else f"{type(error).__name__}: {text}"


class ComponentRef(msgspec.Struct, frozen=True):
    """A component that is called, maybe for an agent, with the ids of the causes of the call."""

    name: str
    causes: Callable[[], Iterable[str]] = tuple
    agent: str | None = None


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
ComponentAt = Callable[[int], ComponentRef]


class Wait(msgspec.Struct, eq=False):
    """The wait for the answer of one call; `task` is the one that awaits it, if any."""

    component: str
    since_s: float
    task: "asyncio.Task[Any] | None" = None
    is_recorded: bool = False

    @property
    def runs_now(self) -> bool:
        """True if an awaited call runs on the loop's thread at this moment."""
        return self.task is not None and asyncio.current_task(self.task.get_loop()) is self.task


class Asked(msgspec.Struct, eq=False):
    """Calls that are made one after another; `answers` grows with them."""

    component_at: ComponentAt
    count: int
    answers: list[Any]


class Waits:
    """The waits of one run; only the loop's thread begins and ends them, any thread may look.

    `asked` is what is called in the thread of plain methods, None between such calls.
    """

    def __init__(self) -> None:
        self.asked: Asked | None = None
        self._pending: dict[Wait, None] = {}
        self._seen: tuple[Asked, int, Wait] | None = None

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

        An async method that blocks the loop's thread keeps all others waiting: it comes first. A
        plain call waits since it was seen first.
        """
        waits = [*self._pending]  # one step, in which no other thread changes it
        asked, seen = self.asked, self._seen
        if asked is not None and (place := len(asked.answers)) < asked.count:
            if seen is None or seen[0] is not asked or seen[1] != place:
                wait = Wait(asked.component_at(place).name, monotonic())
                self._seen = seen = asked, place, wait
            waits.append(seen[2])
        end_s = monotonic() - time_s
        old = [wait for wait in waits if wait.since_s <= end_s]
        old.sort(key=lambda wait: (not wait.runs_now, wait.since_s))
        return old


@contextmanager
def watched(
    waits: Waits, turn_of: Callable[[], tuple[int, int]], on_wait: OnWait | None = None
) -> Iterator[None]:
    """Reports waits in a thread, by a log record and by `on_wait`; entered in the run's loop.

    `turn_of` returns the turn, and the last one at most. The thread wakes the loop too: a signal
    whose handler in C ran before the loop slept, or in another thread, would else not be handled
    before something else wakes the loop.
    """
    loop, ended = asyncio.get_running_loop(), Event()

    def watch() -> None:
        nonlocal on_wait
        is_named = False
        while not ended.wait(LOOK_EVERY_S):
            loop.call_soon_threadsafe(lambda: None)
            for wait in waits.longer_than(RECORDED_AFTER_S):
                if not wait.is_recorded:
                    wait.is_recorded = True
                    waited_s = round(monotonic() - wait.since_s)
                    logger().warning("still_waiting", component=wait.component, waited_s=waited_s)
            named, (turn, turns_max) = waits.longer_than(NAMED_AFTER_S), turn_of()
            run_wait = None
            if named:
                first, others = named[0], len(named) - 1
                run_wait = RunWait(
                    turn=turn,
                    max_turns=turns_max,
                    component=first.component,
                    waited_s=monotonic() - first.since_s,
                    others=0 if first.runs_now else others,
                )
            if on_wait is not None and (named or is_named):
                try:
                    on_wait(run_wait)
                except Exception as error:  # boundary: the host's own callback
                    on_wait = None
                    logger().error("on_wait_failed", error=f"{type(error).__name__}: {error}")
            is_named = bool(named)

    thread = Thread(target=watch, name="thence-waits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        if current_thread() is not thread:
            thread.join(_JOIN_S)  # a daemon, which may hang in writing to a stuck terminal


# a call's answer, or its error: asyncio's futures take no StopIteration
CallEnd = tuple[Any, BaseException | None]


def taken_whole(answer: Any) -> Any:
    """Returns the values of a generator or another iterator, any other answer as it is.

    An iterator's values run its component's code, which may block, hang or raise: they are taken
    within the call, where that is provided for.
    """
    is_lazy = isinstance(answer, Iterator) and not inspect.isawaitable(answer)
    return tuple(answer) if is_lazy else answer


class CallFailure(msgspec.Struct, frozen=True):
    """A call without a usable answer."""

    kind: Literal["raised", "timed_out", "nonsense"]
    error: Exception


# a call in a thread, with the future of its end
Job = tuple[Context, Callable[[], object], "asyncio.Future[CallEnd]"]


def _work(jobs: "SimpleQueue[Job | None]") -> None:
    """Makes calls in a thread, until there comes None."""

    def end(future: "asyncio.Future[CallEnd]", call_end: CallEnd) -> None:
        if not future.done():
            future.set_result(call_end)

    while (job := jobs.get()) is not None:
        context, call, future = job
        try:
            call_end: CallEnd = context.run(call), None
        except BaseException as raised:  # boundary: it is raised where the answer is awaited
            call_end = None, raised
        with suppress(RuntimeError):  # the loop of an interrupted run is closed
            future.get_loop().call_soon_threadsafe(end, future, call_end)
        del job, context, call, future, call_end  # nothing is kept until the next one


class Worker:
    """A daemon thread that makes calls one after another, until nobody has the worker any more.

    The standard library's pool would keep the program waiting at its end for components that hang,
    one of our own would spare each call 35 µs (117 and 82 µs, of 200 agents with a timeout).
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        weakref.finalize(self, self._jobs.put, None)
        Thread(target=_work, args=(self._jobs,), name="thence-component", daemon=True).start()

    def call(self, call: Callable[[], object]) -> "asyncio.Future[CallEnd]":
        """Starts a call with the caller's context variables; the future is of the running loop."""
        future: asyncio.Future[CallEnd] = asyncio.get_running_loop().create_future()
        self._jobs.put((copy_context(), call, future))
        return future


class Caller:
    """The caller of a run's components.

    At most `threads_max` calls are in threads of their own at a time, besides those that were
    abandoned; with 0 they are there one by one. `waits` are the calls without an answer yet.
    """

    def __init__(self, threads_max: int = 32, waits: Waits | None = None) -> None:
        self._threads_max = max(1, threads_max)
        self._waits = waits or Waits()
        # the last call in a thread by the id of its component, with it: so its id stays its own
        self._last: dict[int, tuple[object, asyncio.Future[CallEnd]]] = {}
        # those of answers that were none to be awaited, nor iterators
        self._plain_types: set[type] = {type(None)}
        self._worker: Worker | None = None

    async def beside(self, call: Callable[[], Any], *, joins: bool = False) -> Any:
        """Returns what a plain call returns, in the thread beside the loop.

        With `joins` an interruption waits a second for its end, as it may still write.
        """
        self._worker = self._worker or Worker()
        future = self._worker.call(call)
        try:
            answer, error = await (asyncio.shield(future) if joins else future)
        except asyncio.CancelledError:
            if joins:
                await asyncio.wait({future}, timeout=_JOIN_S)
            raise
        if error is not None:
            raise error
        return answer

    async def ask_one(self, component: ComponentRef, call: Callable[[], Any]) -> Any:
        """Returns the engine's answer, awaited if needed; errors are marked with the component."""
        return (await self.ask([(call, ())], lambda place: component, 1, joins=True))[0]

    async def ask(
        self,
        calls: Calls,
        component_at: ComponentAt,
        count: int,
        *,
        timeout_of: TimeoutOf | None = None,
        collects: bool = False,
        threads_max: int | None = None,
        joins: bool = False,
    ) -> list[Any]:
        """Returns the answers of `count` calls, in their order; awaitables run concurrently.

        At most `CONCURRENT_MAX` run at a time, besides those that ask models, which the endpoints'
        settings limit. Plain methods that have a timeout, or block, are called in threads. With
        `collects` an error, or a call that took longer than its timeout in seconds, is a
        CallFailure in the list. Else the error is raised, marked with the component of its call:
        at once of a plain call, the others in the order of the calls when all have ended.
        """
        answers, pending = list[Any](), dict[int, Coroutine[Any, Any, Any]]()
        slots = asyncio.Semaphore(threads_max or self._threads_max)
        limit, plain_types = asyncio.Semaphore(CONCURRENT_MAX), self._plain_types
        is_over = False

        def call_each() -> None:
            for place, (call, arguments) in enumerate(calls):
                timeout_s = None if timeout_of is None else timeout_of(place)
                in_thread = timeout_s is not None and not inspect.iscoroutinefunction(call)
                try:
                    answer = self._in_thread(call, arguments) if in_thread else call(*arguments)
                    is_plain = type(answer) in plain_types
                    if not is_plain:
                        answer = taken_whole(answer)
                except Exception as error:  # boundary: a policy decides on what an agent raises
                    mark_error(error, component_at(place))
                    if not collects:
                        raise
                    answer, is_plain = CallFailure("raised", error), True
                if not is_plain and inspect.isawaitable(answer):
                    asks_models = getattr(_component_of(call), "asks_models", False)
                    gate = slots if in_thread else nullcontext() if asks_models else limit
                    name = component_at(place).name
                    pending[place] = self._awaited(answer, name, timeout_s, gate)
                elif not is_plain:
                    plain_types.add(type(answer))
                answers.append(answer)
                if is_over:  # the run was interrupted meanwhile
                    close()
                    return

        def close() -> None:
            for answer in [*answers, *pending.copy().values()]:  # what is not awaited any more
                if (
                    inspect.iscoroutine(answer)
                    and inspect.getcoroutinestate(answer) == CORO_CREATED
                ):
                    answer.close()

        self._waits.asked = Asked(component_at, count, answers)
        try:
            await self.beside(call_each, joins=joins)
            tasks = {place: asyncio.ensure_future(pending[place]) for place in pending}
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            for place, task in tasks.items():
                error = task.exception()
                failed = CallFailure("raised", error) if isinstance(error, Exception) else None
                answer = failed or task.result()
                if isinstance(answer, CallFailure):
                    mark_error(answer.error, component_at(place))
                    if not collects or isinstance(answer.error, ModelsUnavailable):
                        raise answer.error
                answers[place] = answer
        except BaseException:
            is_over = True
            close()
            raise
        finally:
            self._waits.asked = None
        return answers

    async def _in_thread(
        self, call: Callable[..., object], arguments: tuple[object, ...]
    ) -> object:
        """Returns the answer of a call in a thread; the component's abandoned call ends first."""
        component = _component_of(call)
        _, last = self._last.get(id(component), (None, None))
        if last is not None and not last.done():
            await asyncio.wait({last})
        future = Worker().call(lambda: taken_whole(call(*arguments)))
        self._last[id(component)] = component, future
        answer, error = await asyncio.shield(future)
        if isinstance(error, Exception):
            return CallFailure("raised", error)
        if error is not None:
            raise error
        return await answer if inspect.isawaitable(answer) else answer

    async def _awaited(
        self,
        answer: Awaitable[object],
        name: str,
        timeout_s: float | None,
        gate: AbstractAsyncContextManager[None],
    ) -> object:
        """Returns what an answer comes to, a CallFailure if not in time; `gate` lets it begin."""
        async with gate:
            with self._waits.waiting_for(name) as wait:
                if timeout_s in (None, inf):
                    wait.task = asyncio.current_task()
                    return await answer
                wait.task = task = asyncio.ensure_future(answer)
                try:
                    await asyncio.wait({task}, timeout=timeout_s)
                finally:
                    if not (is_done := task.done()):
                        task.cancel()
                        # its error, which else the event loop reports
                        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        if is_done:
            return task.result()
        place, cause = f"of {name}", f"it gave none within {timeout_s:g} s"
        hint = "raise timeout_s, or let the run continue with on_agent_error: skip"
        error = ThenceError("could not get an answer", place=place, cause=cause, hint=hint)
        return CallFailure("timed_out", error)


def _component_of(call: Callable[..., object]) -> object:
    return getattr(call, "__self__", call)


def overrides(component: object, base: type, method: str) -> bool:
    """Reports whether a component has a method of its own, in place of its base's."""
    return getattr(getattr(component, method), "__func__", None) is not getattr(base, method)


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
