"""The queue of a log: its items, the waits of their callers, the counts of events it lost.

A caller waits on a latch, a task for its future. The outcomes of a write are returned to the
callers of its batch.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from pathlib import Path
from threading import Lock, RLock, get_ident
from typing import TYPE_CHECKING, Any, cast

from thence.core.codec import Draft
from thence.errors import LogBusy, ThenceError, WriterClosed
from thence.log.write.conditions import Condition
from thence.log.write.writer import Notice, lines_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

Outcome = bytes | ThenceError
BATCH_EVENTS_MAX = 8_192
BATCH_BYTES_MAX = 8 * 1024 * 1024
# the bytes of heavy events that may wait, or one event; those below make 40 MB in a full queue
QUEUE_BYTES_MAX = 64 * 1024 * 1024
HEAVY_BYTES = 4 * 1024
_TAKE_EVENTS = 512


class Latch:
    """A latch that opens for one wait. Opening it twice before a wait opens it once."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Ends the present wait, or else the next one."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # another thread has opened the latch in between
                return

    def wait(self, timeout_s: float | None) -> bool:
        """Waits until the latch opens; False when `timeout_s` seconds passed first."""
        return self._lock.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


_UNUSED_LATCH = Latch()  # a task waits for its future


class AppendFuture:
    """Events whose caller waits: a thread on a latch, or a task for its future.

    An item without drafts is a flush. Threads are released one after the other: each opens
    the latch of the next, since a hundred threads that wake at once would compete for the
    interpreter.
    """

    __slots__ = (
        "condition",
        "drafts",
        "error",
        "future",
        "is_answered",
        "is_awaited",
        "is_done",
        "latch",
        "next_waiter",
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
        self.latch = Latch() if future is None else _UNUSED_LATCH
        self.is_answered = False  # before it is open: the one before it opens it
        self.is_done = False
        self.is_awaited = False  # not before the caller waits: an exception may come in between
        self.next_waiter: AppendFuture | None = None
        self.outcomes: Sequence[Outcome] = ()
        self.error: ThenceError | None = None

    def wait(self, timeout_s: float) -> bool:
        """Waits in the caller's thread; False when `timeout_s` seconds passed first."""
        try:
            self.is_awaited = True
            return self.is_done or self.latch.wait(timeout_s) or self.is_done
        finally:
            self.is_awaited = False
            if self.is_done:
                try:
                    self._release_next()
                except BaseException:  # a signal handler raised during the call
                    self._release_next()
                    raise

    def release(self) -> None:
        """Ends the wait of this thread, or of the threads behind it if it has left."""
        self.is_done = True
        self.latch.open()
        if not self.is_awaited:
            self._release_next()

    def _release_next(self) -> None:
        waiter = self.next_waiter
        while waiter is not None:
            waiter.is_done = True
            waiter.latch.open()
            if waiter.is_awaited:
                return
            waiter = waiter.next_waiter

    def result(self) -> list[bytes]:
        """Returns the lines, or raises the error that kept one of them from being written."""
        return lines_of(self.outcomes, self.error)


Item = Draft | AppendFuture
_DRAFTS_ALONE = {Draft}


class Retained:
    """What the disk has refused since the last successful write: `count` events, for `error`.

    The first `held` of the batch are kept for a retry. The first of them may be in the file
    already if `is_first_doubtful`.
    """

    def __init__(self) -> None:
        self.held = 0
        self.is_first_doubtful = False
        self.count = 0
        cause, code = "the log was closed", "append_failed"
        self.error = ThenceError("could not append", cause=cause, code=code)

    def add(self, count: int, error: ThenceError) -> None:
        """Counts events that were refused by now, with the last reason."""
        self.count += count
        self.error = error

    def notices(self, notice: Notice) -> list[Draft]:
        """Returns the notice of refused events, none when nothing was refused."""
        if not self.count:
            return []
        return [notice("write_failed", {"count": self.count, "reason": str(self.error)})]


class DropCounter:
    """The number of events one queue dropped.

    `run` are the facts of those behind an accepted one that no notice reports yet.
    """

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._state = RLock()
        self.count = 0
        self.run: dict[str, Any] | None = None

    def add(self, last: Draft | None) -> bool:
        """Counts an event dropped behind the last accepted one; True for the very first drop."""
        with self._state:
            after_event_id = last.event_id if last else None
            self.run = self.run or {"count": 0, "after_event_id": after_event_id}
            self.run["count"] += 1
            self.count += 1
            return self.count == 1

    def end_run(self, before_event_id: str | None) -> list[Draft]:
        """Returns the notice to write at the end of a run, none if another thread took it."""
        with self._state:
            run, self.run = self.run, None
        if run is None:
            return []
        return [self._notice("events_dropped", {**run, "before_event_id": before_event_id})]


def weight(item: Item) -> int:
    """Returns the bytes of events in a queue, with their large values."""
    drafts = item.drafts if isinstance(item, AppendFuture) else (item,)
    bodies = sum([len(body.data) for draft in drafts for body in draft.bodies])
    return len(item.tail) + bodies


class QueuedBytes:
    """The bytes of the heavy events that one queue, with the batch taken from it, holds."""

    def __init__(self) -> None:
        self._lock = RLock()  # a signal handler may emit amid a count
        self.count = 0

    def add(self, size: int) -> None:
        """Counts bytes that come, or that go if negative."""
        with self._lock:
            self.count += size

    def is_full(self, size: int) -> bool:
        """Reports whether there is no room for an event; one always fits."""
        return self.count > 0 and self.count + size > QUEUE_BYTES_MAX


def heavy_bytes(items: Iterable[Item]) -> int:
    """Returns what `QueuedBytes` counts of items."""
    sizes = (weight(item) for item in items if type(item) is Draft)
    return sum(size for size in sizes if size > HEAVY_BYTES)


def take_batch(queue: deque[Item], *, is_heavy: bool = False) -> list[Item]:
    """Takes all queued items, at most 8,192 events or about 8 MiB.

    With heavy ones among them no more than one is taken beyond that.
    """
    pop, together = queue.popleft, 1 if is_heavy else _TAKE_EVENTS
    items: list[Item] = []
    size_bytes = 0
    while queue and len(items) < BATCH_EVENTS_MAX and size_bytes < BATCH_BYTES_MAX:
        some = [pop() for _ in range(min(len(queue), together))]
        size_bytes += sum([weight(item) if is_heavy else len(item.tail) for item in some])
        items += some
    return items


def drafts_of(items: list[Item]) -> list[Draft]:
    """Returns the events among the items, in order."""
    if set(map(type, items)) == _DRAFTS_ALONE:
        return cast(list[Draft], items)
    drafts: list[Draft] = []
    for item in items:
        if isinstance(item, AppendFuture):
            drafts += item.drafts
        else:
            drafts.append(item)
    return drafts


def conditions_of(items: Iterable[Item], index: int) -> dict[int, Condition]:
    """Returns the conditions by their event's index; `index` is that of the first event."""
    conditions: dict[int, Condition] = {}
    for item in items:
        if isinstance(item, AppendFuture):
            if item.condition is not None:
                span = len(item.drafts)
                conditions[index + span - 1] = item.condition._replace(span=span)
            index += len(item.drafts)
        else:
            index += 1
    return conditions


def split(items: list[Item], count: int) -> tuple[list[Item], list[Item]]:
    """Splits items behind those whose events are all among the first `count`.

    A flush belongs to the events that it waits for.
    """
    for position, item in enumerate(items):
        count -= len(item.drafts) if isinstance(item, AppendFuture) else 1
        if count < 0:
            return items[:position], items[position:]
    return items, []


def answer(
    items: Sequence[Item],
    outcomes: Iterable[Outcome],
    error: ThenceError | None,
    of_flush: ThenceError | None = None,
) -> None:
    """Gives waiting callers their outcomes, and the error if there is one; ends their wait.

    `of_flush` is what those without events get where the others get none.
    """
    if _DRAFTS_ALONE.issuperset(map(type, items)):
        return
    remaining = iter(outcomes)
    threads: list[AppendFuture] = []
    tasks: list[AppendFuture] = []
    for item in items:
        if isinstance(item, AppendFuture):
            item.outcomes = list(islice(remaining, len(item.drafts)))
            item.error = error or (None if item.drafts else of_flush)
            item.is_answered = True
            (threads if item.future is None else tasks).append(item)
        else:
            next(remaining, None)
    # a wait in a signal handler, inside another wait of its thread, would block that other wait
    if len({item.thread for item in threads}) == len(threads):
        for one, waiter in pairwise(threads):
            one.next_waiter = waiter
        del threads[1:]
    for item in threads:
        item.release()
    by_loop: defaultdict[AbstractEventLoop, list[Future[None]]] = defaultdict(list)
    for item in tasks:
        assert item.future is not None
        by_loop[item.future.get_loop()].append(item.future)
    for loop, futures in by_loop.items():  # one call into each
        try:
            loop.call_soon_threadsafe(_resolve, futures)
        except RuntimeError:  # the loop was closed: no task waits there any more
            continue


def _resolve(futures: Sequence["Future[None]"]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def interrupted_error(folder: Path) -> LogBusy:
    """Returns the error for an append in a signal handler that would wait for its own thread."""
    return LogBusy(
        "could not append to",
        place=folder,
        cause="a signal handler interrupted an append in this thread",
        hint="use emit in signal handlers: it only queues",
    )


def closed_error(folder: Path) -> WriterClosed:
    """Returns the error for a use after the log was closed."""
    return WriterClosed(
        "could not append to",
        place=folder,
        cause="it was closed before",
        hint="open it again, or close it later",
    )
