"""One folder's log, opened: the only object that a host holds.

A `Log` appends events durably, reads them back, and says why they happened. It is safe
from threads, and after a fork the child has an opening of its own. Reading takes no lock
of the log; of a large one it keeps an index (`thence.answers`).
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Event as Signal
from typing import TYPE_CHECKING, Any, Unpack
from weakref import finalize

from thence.answers import After, Answers
from thence.context import Origin, current_causes
from thence.core.causes import Cause, Causes, cause_ids, id_of
from thence.core.codec import Draft
from thence.core.event import Event
from thence.core.handing import VARIABLE
from thence.core.order import CONE_EVENTS_MAX
from thence.core.position import Position
from thence.core.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.admission import Condition
from thence.log.batch import Waiting
from thence.log.committer import Committer, OnFull
from thence.log.disk import OS_DISK, Disk, variable
from thence.log.drafting import Drafting, Words, said
from thence.log.durability import Durability, durability_on
from thence.log.notice import NoticeMaker, guarded, warn
from thence.log.opening import check_bounds, known_id, known_info, opened_vocabulary, prepare
from thence.log.process import CLOSE_S, watch_forks
from thence.log.refusal import closed_for_good
from thence.log.retrying import retriable
from thence.log.segment import FILE_BYTES_MAX, current_path
from thence.log.writer import SegmentWriter, Tell

if TYPE_CHECKING:
    from thence.core.answer import Concurrent, Effects, Why
    from thence.core.guard import Unchanged
    from thence.index.page import Asked, Page
    from thence.log.findings import Verification

QUEUE_EVENTS_MAX = 10_000
_STEP_S = 30.0


def open_log(
    path: str | Path,
    vocabulary: Vocabulary | str | None = None,
    create: bool = True,
    max_queue_size: int = QUEUE_EVENTS_MAX,
    on_full: OnFull = "block",
) -> "Log":
    """Opens the log in a folder, made if missing and `create` is true.

    `vocabulary` is "plain", "sim" or a Vocabulary; None takes the log's own, plain for a
    new one. At most `max_queue_size` emitted events wait for the disk; then `emit` blocks,
    or with `on_full="drop"` drops, counts and reports. The cause that THENCE_CAUSE names (see
    `environment`) is around all appends, as a `because` block would be. Raises NotALog,
    VocabularyMismatch, LogReadOnly, ReadFailed, and AppendFailed for a new log.
    """
    found = opened_vocabulary(OS_DISK, path, vocabulary, create)
    given = variable(VARIABLE)
    bound = max_queue_size
    return Log(Path(path), found, max_queue_size=bound, on_full=on_full, received=given)


class Log:
    """An open log. Use `thence.open`; close it, or use it as a context manager.

    What was emitted is written at the latest at `close`, garbage collection or exit.
    """

    def __init__(
        self,
        folder: Path,
        vocabulary: Vocabulary,
        *,
        max_queue_size: int = QUEUE_EVENTS_MAX,
        on_full: OnFull = "block",
        max_file_size: int = FILE_BYTES_MAX,
        tell: Tell | None = None,
        context: Mapping[str, Any] | None = None,
        received: str | None = None,
        disk: Disk = OS_DISK,
    ) -> None:
        check_bounds(folder, on_full, max_queue_size, max_file_size)
        self.folder = folder
        self.vocabulary = vocabulary
        self._disk = disk
        self.answers = Answers(disk, folder, vocabulary)
        self.notice = NoticeMaker(vocabulary, context or {}, partial(known_id, disk, folder))
        self._tell = tell = guarded(tell or warn)
        self.writer = SegmentWriter(disk, folder, vocabulary, self.notice, tell, max_file_size)
        self.committer = Committer(self.writer, self.notice, max_queue_size, on_full, tell)
        self.drafting = Drafting(vocabulary, self.notice, self.answers.heads)
        self._is_prepared = False
        witness = self.writer.numbers.witness
        self.origin = Origin(received, witness, partial(known_info, disk, folder))
        watch_forks(self.committer)
        self._closing = finalize(self, self.committer.close, CLOSE_S)

    @property
    def current_file(self) -> Path:
        """The segment that is appended to."""
        return current_path(self.folder)

    @property
    def current_size(self) -> int:
        """The size of `current_file` in bytes, as far as this process has written or seen it."""
        return self.writer.current_size

    @property
    def durability(self) -> Durability:
        """How its filesystem takes a sync: "synced", "unproven" (a network) or "memory"."""
        return durability_on(self._disk.filesystem(self.folder))

    def append(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Causes = None,
        event_id: str | None = None,
        guard: "Unchanged | None" = None,
        timeout_s: float = 30,
    ) -> Event:
        """Appends an event and returns it once it is durable, with all queued before it.

        `caused_by` takes an event, an id (a ULID, or of an event that the log holds), several
        of these or None; those of the surrounding `because` block are added. With an `event_id`
        that the log holds, the stored event is returned if it says the same. With a `guard`,
        nothing is appended if an event that it watches for has come in. Raises InvalidEvent (also
        for a type that begins `log.`), EventTooLarge, LogBusy, LogFull, LogReadOnly, AppendFailed,
        ClockExhausted, HeadsMoved, IdReused (it was not appended), OutcomeUnknown, WriterClosed.
        """
        words = (subject, actor, stream)
        drafts = self._draft(event_type, payload, words, caused_by, event_id)
        try:
            if guard is None and event_id is None and len(drafts) == 1:
                return self._last([self.committer.append(drafts[0], timeout_s)])
            condition = Condition.of(guard, event_id)
            return self._last(self.committer.append_all(drafts, timeout_s, condition))
        except OutcomeUnknown as unknown:
            raise retriable(unknown, self.writer, drafts, self._last) from unknown.__cause__

    def append_many(
        self, events: Iterable[Mapping[str, Any]], *, timeout_s: float = 30
    ) -> list[Event]:
        """Appends events in one piece, with one sync, and returns them once they are durable.

        Each is a mapping of what `append` takes: event_type, and payload, subject, actor,
        stream, caused_by. Nothing stands between them. Raises what `append` raises; when
        that is LogFull or AppendFailed, the first of them may stand, whole.
        """
        drafts: list[Draft] = []
        places: list[int] = []
        for members in events:
            drafts += self._draft(*said(members))
            places.append(len(drafts) - 1)

        def chosen(lines: list[bytes]) -> list[Event]:
            return [Event(lines[place][:-1], None, self.vocabulary) for place in places]

        try:
            return chosen(self.committer.append_all(drafts, timeout_s))
        except OutcomeUnknown as unknown:
            raise retriable(unknown, self.writer, drafts, chosen) from unknown.__cause__

    async def append_async(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Causes = None,
        event_id: str | None = None,
        guard: "Unchanged | None" = None,
    ) -> Event:
        """Does what `append` does for a task, without holding up its event loop.

        Tasks that append at once share a sync. A cancelled one leaves its event to be written.
        """
        import asyncio

        words = (subject, actor, stream)
        drafts = self._draft(event_type, payload, words, caused_by, event_id)
        future = asyncio.get_running_loop().create_future()
        waiting = Waiting(drafts, Condition.of(guard, event_id), future)
        self.committer.join(waiting)
        try:
            await future
            return self._last(waiting.result())
        except OutcomeUnknown as unknown:
            raise retriable(unknown, self.writer, drafts, self._last) from unknown.__cause__
        finally:
            self.committer.callers.leave()

    def append_step(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None,
        words: Words,
        ends: str | None = None,
        caused_by: Iterable[str] = (),
    ) -> Event:
        """Appends the begin of something that lasts, or the end of what the event `ends` began.

        `thence.step` calls it. In a simulation's log the stream is the run, the folder's
        name, where none is given. Raises what `append` raises.
        """
        if words[2] is None and self.vocabulary.is_folder_stream:
            words = (*words[:2], self.folder.absolute().name)
        drafts = self._draft(event_type, payload, words, caused_by, None, (ends is None, ends))
        return self._last(self.committer.append_all(drafts, _STEP_S))

    def emit(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Causes = None,
    ) -> str:
        """Queues an event and returns its id; `flush` waits until it is durable.

        The payload is taken as it is now. A full queue blocks, or drops the event, as
        `open` was told. Raises InvalidEvent, EventTooLarge, WriterClosed.
        """
        drafts = self._draft(event_type, payload, (subject, actor, stream), caused_by)
        for item in drafts:
            self.committer.put(item)
        return drafts[-1].event_id

    def flush(self, timeout_s: float = 30) -> None:
        """Returns when everything emitted before is durable; raises what prevents it."""
        self.committer.append_all((), timeout_s)
        if self.committer.failed_count:
            raise closed_for_good(self.current_file)

    def environment(self, event: Cause) -> dict[str, str]:
        """Returns the variable by which another process names an event as cause of its own.

        `subprocess.run(…, env={**os.environ, **log.environment(event)})`: there `thence.open`
        and `thence append` find it. The event, and all that was emitted, is durable first.
        Raises EventNotFound, InvalidEvent, ReadFailed, and what `flush` raises.
        """
        from thence.log.search import durable_event

        self.flush()
        self.prepare()
        found = durable_event(self._disk, self.folder, self.vocabulary, id_of(event))
        return self.origin.environment(found)

    def read(self, after: After = None) -> Iterator[Event]:
        """Yields each event once, in arrival order: those behind `after`.

        `after` is an event, its id, or a Position. Bad bytes and an unfinished last line are
        passed over. Raises EventNotFound when `after` is not there, ReadFailed.
        """
        return self.answers.read(after)

    def follow(
        self, after: After = None, stop: Signal | None = None, *, sync: bool = False
    ) -> Iterator[Event]:
        """Yields each event once, in arrival order, and goes on as any process appends more.

        It begins at the log's start, or behind `after` as `read` does, and ends within 0.2 s
        when `stop` is set. With `sync` an event is on the device when it is yielded, as a
        caller that acts on it needs it. Raises EventNotFound, OutcomeUnknown, ReadFailed.
        """
        return self.answers.follow(after, stop, sync)

    def position(self) -> Position:
        """Returns the position behind all that is there; take it before what depends on it."""
        return self.answers.position()

    def heads(self, subject: str) -> tuple[Event, ...]:
        """Returns the events on a subject that caused no other event on it, in total order."""
        return self.answers.heads(subject)

    def events(self) -> list[Event]:
        """Returns all events in total order."""
        return self.answers.events()

    def get(self, event_id: str) -> Event:
        """Returns the event of an id; raises EventNotFound."""
        return self.answers.get(event_id)

    def find(self, text: str) -> Event:
        """Returns the event that a text names.

        It is an id, a prefix of 6 characters or more, "@last", "@last-error", or the subject of
        events, of which the latest is taken. Raises EventNotFound, AmbiguousId.
        """
        return self.answers.find(text)

    def query(self, **asked: "Unpack[Asked]") -> "Page":
        """Returns a page of the events that match a filter, in total order.

        type, actor, subject, stream, since, until, turn and where are a filter, as
        docs/reference/filters.md tells. `limit` (1,000) and `offset` (0) choose the page, or
        `cursor`, the `next_cursor` of the page before; `descending` begins at the end.
        Raises InvalidFilter, InvalidCursor, ReadFailed; warns of a `where` key that no event has.
        """
        return self.answers.warned(**asked)

    def why(self, event: Cause) -> "Why":
        """Returns the causes of an event, or of what `find` takes; raises what `find` raises."""
        return self.answers.why(self.answers.named(event))

    def effects(self, event: Cause) -> "Effects":
        """Returns the effects of an event, or of what `find` takes; raises what `find` raises."""
        return self.answers.effects(self.answers.named(event))

    def concurrent_with(self, event: Cause, limit: int = CONE_EVENTS_MAX) -> "Concurrent":
        """Returns the first events that neither caused an event nor were caused by it."""
        return self.answers.concurrent_with(event, limit)

    def common_cause(self, a: Cause, b: Cause, *more: Cause) -> Event | None:
        """Returns the latest event that all of these go back to, None if they share none.

        An event and its effect have the event in common. Raises EventNotFound.
        """
        return self.answers.common_cause(a, b, *more)

    def verify(self) -> "Verification":
        """Checks every line of the log and changes nothing. Raises ReadFailed."""
        return self.answers.verify()

    def rebuild(self) -> int:
        """Makes the index again; returns how many events it holds. Raises ReadFailed."""
        return self.answers.rebuild()

    def repair(self, timeout_s: float = 30) -> "Verification":
        """Heals what verify finds in the log's bytes, and returns what it finds then.

        Events that stand untouched beside other bytes are freed of them; bad bytes are moved
        to `.thence/quarantine/`, and a notice tells of each region. No event is changed. Raises
        what `append` raises.
        """
        from thence.log.repair import repair  # needed once in a log's life

        self.prepare()
        self.flush(timeout_s)
        writer = SegmentWriter(self._disk, self.folder, self.vocabulary, self.notice, self._tell)
        repair(self._disk, self.folder, self.vocabulary, writer, self.notice, timeout_s)
        return self.verify()

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Writes and syncs what was emitted, then closes; again does nothing.

        True when all of it is durable. After `timeout_s` seconds it returns False.
        """
        self._closing.detach()
        self.answers.close()
        return self.committer.close(timeout_s)

    def prepare(self) -> None:
        """Makes `.thence/` where an older or foreign log lacks it; appends call it."""
        if not self._is_prepared:
            prepare(self._disk, self.folder, self.vocabulary)
            self.origin.tell_malformed()
            self._is_prepared = True

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draft(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None,
        words: Words,
        caused_by: Causes,
        event_id: str | None = None,
        lasting: tuple[bool, str | None] = (False, None),
    ) -> list[Draft]:
        """Drafts an event, with the causes that the surrounding code names."""
        if not self._is_prepared:
            self.prepare()
        causes = current_causes() or self.origin.causes
        if caused_by is not None:
            causes = (*cause_ids(caused_by, self.answers.holds), *causes)
        external = self.origin.external(causes) if causes else ()
        return self.drafting.draft(event_type, payload, words, causes, event_id, lasting, external)

    def _last(self, lines: list[bytes]) -> Event:
        return Event(lines[-1][:-1], None, self.vocabulary)
