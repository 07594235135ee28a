"""The open log of one folder: the only object that a host holds.

A `Log` appends events durably, reads them back, and finds their causes. It is safe from threads,
and after a fork the child has an opening of its own. Events enter by one path (`thence.appender`).
Reading takes no lock of the log; a large log gets an index (`thence.answers`). A host imports its
functions for ids, times and the disk from here.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event as Signal
from typing import TYPE_CHECKING, Any, Unpack
from weakref import finalize

from thence.answers import After, Answers
from thence.appender import Appender, E, Encode, LogOptions, Take
from thence.core.event import Event
from thence.core.order import CONE_EVENTS_MAX
from thence.core.values.new_event import CAUSE_VARIABLE, Cause, Causes, NewEvent, PassedCause, id_of
from thence.core.values.position import Position
from thence.core.values.vocabulary import Vocabulary
from thence.log.read.opening import check_bounds, is_synced, opened_vocabulary
from thence.log.storage.disk import OS_DISK as OS_DISK
from thence.log.storage.disk import Disk as Disk
from thence.log.storage.disk import Durability, durability_on, variable
from thence.log.storage.process_state import CLOSE_S
from thence.log.storage.process_state import new_id as new_id
from thence.log.storage.process_state import now as now
from thence.log.storage.process_state import watch_forks as watch_forks
from thence.log.storage.segment import FILE_BYTES_MAX as FILE_BYTES_MAX
from thence.log.storage.segment import current_path
from thence.log.write.committer import OnFull as OnFull
from thence.log.write.notice import guarded as guarded
from thence.log.write.notice import warn as warn
from thence.log.write.writer import Report
from thence.redact_settings import RedactSettings

if TYPE_CHECKING:
    from thence.core.query.answer import Concurrent, Effects, Why
    from thence.core.values.new_event import Unchanged
    from thence.index.plan.page import Page, PageQuery
    from thence.log.check.redacting import Redactions
    from thence.log.storage.findings import Relayed, Verification

QUEUE_EVENTS_MAX = 10_000


def open_log(
    path: str | Path,
    vocabulary: Vocabulary | str | None = None,
    create: bool = True,
    max_queue_size: int = QUEUE_EVENTS_MAX,
    on_full: OnFull = "block",
    max_file_size: int = FILE_BYTES_MAX,
) -> "Log":
    """Opens the log in a folder, made if missing and `create` is true.

    `vocabulary` is "plain", "sim" or a Vocabulary; None takes the log's own, plain for a new one.
    At most `max_queue_size` emitted events wait for the disk; then `emit` blocks, or with
    `on_full="drop"` drops, counts and reports. A file that has reached `max_file_size` bytes is
    rotated. The cause that THENCE_CAUSE names (see `environment`) is around all appends, as a
    `because` block would be. Raises NotALog, VocabularyMismatch, LogReadOnly, ReadFailed,
    InvalidEvent for a bound below 1, and AppendFailed for a new log.
    """
    return open_host_log(
        path,
        vocabulary,
        create,
        max_queue_size=max_queue_size,
        on_full=on_full,
        max_file_size=max_file_size,
    )


def open_host_log(
    path: str | Path,
    vocabulary: Vocabulary | str | None = None,
    create: bool = True,
    disk: Disk = OS_DISK,
    **options: Unpack[LogOptions],
) -> "Log":
    """Opens the log like `open_log`, with a host's further options."""
    found = opened_vocabulary(disk, path, vocabulary, create)
    return Log(Path(path), found, received=variable(CAUSE_VARIABLE), disk=disk, **options)


