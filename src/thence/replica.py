"""One folder's log, opened: the only object that a host holds.

A `Replica` appends events durably, reads them back, and says why they happened. It is safe
from threads, and after a fork the child has an opening of its own. Reading takes no lock
and writes nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from weakref import finalize

from thence.context import Cause, current_causes, id_of
from thence.core import answer
from thence.core.codec import CAUSES_MAX, Draft, Members, draft
from thence.core.event import Event
from thence.core.guard import Unchanged
from thence.core.joining import join
from thence.core.lookup import named, not_found
from thence.core.order import totally_ordered
from thence.core.payload import is_plain, refuse
from thence.core.position import Position
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent, OutcomeUnknown
from thence.log import reader
from thence.log.admission import Condition
from thence.log.batch import Waiting
from thence.log.committer import Committer, OnFull
from thence.log.disk import OS_DISK, Disk
from thence.log.findings import Verification
from thence.log.notice import NoticeMaker, guarded, warn
from thence.log.opening import opened_vocabulary, prepare
from thence.log.process import CLOSE_S, new_id, now, watch_forks
from thence.log.retrying import retried
from thence.log.segment import FILE_BYTES_MAX, current_path
from thence.log.verify import verify
from thence.log.writer import SegmentWriter, Tell

QUEUE_EVENTS_MAX = 10_000
_ARGUMENTS = frozenset(("event_type", "payload", "subject", "actor", "stream", "caused_by"))


def open_replica(
    path: str | Path,
    vocabulary: Vocabulary | str | None = None,
    create: bool = True,
    max_queue_size: int = QUEUE_EVENTS_MAX,
    on_full: OnFull = "block",
) -> "Replica":
    """Opens the log in a folder, made if missing and `create` is true.

    `vocabulary` is "plain", "sim" or a Vocabulary; None takes the log's own, plain for a
    new one. At most `max_queue_size` emitted events wait for the disk; then `emit` blocks,
    or with `on_full="drop"` drops, counts and tells. Raises NotALog, VocabularyMismatch,
    LogReadOnly.
    """
    folder = Path(path)
    found = opened_vocabulary(OS_DISK, folder, vocabulary, create)
    return Replica(folder, found, max_queue_size=max_queue_size, on_full=on_full)


class Replica:
    """An open log. Use `thence.open`; close it, or use it as a context manager.

    What was emitted and not yet written is written at `close`, at garbage collection and
    at the interpreter's end.
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
        disk: Disk = OS_DISK,
    ) -> None:
        if on_full not in ("block", "drop") or max_queue_size < 1 or max_file_size < 1:
            raise InvalidEvent(
                "could not open the log",
                place=folder,
                cause="max_queue_size and max_file_size are at least 1, on_full block or drop",
                hint="correct the argument",
            )
        self.folder = folder
        self.vocabulary = vocabulary
        self._disk = disk
        self.notice = NoticeMaker(vocabulary, context or {})
        tell = guarded(tell or warn)
        self._writer = SegmentWriter(disk, folder, vocabulary, self.notice, tell, max_file_size)
        self.committer = Committer(self._writer, self.notice, max_queue_size, on_full, tell)
        self._is_prepared = False
        watch_forks(self.committer)
        self._closing = finalize(self, self.committer.close, CLOSE_S)

    @property
    def current_file(self) -> Path:
        """The segment that is appended to."""
        return current_path(self.folder)

    @property
    def current_size(self) -> int:
        """Its size in bytes, as far as this process has written or seen it."""
        return self._writer.current_size

    def append(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Iterable[Cause] = (),
        event_id: str | None = None,
        guard: Unchanged | None = None,
        timeout_s: float = 30,
    ) -> Event:
        """Appends an event and returns it once it is durable, with all queued before it.

        `caused_by` takes events or ids; those of surrounding `because` blocks are added.
        With an `event_id` that the log holds, the stored event is returned if it says the
        same. With a `guard`, nothing is appended if an event that it watches for has come
        in. Raises InvalidEvent, EventTooLarge, LogBusy, LogFull, LogReadOnly, AppendFailed,
        HeadsMoved, IdReused (it was not appended), OutcomeUnknown (it may have been;
        `retry()` is safe), WriterClosed.
        """
        drafts = self._draft(event_type, payload, subject, actor, stream, caused_by, event_id)
        try:
            if guard is None and event_id is None and len(drafts) == 1:
                line = self.committer.append(drafts[0], timeout_s)
            else:
                condition = Condition(guard, event_id is not None)
                line = self.committer.append_all(drafts, timeout_s, condition)[-1]
        except OutcomeUnknown as unknown:
            raise self._with_retry(unknown, drafts, self._last) from unknown.__cause__
        return Event(line[:-1], None, self.vocabulary)

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
            drafts += self._draft(**_arguments(members))
            places.append(len(drafts) - 1)

        def chosen(lines: list[bytes]) -> list[Event]:
            return [Event(lines[place][:-1], None, self.vocabulary) for place in places]

        try:
            return chosen(self.committer.append_all(drafts, timeout_s))
        except OutcomeUnknown as unknown:
            raise self._with_retry(unknown, drafts, chosen) from unknown.__cause__

    async def append_async(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Iterable[Cause] = (),
        event_id: str | None = None,
        guard: Unchanged | None = None,
    ) -> Event:
        """Does what `append` does for a task, without holding up its event loop.

        Tasks that append at the same time share a sync. A task that is cancelled while it
        waits leaves its event queued: it will be written all the same.
        """
        from asyncio import get_running_loop  # dear at the start of a command

        drafts = self._draft(event_type, payload, subject, actor, stream, caused_by, event_id)
        condition = None
        if guard is not None or event_id is not None:
            condition = Condition(guard, event_id is not None)
        future = get_running_loop().create_future()
        waiting = Waiting(drafts, condition, future)
        self.committer.join(waiting)
        await future
        try:
            return self._last(waiting.result())
        except OutcomeUnknown as unknown:
            raise self._with_retry(unknown, drafts, self._last) from unknown.__cause__

    def emit(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Iterable[Cause] = (),
    ) -> str:
        """Queues an event and returns its id; `flush` waits until it is durable.

        The payload is taken as it is now. A full queue blocks, or drops the event, as
        `open` was told. Raises InvalidEvent, EventTooLarge, WriterClosed.
        """
        drafts = self._draft(event_type, payload, subject, actor, stream, caused_by)
        for item in drafts:
            self.committer.put(item)
        return drafts[-1].event_id

    def flush(self, timeout_s: float = 30) -> None:
        """Returns when everything emitted before is durable; raises what prevents it."""
        self.committer.append_all((), timeout_s)

    def read(self, after: Cause | Position | None = None) -> Iterator[Event]:
        """Yields each event once, in arrival order: those behind `after`.

        `after` is an event, its id, or a Position, whose events are left out. Bad bytes and
        an unfinished last line are passed over. Raises EventNotFound when the log ends
        without the event `after`.
        """
        events = reader.events(self._disk, self.folder, self.vocabulary)
        if isinstance(after, Position):
            yield from (event for event in events if not after.holds(event))
            return
        if after is not None:
            wanted = id_of(after)
            if not any(event.event_id == wanted for event in events):
                raise not_found(self.folder, wanted)
        yield from events

    def events(self) -> list[Event]:
        """Returns all events in total order."""
        return totally_ordered(self.read())

    def get(self, event_id: str) -> Event:
        """Returns the event of an id; raises EventNotFound."""
        for event in self.read():
            if event.event_id == event_id:
                return event
        raise not_found(self.folder, event_id)

    def find(self, text: str) -> Event:
        """Returns the event that a text names.

        It is an id, an unambiguous prefix of at least 6 characters, "@last", or
        "@last-error". Raises EventNotFound, AmbiguousId.
        """
        return named(text, self.events(), self.vocabulary, self.folder)

    def why(self, event: Cause) -> answer.Why:
        """Says why an event happened: its chain and cone of causes, told in sentences."""
        events = self.events()
        return answer.why(self._among(events, event), events, self.vocabulary)

    def effects(self, event: Cause) -> answer.Effects:
        """Says what followed from an event: its cone of effects, told in sentences."""
        events = self.events()
        return answer.effects(self._among(events, event), events, self.vocabulary)

    def verify(self) -> Verification:
        """Checks every line of the log and changes nothing."""
        return verify(self._disk, self.folder, self.vocabulary)

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Writes and syncs what was emitted, then closes; again does nothing.

        True when all of it is durable. After `timeout_s` seconds it returns False.
        """
        self._closing.detach()
        return self.committer.close(timeout_s)

    def prepare(self) -> None:
        """Makes `.thence/` where an older or foreign log lacks it; appends call it."""
        if not self._is_prepared:
            prepare(self._disk, self.folder, self.vocabulary)
            self._is_prepared = True

    def __enter__(self) -> "Replica":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _draft(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None = None,
        subject: str | None = None,
        actor: str | None = None,
        stream: str | None = None,
        caused_by: Iterable[Cause] = (),
        event_id: str | None = None,
    ) -> list[Draft]:
        """Returns the event's draft, behind the notices that its causes need."""
        if not self._is_prepared:
            self.prepare()
        members = self.vocabulary.members(stream, subject, actor, payload)
        if not isinstance(event_type, str) or not event_type:
            raise InvalidEvent(
                "could not store the event",
                place="field event_type",
                cause=f"{event_type!r} is no text",
                hint="pass a name such as order.placed",
            )
        if payload and not is_plain(payload):
            refuse(payload)
        causes = current_causes()
        if caused_by:
            causes = tuple(dict.fromkeys((*map(id_of, caused_by), *causes)))
        notices: list[Draft] = []
        if len(causes) > CAUSES_MAX:
            notices, causes = join(causes, self.notice.joined)
        if event_id is None:
            event_id = new_id()
        return [*notices, draft(Members(event_id, event_type, 1, now(), causes, **members))]

    def _last(self, lines: list[bytes]) -> Event:
        return Event(lines[-1][:-1], None, self.vocabulary)

    def _with_retry(
        self,
        unknown: OutcomeUnknown,
        drafts: list[Draft],
        shape: Callable[[list[bytes]], object],
    ) -> OutcomeUnknown:
        """Gives the error the way to make these events durable after all."""
        again = unknown.resume or partial(retried, self._writer, drafts)

        def resume() -> object:
            try:
                return shape(cast(list[bytes], again()))
            except OutcomeUnknown as another:
                raise self._with_retry(another, drafts, shape) from another.__cause__

        unknown.resume = resume
        return unknown

    def _among(self, events: list[Event], event: Cause) -> Event:
        wanted = id_of(event)
        for candidate in events:
            if candidate.event_id == wanted:
                return candidate
        raise not_found(self.folder, wanted)


def _arguments(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one event of many as arguments; raises InvalidEvent that names what is wrong."""
    if isinstance(members, Mapping) and "event_type" in members and members.keys() <= _ARGUMENTS:
        return dict(members)
    raise InvalidEvent(
        "could not store one event of many",
        place=f"{members!r:.80}",
        cause="it is no mapping of event_type and what else append takes",
        hint=f"pass mappings with the keys {', '.join(sorted(_ARGUMENTS))}",
    )
