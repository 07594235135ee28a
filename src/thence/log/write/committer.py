"""The queue of one open log, with the thread that makes queued events durable.

`append` waits until its event is on the device; `put` queues and returns; both use one
first-in-first-out queue. A lone append that finds the queue empty commits in its own thread;
all other events are drained by a committer thread, which starts when it is first needed.

`write` returns once its event is in the file, and the thread syncs that soon after: a kill keeps
it, a power cut may take it.

The caller's side of `put` takes no lock. The thread takes all queued items at once: a
producer that computes never releases the interpreter, so each turn must count.

A batch that the disk refuses is kept and retried each second, within the queue's bound;
waiting appends get the error at once. When writes succeed again, a notice in the log states
how many events were refused. What could not be synced is tried again each second too. The
retry of an append whose outcome is unknown makes each event durable exactly once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import RLock, Thread, current_thread, get_ident
from typing import Literal, TypeVar, cast

from thence.core.codec import Draft
from thence.errors import OutcomeUnknown, ThenceError
from thence.log.files.disk import WAIT_S, monotonic_ns, pause, retry_error, yield_processor
from thence.log.files.process_state import at_worker_end
from thence.log.write import batch
from thence.log.write.batch import (
    HEAVY_BYTES,
    AppendFuture,
    DropCounter,
    Item,
    Latch,
    Outcome,
    QueuedBytes,
    Retained,
)
from thence.log.write.conditions import Condition
from thence.log.write.writer import NO_CONDITIONS, Notice, Report, SegmentWriter, lines_of

OnFull = Literal["drop", "block"]
Answer = TypeVar("Answer")
RETRY_S = 1.0
# time to count, behind the deadline of close, what the disk refused to the end
_COUNT_S = 0.5
# how long what is written waits for more of its kind before it is synced
_GATHER_S = 0.001
# how often a thread looks for room in a full queue: at once, then less and less often
_ROOM_S, _ROOM_S_MAX = 0.0001, 0.005
_IDLE_S = 5.0
# a thread that emits without a pause lets others run each so many events: while a caller waits,
# and in a queue of that many, for the thread that drains it
_YIELD_FROM = 1_024
_YIELD_EVENTS = 128
_AWAITED_EVENTS = 16
_AWAITED_S = 0.000001


# the codes of an append that was refused while it waited in the queue
_NOT_APPENDED = ("append_failed", "log_busy", "log_full", "log_read_only")

# the phases of a queue, in order: it takes events, it only drains them, its files are closed
_OPEN, _CLOSING, _ENDED = range(3)


class CommitLock:
    """The right to commit, of one thread at a time: `owner` is its number, 0 for none.

    A signal handler that raises leaves no lock taken that a `with` has taken.
    """

    def __init__(self) -> None:
        self._lock = RLock()  # a signal handler that interrupts its owner takes it again
        self.owner = 0

    def run(self, work: Callable[[], Answer]) -> Answer:
        """Returns what `work` returns, once no other thread commits."""
        thread = get_ident()
        with self._lock:
            self.owner = thread  # no call between: a handler that appends finds the owner
            try:
                return work()
            finally:
                self.owner = 0


class Committer:
    """The queue and the thread of one open log.

    `bound` is how many events may wait; `on_full` decides what happens to one more. `report` is
    called with a word and facts when events are dropped, refused, lost or resumed, from any
    thread. `drops` is exact; `failed_count` also has the events of a write of which the disk did
    not tell what it took.
    """

    def __init__(
        self, writer: SegmentWriter, notice: Notice, bound: int, on_full: OnFull, report: Report
    ) -> None:
        self._writer = writer
        self._notice = notice
        self._bound = bound
        self.on_full = on_full
        self._report = report
        self._session = writer.session
        self._begin()

    def _begin(self) -> None:
        """Makes the state that a forked child must have of its own: queue, mutexes, thread."""
        self.drops = DropCounter(self._notice)
        self.failed_count = 0
        self._queue: deque[Item] = deque()
        self._bytes = QueuedBytes()
        self._batch: list[Item] = []
        self._commits = CommitLock()
        self._state = RLock()  # a signal handler that interrupts its holder takes it again
        self._phase = _OPEN
        self._deadline_ns = 0
        self._wakeup = Latch()
        self._room = RLock()  # a signal handler may emit during a wait
        self._thread: Thread | None = None
        self._is_sleeping = False
        # the ids of the events in the file for whose sync nobody waits; the last told as not synced
        self._written: list[str] = []
        self._told = ""
        self._last: Draft | None = None
        self.waiters: set[AppendFuture] = set()  # whose callers wait now
        self._retained = Retained()

    def after_fork(self) -> None:
        """Drops the parent's queue and closes its files: the child begins anew."""
        was_open = self._phase == _OPEN
        self._writer.after_fork()
        self._begin()
        if not was_open:
            self._advance(_ENDED)

    def _advance(self, phase: int, deadline_ns: int = 0) -> bool:
        """Goes on to a phase; False if it was reached before."""
        with self._state:
            if self._phase >= phase:
                return False
            self._deadline_ns = self._deadline_ns or deadline_ns
            self._phase = phase
            return True

    @property
    def queued(self) -> int:
        """The number of events that wait to be written."""
        return len(self._queue) + len(self._batch)

    @property
    def is_running(self) -> bool:
        """True if the committer thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def put(self, draft: Draft) -> bool:
        """Queues an event; False if it was dropped. Takes no lock unless the queue is full."""
        if self._phase != _OPEN:
            raise batch.closed_error(self._writer.folder)
        queue = self._queue
        waiting = len(queue)
        size = batch.weight(draft) if draft.bodies or len(draft.tail) > HEAVY_BYTES else 0
        is_full = waiting + self._retained.held >= self._bound
        if is_full or (size and self._bytes.is_full(size)):
            return self._put_when_full(draft, size)
        if self.drops.run is not None:
            self._queue_drop_notice(draft.event_id)
        self._last = draft
        if size > HEAVY_BYTES:
            self._bytes.add(size)
        self._enqueue((draft,))
        if waiting >= _YIELD_FROM or self.waiters:
            self._let_others_run(waiting, waiting + 1)
        return True

    def put_all(self, drafts: Sequence[Draft]) -> bool:
        """Queues light events in one piece; False, and none is queued, if one needs `put`."""
        if self._phase != _OPEN:
            raise batch.closed_error(self._writer.folder)
        waiting = len(self._queue)
        if self.drops.run is not None or waiting + self._retained.held + len(drafts) > self._bound:
            return False
        for draft in drafts:
            if draft.bodies or len(draft.tail) > HEAVY_BYTES:
                return False
        self._last = drafts[-1]
        self._enqueue(drafts)
        if waiting >= _YIELD_FROM or self.waiters:
            self._let_others_run(waiting, waiting + len(drafts))
        return True

    def _enqueue(self, drafts: Sequence[Draft]) -> None:
        """Queues events that nobody waits for, under the session's mark that some are queued."""
        session = self._session
        if session.mark <= session.drained:
            session.mark_queued()
        self._queue.extend(drafts)
        if session.mark <= session.drained:  # the queue was drained in between
            session.mark_queued()
        if self._is_sleeping or self._thread is None or self._phase == _ENDED:
            self._wake()

    def _let_others_run(self, before: int, after: int) -> None:
        """Releases the interpreter once in so many events of a thread that fills the queue."""
        if self.waiters and before // _AWAITED_EVENTS < after // _AWAITED_EVENTS:
            pause(_AWAITED_S)
        elif before >= _YIELD_FROM and before // _YIELD_EVENTS < after // _YIELD_EVENTS:
            yield_processor()

    def append(
        self, drafts: Sequence[Draft], timeout_s: float, condition: Condition | None = None
    ) -> list[bytes]:
        """Returns the lines of events once they are on the device, with all queued before them.

        They are written in one piece; the condition is that of the last. Without events the call
        waits for the events queued before. Raises the error that kept one from being written, or
        OutcomeUnknown when `timeout_s` seconds passed: the events are then still queued.
        """
        if self._phase != _OPEN:
            raise batch.closed_error(self._writer.folder)
        owner = self._commits.owner
        if owner == get_ident():  # in a signal handler, during a commit of this very thread
            raise batch.interrupted_error(self._writer.folder)
        if not owner and not self._queue:
            lines = self._commits.run(lambda: self._commit_alone(drafts, timeout_s, condition))
            if lines is not None:
                return lines
        waiting = AppendFuture(drafts, condition)
        self.join(waiting)
        return self._wait_on(waiting, timeout_s)

    def _commit_alone(
        self, drafts: Sequence[Draft], timeout_s: float, condition: Condition | None
    ) -> list[bytes] | None:
        """Commits events in the thread of their caller; returns None if others are before them."""
        if self._queue or self._batch or self.drops.run or self._retained.count:
            return None
        if not drafts and not self._written:
            return []
        count = len(drafts)
        conditions = {count - 1: condition._replace(span=count)} if condition else NO_CONDITIONS
        outcomes, error = self._writer.write(drafts, timeout_s, conditions)
        if error is not None:
            self._retained.add(count - len(outcomes), error)
        if outcomes or error is None:
            self._writer.sync()
            self._written = []
        return lines_of(outcomes, error)

    def write(self, drafts: Sequence[Draft], timeout_s: float) -> list[bytes]:
        """Returns the events' lines once they are in the file, with all queued before them.

        The thread syncs them later. Raises what `append` raises.
        """
        if self._phase != _OPEN:
            raise batch.closed_error(self._writer.folder)
        if self._commits.owner == get_ident():
            raise batch.interrupted_error(self._writer.folder)
        if self.drops.run is not None:
            self._queue_drop_notice(drafts[0].event_id)
        waiting = AppendFuture(drafts)

        def commit() -> None:
            self._queue.append(waiting)
            try:
                while not waiting.is_answered:
                    self._commit_queue(waiting, timeout_s)
            finally:
                written = drafts[: len(waiting.outcomes)]
                self._written += [draft.event_id for draft in written]

        try:
            self._commits.run(commit)
        finally:
            if self._is_sleeping or self._thread is None or self._phase == _ENDED:
                self._wake()
        return waiting.result()

    def join(self, waiting: AppendFuture) -> None:
        """Queues events whose caller waits."""
        if self._phase != _OPEN:
            raise batch.closed_error(self._writer.folder)
        if self.drops.run is not None and waiting.drafts:
            self._queue_drop_notice(waiting.drafts[0].event_id)
        self._queue.append(waiting)
        if self._is_sleeping or self._thread is None or self._phase == _ENDED:
            self._wake()

    def _wait_on(self, waiting: AppendFuture, timeout_s: float) -> list[bytes]:
        self.waiters.add(waiting)
        try:
            if waiting.wait(timeout_s):
                return waiting.result()
        finally:
            self.waiters.discard(waiting)
        unknown = OutcomeUnknown(
            "could not confirm an append to",
            place=self._writer.folder,
            cause=f"it waited {timeout_s:g} s among {self.queued} queued events",
            hint="the event is still queued; retry() or flush() waits for it",
        )
        unknown.resume = lambda: self._wait_on(waiting, timeout_s)
        raise unknown

    def start(self) -> None:
        """Starts the thread if it does not run yet."""
        with self._state:
            if self._thread is None and self._phase != _ENDED:
                thread = Thread(target=self._run, name="thence-committer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending: close drains the queue
                    return
                self._thread = thread
                at_worker_end(self)

    def close(self, timeout_s: float) -> bool:
        """Writes and syncs the queued events, then closes; True when all are on the device.

        After `timeout_s` seconds it returns False: draining to a slow disk continues in the
        background; events that the disk still refuses are counted as failed, once.
        """
        if self._advance(_CLOSING, monotonic_ns() + int(timeout_s * 1e9)):
            self._queue_drop_notice(None)
        thread = self._thread
        if thread is current_thread():  # the garbage collector ran there: the thread drains on
            return False
        if thread is not None:
            self._wakeup.open()
            thread.join(timeout_s + _COUNT_S)
            if thread.is_alive():
                self._report("remaining", {"count": self.queued})
                return False
        if self._phase != _ENDED:
            self._run()
        return not self.failed_count

    def _wake(self) -> None:
        if self._phase == _ENDED:  # a put came after close: this caller writes the event
            self._run()
        elif self._thread is None:
            self.start()
        self._wakeup.open()

    def _run(self) -> None:
        """Drains the queue until closed: in the committer thread, or at the end in the closer's."""
        while True:
            if self._batch:
                wait_s = RETRY_S
                if self._phase != _OPEN:
                    wait_s = min(wait_s, (self._deadline_ns - monotonic_ns()) / 1e9)
                if wait_s <= 0:
                    break
                self._wakeup.wait(wait_s)
            elif not self._queue:
                if self._phase != _OPEN:
                    break
                if not self._written:
                    self._is_sleeping = True
                    is_idle = not self._queue and not self._written
                    if is_idle and self._phase == _OPEN:
                        self._wakeup.wait(_IDLE_S)
                    self._is_sleeping = False
                elif not self._sync_written():
                    self._wakeup.wait(RETRY_S)
                continue
            self._commits.run(self._commit_queue)
        self._commits.run(self._end)
        if self._queue:
            self._run()

    def _sync(self) -> None:
        """Syncs all that is in the file; none of it is only written then."""
        self._writer.sync()
        self._written = []

    def _sync_written(self) -> bool:
        """Syncs what was only written; False if that failed."""
        pause(_GATHER_S)
        try:
            self._commits.run(self._sync)
        except ThenceError as error:
            self._tell_unsynced(error)
            return False
        return True

    def _commit_queue(
        self, unsynced: AppendFuture | None = None, timeout_s: float = WAIT_S
    ) -> None:
        """Commits what is queued; `unsynced`, if it is the only one that waits, is only written."""
        self._batch += batch.take_batch(self._queue, is_heavy=self._bytes.count > 0)
        # asked again: what is in the batch was counted before it came into the queue
        heavy_bytes = batch.heavy_bytes(self._batch) if self._bytes.count else 0
        self._batch = self._commit(self._batch, timeout_s, unsynced)
        self._retained.held = len(self._batch)
        if heavy_bytes:
            self._bytes.add(batch.heavy_bytes(self._batch) - heavy_bytes)

    def _end(self) -> None:
        lost = [draft.event_id for draft in batch.drafts_of(self._batch)]
        self._lose(lost, self._retained.error)
        self._bytes.add(-batch.heavy_bytes(self._batch))
        self._batch = []
        self._retained.held = 0
        if self._written:
            try:
                self._writer.sync()
            except ThenceError as error:
                self._lose(self._written, error)
        self._written = []
        self._writer.close()
        self._advance(_ENDED)

    def _commit(
        self, items: list[Item], timeout_s: float, unsynced: AppendFuture | None = None
    ) -> list[Item]:
        """Writes and syncs items, answers waiting callers, returns the refused items to keep.

        Where nobody but `unsynced` waits for them, they are only written.
        """
        notices = self._retained.notices(self._notice)
        drafts = notices + batch.drafts_of(items)
        conditions = batch.conditions_of(items, len(notices))
        if self._retained.held and self._retained.is_first_doubtful:
            conditions[len(notices)] = Condition(is_named=True)
        outcomes, error = self._writer.write(drafts, timeout_s, conditions)
        if error is None:
            self._session.drain(self._queue)
        waiting = [item for item in items if isinstance(item, AppendFuture)]
        has_unsynced = outcomes or (error is None and self._written)
        unknown = None
        if has_unsynced and waiting != [unsynced]:
            try:
                self._sync()
            except OutcomeUnknown as failure:
                unknown = failure
        elif not outcomes:
            self._session.save()
        if notices and len(outcomes) >= len(notices):
            self._report("resumed", {"count": self._retained.count})
            self._retained.count = 0
        del outcomes[: len(notices)]
        if error is None and unknown is None:
            batch.answer(items, outcomes, None)
            return []
        done, rest = batch.split(items, len(outcomes))
        if unknown is not None:  # all of it is in the file, and is written again
            self._written += [item.event_id for item in done if isinstance(item, Draft)]
            self._tell_unsynced(unknown)
            batch.answer(done, (), unknown)
        else:
            # a signal handler may raise a ThenceError after all items were written
            late = error if outcomes and not rest else None
            batch.answer(done, outcomes, late, error if self._written else None)
        if error is None:
            return []
        return self._refuse(done, rest, outcomes, error)

    def _tell_unsynced(self, error: ThenceError) -> None:
        """Reports that a sync failed for which nobody waits, once for each of its events."""
        event_ids = self._written
        if self._told in event_ids:
            event_ids = event_ids[event_ids.index(self._told) + 1 :]
        if event_ids:
            self._told = event_ids[-1]
            self._report("unsynced", {"event_ids": event_ids, "error": error})

    def _refuse(
        self, done: list[Item], rest: list[Item], outcomes: list[Outcome], error: ThenceError
    ) -> list[Item]:
        """Answers the items of a failed batch that were not written, or keeps them for a retry."""
        waiting = [item for item in rest if isinstance(item, AppendFuture)]
        batch.answer(waiting, outcomes[len(batch.drafts_of(done)) :], error)
        kept: list[Item] = [item for item in rest if not isinstance(item, AppendFuture)]
        fresh = batch.drafts_of(kept)[max(0, self._retained.held - len(done)) :]
        unwritten = sum(len(item.drafts) - len(item.outcomes) for item in waiting)
        self._retained.add(unwritten + len(fresh), error)
        was_doubtful = self._retained.is_first_doubtful and not done
        self._retained.is_first_doubtful = kept[:1] == rest[:1] and (
            was_doubtful or isinstance(error, OutcomeUnknown)
        )
        if fresh:
            self._report("refused", {"event_ids": [d.event_id for d in fresh], "error": error})
        if not kept:
            self._session.drain(self._queue)
            self._session.save()
        return kept

    def _lose(self, event_ids: Sequence[str], error: ThenceError) -> None:
        if event_ids:
            self.failed_count += len(event_ids)
            self._report("lost", {"event_ids": event_ids, "error": error})

    def retry(self, drafts: Sequence[Draft]) -> list[bytes]:
        """Returns the lines of events once each is on the device exactly once, also after `close`.

        Events that are in the log are synced, the others are appended with new numbers. Raises
        OutcomeUnknown when that fails too.
        """
        named = dict.fromkeys(range(len(drafts)), Condition(is_named=True))

        def commit() -> tuple[list[Outcome], ThenceError | None]:
            try:
                written = self._writer.write(drafts, WAIT_S, named)
                self._writer.sync()
                return written
            finally:
                if self._phase == _ENDED:
                    self._writer.close()

        if self._commits.owner == get_ident():
            error: ThenceError | None = batch.interrupted_error(self._writer.folder)
        else:
            outcomes, error = self._commits.run(commit)
        if error is not None:
            raise retry_error(self._writer.folder, error) from error
        return lines_of(outcomes, None)

    def _put_when_full(self, draft: Draft, size: int) -> bool:
        """Queues an event once there is room, or counts it as dropped, as `on_full` demands.

        `size` is what it counts in bytes, 0 for a light event. One thread looks for room, the
        others wait for it.
        """
        if self.on_full == "drop":
            if self.drops.add(self._last):
                self._report("dropped", {"event_id": draft.event_id})
            return False
        self._wake()
        with self._room:
            delay_s = 0.0
            while self._phase == _OPEN and self._is_full(size):
                pause(delay_s)
                delay_s = min(delay_s + _ROOM_S, _ROOM_S_MAX)
            return self.put(draft)

    def _is_full(self, size: int) -> bool:
        is_over = len(self._queue) + self._retained.held >= self._bound
        return is_over or (size > 0 and self._bytes.is_full(size))

    def _queue_drop_notice(self, before_event_id: str | None) -> None:
        if notices := self.drops.end_run(before_event_id):
            self._enqueue(notices)


def with_retry(
    unknown: OutcomeUnknown,
    committer: Committer,
    drafts: Sequence[Draft],
    shape: Callable[[list[bytes]], object],
) -> OutcomeUnknown:
    """Adds the retry to an error, which it returns; `shape` turns the lines into a result."""
    again = unknown.resume or (lambda: committer.retry(drafts))

    def resume() -> object:
        try:
            try:
                return shape(cast(list[bytes], again()))
            except ThenceError as error:
                if error.code not in _NOT_APPENDED:
                    raise
                return shape(committer.retry(drafts))
        except OutcomeUnknown as another:
            raise with_retry(another, committer, drafts, shape) from another.__cause__

    unknown.resume = resume
    return unknown