class Log:
    """An open log. Use `thence.open`; close it, or use it as a context manager.

    All that was emitted is written at the latest at `close`, garbage collection or exit.
    """

    def __init__(
        self,
        folder: Path,
        vocabulary: Vocabulary,
        *,
        max_queue_size: int = QUEUE_EVENTS_MAX,
        on_full: OnFull = "block",
        max_file_size: int = FILE_BYTES_MAX,
        report: Report | None = None,
        context: Mapping[str, Any] | None = None,
        received: str | None = None,
        nonces: bool = False,
        redact: RedactSettings | None = None,
        disk: Disk = OS_DISK,
    ) -> None:
        check_bounds(folder, on_full, max_queue_size, max_file_size)
        self._disk, self.folder, self.vocabulary = disk, folder, vocabulary
        self.answers = Answers(disk, folder, vocabulary)
        self._appender = Appender(
            disk,
            folder,
            vocabulary,
            self.answers,
            max_queue_size=max_queue_size,
            on_full=on_full,
            max_file_size=max_file_size,
            report=guarded(report or warn),
            context=context or {},
            received=received,
            has_nonces=nonces or is_synced(disk, folder),
            redact=redact,
        )
        self._closing = finalize(self, self._appender.close, CLOSE_S)

    @property
    def log_id(self) -> str | None:
        """The id of the log, which stays when its folder moves; None while it has none."""
        return self._appender.origin.log_id

    @property
    def current_file(self) -> Path:
        """The segment that is appended to."""
        return current_path(self.folder)

    @property
    def current_size(self) -> int:
        """The size of `current_file` in bytes, as far as this process has seen it."""
        return self._appender.current_size

    @property
    def dropped_count(self) -> int:
        """The number of emitted events that a full queue dropped."""
        return self._appender.committer.drops.count

    @property
    def failed_count(self) -> int:
        """The number of emitted events that the disk refused for good."""
        return self._appender.committer.failed_count

    @property
    def received_causes(self) -> tuple[str, ...]:
        """The cause that THENCE_CAUSE handed on, if there is one."""
        return self._appender.origin.causes

    @property
    def redactions(self) -> "Redactions":
        """The redactions of this log, for those who take lines back."""
        return self._appender.redactions()

    @property
    def redact_settings(self) -> RedactSettings:
        """The settings of `[redact]` that are in force for this log."""
        return self._appender.redact

    @property
    def durability(self) -> Durability:
        """The effect of a sync on its filesystem: "synced", "unproven" (a network) or "memory"."""
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
        of these or None; those of the surrounding `because` block are added, and the ends of
        steps whose error is being handled. With an `event_id` that the log holds, the stored
        event is returned if it says the same. With a `guard`, nothing is appended if an event
        that it watches for has come in. Raises InvalidEvent (also for a type that begins
        `log.`), EventTooLarge, LogBusy, LogFull, LogReadOnly, AppendFailed, ClockExhausted,
        HeadsMoved, IdReused (it was not appended), BadSettings, OutcomeUnknown, WriterClosed.
        """
        new = NewEvent(event_type, payload, subject, actor, stream, caused_by, event_id)
        return self._appender.append(new, guard, timeout_s)

    def append_many(
        self,
        events: "Iterable[NewEvent | Mapping[str, Any]]",
        *,
        guard: "Unchanged | None" = None,
        timeout_s: float = 30,
    ) -> list[Event]:
        """Appends events in one piece, with one sync, and returns them once they are durable.

        Each is a NewEvent, or a mapping of what `append` takes: event_type, and payload, subject,
        actor, stream, caused_by. Nothing stands between them. With a `guard`, none is appended
        if an event that it watches for has come in. Raises what `append` raises; when that is
        LogFull or AppendFailed, the first of them may stand, whole.
        """
        return self._appender.append_many(map(NewEvent.of, events), guard, timeout_s)

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
        new = NewEvent(event_type, payload, subject, actor, stream, caused_by, event_id)
        return await self._appender.append_async(new, guard)

    def append_event(self, new: NewEvent, *, timeout_s: float = 30) -> Event:
        """Does what `append` does, for a NewEvent."""
        return self._appender.append(NewEvent.of(new), None, timeout_s)

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

        A full queue blocks, or drops the event. Raises InvalidEvent, EventTooLarge, BadSettings,
        WriterClosed.
        """
        event_id = new_id()
        new = NewEvent(event_type, payload, subject, actor, stream, caused_by, event_id)
        self._appender.emit(new)
        return event_id

    def for_host(self, encode: Encode[E], timeout_s: float | None = None) -> Take[E]:
        """Returns a function that takes events which their host encodes, with ids of all causes.

        With a timeout it appends the events, without one it emits them; it returns those dropped.
        """
        return self._appender.for_host(encode, timeout_s)

    def start(self) -> None:
        """Starts the thread that writes what is emitted; the first `emit` does it too."""
        self._appender.committer.start()

    def flush(self, timeout_s: float = 30) -> None:
        """Returns when everything emitted before is durable; raises what prevents it."""
        self._appender.flush(timeout_s)

    def relay(self, lines: Iterable[bytes]) -> "Relayed":
        """Appends lines from elsewhere, without newlines, each once; they are durable then."""
        return self._appender.relay(lines)

    def environment(self, event: Cause) -> dict[str, str]:
        """Returns the variable by which another process names an event as cause of its own.

        `subprocess.run(…, env={**os.environ, **log.environment(event)})`: there `thence.open`
        and `thence append` find it. The event, and all that was emitted, is durable first.
        Raises EventNotFound, InvalidEvent, ReadFailed, and what `flush` raises.
        """
        from thence.log.read.reader import durable_event

        self.flush()
        self._appender.prepare()
        found = durable_event(self._disk, self.folder, self.vocabulary, id_of(event))
        return self._appender.origin.environment(found)

    def handed_on(self, event: Event) -> PassedCause | None:
        """Returns an event of this log as another log names it; None while the log has no id."""
        return self._appender.origin.handed_on(event)

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

    def arrived(self) -> list[Event]:
        """Returns all events in arrival order."""
        return self.answers.arrived()

    def get(self, event_id: str) -> Event:
        """Returns the event of an id; raises EventNotFound."""
        return self.answers.get(event_id)

    def find(self, text: str) -> Event:
        """Returns the event that a text names.

        It is an id, a prefix of 6 characters or more, "@last", "@last-error", or the subject of
        events, of which the latest is taken. Raises EventNotFound, AmbiguousId.
        """
        return self.answers.find(text)

    def query(self, **asked: "Unpack[PageQuery]") -> "Page":
        """Returns a page of the events that match a filter, in total order.

        type, actor, subject, stream, since, until, turn and where are a filter, as
        docs/reference/filters.md describes. `limit` (1,000) and `offset` (0) choose the page, or
        `cursor`, the `next_cursor` of the page before; `descending` begins at the end.
        Raises InvalidFilter, InvalidCursor, ReadFailed; warns of a `where` key that no event has.
        """
        return self.answers.warned(**asked)

    def why(self, event: Cause) -> "Why":
        """Returns the causes of an event, or of what `find` takes; raises what `find` raises.

        A text may be a type too, for its latest event. A subject stands for its last failure if
        no success followed that and it did not lead to the latest event on the subject.
        """
        return self.answers.why(self.answers.named(event))

    def effects(self, event: Cause) -> "Effects":
        """Returns the effects of an event, or of what `why` takes; raises what `find` raises."""
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

    def recover(self, timeout_s: float = 30) -> None:
        """Mends the torn end that a killed writer left, as the next append would.

        A whole event that lacks only its newline is read from then on. Raises LogBusy, LogFull,
        LogReadOnly, AppendFailed, OutcomeUnknown.
        """
        self._appender.recover(timeout_s)

    def repair(self, timeout_s: float = 30) -> "Verification":
        """Heals what verify finds in the log's bytes, and returns what it finds then.

        Events that stand untouched beside other bytes are freed of them; bad bytes are moved
        to `.thence/quarantine/`, and a notice records each region. No event is changed. Raises
        what `append` raises.
        """
        self._appender.repair(timeout_s)
        return self.verify()

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Writes what was emitted, then closes; True if durable within `timeout_s` seconds."""
        self._closing.detach()
        self.answers.close()
        return self._appender.close(timeout_s)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
