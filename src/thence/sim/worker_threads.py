"""Daemon threads for calls that block, reused from call to call.

A thread is a daemon, so that a call which never returns does not keep the program alive: the
standard library's thread pool waits for its threads when the program ends.
"""

import inspect
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from types import GeneratorType
from typing import Any

import msgspec

_NAME = "thence-component"


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


class _Job(msgspec.Struct, frozen=True):
    context: Context
    call: Callable[..., object]
    arguments: tuple[object, ...]
    future: "Future[CallEnd]"

    def work(self) -> CallEnd:
        started_s = perf_counter()
        try:
            answer, error = self.context.run(self._answer), None
        except BaseException as raised:  # door: it is raised where the call's answer is awaited
            answer, error = None, raised
        return CallEnd(answer, error, perf_counter() - started_s)

    def _answer(self) -> object:
        return taken_whole(self.call(*self.arguments))


_Jobs = SimpleQueue[_Job | None]


class _Idle:
    """The idle threads, each represented by the queue of its jobs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._queues: list[_Jobs] = []
        self._is_closed = False

    def take(self) -> _Jobs | None:
        with self._lock:
            return self._queues.pop() if self._queues else None

    def put(self, queue: _Jobs) -> None:
        with self._lock:
            self._queues.append(queue)
            if self._is_closed:
                queue.put(None)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for queue in self._queues:
                queue.put(None)


class WorkerThreads:
    """The threads of one run; idle ones end with the object, a hanging one with the program.

    The caller of `start` bounds their number.
    """

    def __init__(self) -> None:
        self._idle = _Idle()
        weakref.finalize(self, self._idle.close).atexit = False

    def start(self, call: Callable[..., object], arguments: tuple[object, ...]) -> Future[CallEnd]:
        """Starts a call in an idle thread or a new one, with the caller's context variables."""
        future: Future[CallEnd] = Future()
        future.set_running_or_notify_cancel()
        queue = self._idle.take()
        if queue is None:
            queue = SimpleQueue()
            Thread(target=_work, args=(queue, self._idle), name=_NAME, daemon=True).start()
        queue.put(_Job(copy_context(), call, arguments, future))
        return future


def _work(queue: _Jobs, idle: _Idle) -> None:
    while (job := queue.get()) is not None:
        end, future = job.work(), job.future
        del job
        idle.put(queue)
        future.set_result(end)
        del end, future
