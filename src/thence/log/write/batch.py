"""What lies in the queue of a log, and how the outcome of a write is handed out to it."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from copy import copy
from itertools import islice, pairwise
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, cast

from thence.core.values.codec import Draft
from thence.errors import AppendFailed, LogBusy, ThenceError, WriterClosed
from thence.log.write.admission import Condition
from thence.log.write.latch import Latch
from thence.log.write.writer import Notice

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

Outcome = bytes | ThenceError
BATCH_EVENTS_MAX = 8_192
BATCH_BYTES_MAX = 8 * 1024 * 1024
_TAKE_EVENTS = 512
_GATE_OF_NOBODY = Latch()  # a task waits for its future


class Waiting:
    """Events whose caller waits: a thread at a gate, or a task for its future.

    Without drafts it is a flush. Threads are let go one after the other: each opens the
    gate of the next, for a hundred that wake at once would fight for the interpreter.
    """

    __slots__ = (
        "condition",
        "drafts",
        "error",
        "following",
        "future",
        "gate",
        "is_gone",
        "is_open",
        "outcomes",
        "tail",
        "thread",
    )

    def __init__(
        self,
        drafts: Sequence[Draft] = (),
        condition: Condition | None = None,
        future: "Future[None] | None" = None,
    ) -> None:
        self.drafts = drafts
        self.condition = condition
        self.future = future
        self.tail = drafts[0].tail if len(drafts) == 1 else b"".join([d.tail for d in drafts])
        self.thread = get_ident()
        self.gate = Latch() if future is None else _GATE_OF_NOBODY
        self.is_open = False
        self.is_gone = True  # until it waits: an exception may come in between
        self.following: Waiting | None = None
        self.outcomes: Sequence[Outcome] = ()
        self.error: ThenceError | None = None

    def wait(self, timeout_s: float) -> bool:
        """Waits in the caller's thread; False when `timeout_s` seconds passed first."""
        try:
            self.is_gone = False
            return self.is_open or self.gate.wait(timeout_s) or self.is_open
        finally:
            self.is_gone = True
            if self.is_open:
                try:
                    self._let_the_next_go()
                except BaseException:  # a signal handler raised amid it
                    self._let_the_next_go()
                    raise

    def let_go(self) -> None:
        """Ends the wait of a thread, or of those behind it if it has left."""
        self.is_open = True
        self.gate.open()
        if self.is_gone:
            self._let_the_next_go()

    def _let_the_next_go(self) -> None:
        following = self.following
        while following is not None:
            following.is_open = True
            following.gate.open()
            if not following.is_gone:
                return
            following = following.following

    def result(self) -> list[bytes]:
        """Returns the lines, or raises what kept one of them from being written."""
        lines: list[bytes] = []
        for outcome in self.outcomes:
            if isinstance(outcome, ThenceError):
                raise outcome
            lines.append(outcome)
        if self.error is not None:
            raise copy(self.error) from self.error.__cause__  # others of the batch share it
        return lines


Item = Draft | Waiting
_DRAFTS_ALONE = {Draft}


class RefusedEvents:
    """The events that the disk refused since the last write that went through."""

    def __init__(self) -> None:
        self.count = 0
        self.error: ThenceError = AppendFailed("could not append", cause="the log was closed")

    def notices(self, notice: Notice) -> list[Draft]:
        """Returns the notice that the log owes its reader, none when nothing was refused."""
        if not self.count:
            return []
        return [notice("write_failed", {"count": self.count, "reason": str(self.error)})]


def taken(queue: deque[Item]) -> list[Item]:
    """Takes all that is queued, up to 8,192 events or about 8 MiB."""
    pop = queue.popleft
    found: list[Item] = []
    size_bytes = 0
    while queue and len(found) < BATCH_EVENTS_MAX and size_bytes < BATCH_BYTES_MAX:
        some = [pop() for _ in range(min(len(queue), _TAKE_EVENTS))]
        size_bytes += sum([len(item.tail) for item in some])
        found += some
    return found


def drafts_of(items: list[Item]) -> list[Draft]:
    """Returns the events among the items, in order."""
    if set(map(type, items)) == _DRAFTS_ALONE:
        return cast(list[Draft], items)
    drafts: list[Draft] = []
    for item in items:
        if isinstance(item, Waiting):
            drafts += item.drafts
        else:
            drafts.append(item)
    return drafts


def emitted(items: list[Item]) -> list[Draft]:
    """Returns the events among the items that nobody waits for, in order."""
    if set(map(type, items)) == _DRAFTS_ALONE:
        return cast(list[Draft], items)
    return [item for item in items if not isinstance(item, Waiting)]


def conditions_of(items: Iterable[Item], place: int) -> dict[int, Condition]:
    """Returns the conditions of the items' events by their place, the first at `place`."""
    conditions: dict[int, Condition] = {}
    for item in items:
        if isinstance(item, Waiting):
            if item.condition is not None:
                span = len(item.drafts)
                conditions[place + span - 1] = item.condition._replace(span=span)
            place += len(item.drafts)
        else:
            place += 1
    return conditions


def split(items: list[Item], count: int) -> tuple[list[Item], list[Item]]:
    """Parts items behind those whose events are all among the first `count`.

    A flush belongs to what it waits for.
    """
    for position, item in enumerate(items):
        count -= len(item.drafts) if isinstance(item, Waiting) else 1
        if count < 0:
            return items[:position], items[position:]
    return items, []


def answer(items: Sequence[Item], outcomes: Iterable[Outcome], error: ThenceError | None) -> None:
    """Gives those who wait their outcomes, with the error if there is one, and lets them go."""
    if _DRAFTS_ALONE.issuperset(map(type, items)):
        return
    remaining = iter(outcomes)
    threads: list[Waiting] = []
    tasks: list[Waiting] = []
    for item in items:
        if isinstance(item, Waiting):
            item.outcomes = list(islice(remaining, len(item.drafts)))
            item.error = error
            (threads if item.future is None else tasks).append(item)
        else:
            next(remaining, None)
    # a wait in a signal handler, inside another of its thread, would keep that one from passing on
    if len({item.thread for item in threads}) == len(threads):
        for one, following in pairwise(threads):
            one.following = following
        del threads[1:]
    for item in threads:
        item.let_go()
    if tasks:
        _resolve_all(tasks)


def _resolve_all(tasks: Sequence[Waiting]) -> None:
    """Ends the waits of tasks with one call into each of their loops."""
    by_loop: defaultdict[AbstractEventLoop, list[Future[None]]] = defaultdict(list)
    for item in tasks:
        assert item.future is not None
        by_loop[item.future.get_loop()].append(item.future)
    for loop, futures in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures)
        except RuntimeError:  # the loop was closed: nobody waits there any more
            continue


def _resolve(futures: Sequence["Future[None]"]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def interrupted(folder: Path) -> LogBusy:
    """Returns the error for an append in a signal handler that would wait for its own thread."""
    return LogBusy(
        "could not append to",
        place=folder,
        cause="this thread is amid an append that a signal handler has interrupted",
        hint="use emit in a signal handler: it only queues",
    )


def closed(folder: Path) -> WriterClosed:
    """Returns the error for a use after the end."""
    return WriterClosed(
        "could not append to",
        place=folder,
        cause="it was closed before",
        hint="open it again, or close it later",
    )
