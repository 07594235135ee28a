"""The calls of a run's components that have no answer yet, and the thread that watches them.

The thread looks twice a second, so that it names a component also while that component blocks the
thread of the event loop. A call costs the loop nothing for it: the place of the call that goes on
is the number of answers so far.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread, current_thread, get_ident
from time import monotonic
from typing import Any

import msgspec

from thence.sim.result import RunWait

LOOK_EVERY_S = 0.5
NAMED_AFTER_S = 2.0
RECORDED_AFTER_S = 10.0
_NAME = "thence-waits"
_JOIN_S = 1.0
# the code that runs within a component's call and is not the component's
_COMPARING = "thence.sim.stored_steps"
COMPARISON = "the comparison with the recorded events"

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
        found = [*pending, *self._on_loop_thread()]
        end_s = monotonic() - time_s
        old = [wait for wait in found if wait.since_s <= end_s]
        old.sort(key=lambda wait: (not _runs_now(wait), wait.since_s))
        return old

    def _on_loop_thread(self) -> list[Wait]:
        """Returns the wait for the call on the loop's thread, since it was seen first."""
        asked = self.asked
        if asked is None:
            return []
        place = len(asked.answers)
        seen = self._seen
        if seen is None or seen[0] is not asked or seen[1] != place:
            if place >= asked.count:
                return []
            wait = Wait(asked.component_of(place), monotonic())
            self._seen = seen = (asked, place, wait)
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
        self._loop_thread = 0
        self._ended = Event()
        self._thread = Thread(target=self._watch, name=_NAME, daemon=True)

    def __enter__(self) -> "Watch":
        self._loop = asyncio.get_running_loop()
        self._loop_thread = get_ident()
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
                    _record(wait, self._name_of(wait))
            if self._on_wait is not None:
                try:
                    self._name(self._on_wait)
                except Exception as error:  # door: the host's own callback
                    self._on_wait = None
                    _record_failed_callback(error)

    def _name(self, on_wait: OnWait) -> None:
        waits = self._waits.longer_than(NAMED_AFTER_S)
        if waits:
            turn, turns_max = self._turn_of()
            waited_s = monotonic() - waits[0].since_s
            on_wait(
                RunWait(
                    turn=turn,
                    max_turns=turns_max,
                    component=self._name_of(waits[0]),
                    waited_s=waited_s,
                    others=0 if _runs_now(waits[0]) else len(waits) - 1,
                )
            )
        elif self._is_named:
            on_wait(None)
        self._is_named = bool(waits)

    def _name_of(self, wait: Wait) -> str:
        """Returns the component of a wait, or the comparison where that keeps it waiting."""
        frame = sys._current_frames().get(self._loop_thread)
        while frame is not None:
            if frame.f_globals.get("__name__") == _COMPARING:
                return COMPARISON
            frame = frame.f_back
        return wait.component


def _runs_now(wait: Wait) -> bool:
    """Reports whether an awaited call runs on the loop's thread at this moment."""
    task = wait.task
    return task is not None and asyncio.current_task(task.get_loop()) is task


def _record(wait: Wait, component: str) -> None:
    from thence.sim.log_messages import logger

    waited_s = round(monotonic() - wait.since_s)
    logger().warning("still_waiting", component=component, waited_s=waited_s)


def _record_failed_callback(error: Exception) -> None:
    from thence.sim.log_messages import logger

    logger().error("on_wait_failed", error=f"{type(error).__name__}: {error}")
