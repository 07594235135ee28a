"""The open log of one folder: the only object that a host holds.

A `Log` appends events durably, reads them back, and finds their causes. It is safe from threads,
and after a fork the child has a session of its own. New events enter by one path, whatever
function appends them: their causes are checked and completed, they are drafted, get their
conditions and are committed; an error that leaves the outcome unknown gets a retry. Reading takes
no lock of the log; a large log gets an index (`thence.log.log_reader`). A host imports its
functions for ids, times and the disk from here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize

import msgspec

from thence.core.bodies import BODIES_FROM, PAYLOAD_BYTES_MAX, BodySource
from thence.core.codec import (
    CAUSES_MAX,
    DATA_BYTES_MAX,
    Draft,
    draft,
    unnumbered,
    with_nonce,
    without_bodies,
)
from thence.core.event import Cause, Event, EventFields, id_of
from thence.core.json_values import TYPE_CHARACTERS_MAX, Encode, Plain, is_plain, is_type_name
from thence.core.new_event import (
    CAUSE_VARIABLE,
    Causes,
    HostEvent,
    NewEvent,
    PassedCause,
    cause_ids,
)
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent, LogReadOnly, OutcomeUnknown
from thence.log.blobs.blob_files import Bodies
from thence.log.causes import Origin, current_actor, current_causes, ends_in_hand
from thence.log.files.disk import OS_DISK as OS_DISK
from thence.log.files.disk import (
    WAIT_S,
    Durability,
    appending,
    durability_on,
    reading,
    variable,
)
from thence.log.files.disk import Disk as Disk
from thence.log.files.process_state import CLOSE_S, new_nonce
from thence.log.files.process_state import new_id as new_id
from thence.log.files.process_state import now as now
from thence.log.files.process_state import stays_here as stays_here
from thence.log.files.process_state import watch_forks as watch_forks
from thence.log.files.segment import FILE_BYTES_MAX as FILE_BYTES_MAX
from thence.log.files.segment import current_path, mirror_path
from thence.log.files.segment import own_folder as own_folder
from thence.log.log_reader import Reader
from thence.log.masking import RedactSettings, read_redact_settings
from thence.log.read.opening import (
    Age,
    checked_bounds,
    folder_at,
    known_id,
    known_info,
    opened_vocabulary,
    prepare,
)
from thence.log.write.batch import AppendFuture
from thence.log.write.committer import Committer, with_retry
from thence.log.write.committer import OnFull as OnFull
from thence.log.write.conditions import Condition
from thence.log.write.drafting import NoticeMaker
from thence.log.write.drafting import guarded as guarded
from thence.log.write.drafting import warn as warn
from thence.log.write.writer import Report, SegmentWriter

if TYPE_CHECKING:
    from thence.core.new_event import Unchanged
    from thence.core.secrets import Masking
    from thence.log.check.rewriting import Redactions
    from thence.log.files.findings import Relayed
    from thence.log.write.importing import Relay

QUEUE_EVENTS_MAX = 10_000
T = TypeVar("T")
E = TypeVar("E")
Ids = tuple[str, ...]
# takes an event, the causes that it names, and those of them that lie in other logs
HostEncoder = Callable[[E, Ids, Ids], Draft]
# takes events with their causes, and returns those that were dropped
HostAppender = Callable[[Sequence[tuple[E, Ids]]], list[E] | None]


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an open log: what `open_log` takes, then what hosts alone set.

    `report` is called with a word and facts when events are dropped, refused, lost or resumed;
    `context` holds members for notices. With `nonces`, and in each log that is synced, events get
    the member `nonce`. `redact` are the settings of masking, where the host has read them.
    `bodies_from` is for logs whose lines no other tool reads.
    """

    max_queue_size: int = QUEUE_EVENTS_MAX
    on_full: OnFull = "block"
    max_file_size: int = FILE_BYTES_MAX
    rotate_after: Age = None
    bodies_from: int | None = None
    encode: Encode | None = None
    strict_values: bool = False
    report: Report = warn
    context: Mapping[str, Any] = {}
    nonces: bool = False
    redact: RedactSettings | None = None


USUAL = LogSettings()


def open_log(
    path: str | Path,
    vocabulary: Vocabulary | str | None = None,
    create: bool = True,
    max_queue_size: int = QUEUE_EVENTS_MAX,
    on_full: OnFull = "block",
    max_file_size: int = FILE_BYTES_MAX,
    bodies_from: int | None = BODIES_FROM,
    encode: Encode | None = None,
    strict_values: bool = False,
    rotate_after: Age = None,
) -> "Log":
    """Opens the log in a folder, made if missing and `create` is true.

    `vocabulary` is "plain", "sim" or "work"; None takes the log's own, plain for a new one. At most
    `max_queue_size` emitted events wait for the disk; then `emit` blocks, or with `on_full="drop"`
    drops, counts and reports. A file that has `max_file_size` bytes, or began `rotate_after` ago
    ("1d", seconds, a timedelta), is closed by the next append. The cause that THENCE_CAUSE names
    (see `environment`) is around all appends, as a `because` block would be. Values in payloads
    that JSON has not become JSON as `thence docs event` lists; `encode` makes JSON of any other,
    and raises TypeError where it can't. With `strict_values` only JSON is accepted. A text or list
    of `bodies_from` bytes or more is kept once, next to the lines that name it; None keeps lines
    whole. Raises NotALog, VocabularyMismatch, LogReadOnly, `read_failed`, `append_failed`,
    InvalidEvent for a wrong bound.
    """
    settings = LogSettings(
        max_queue_size=max_queue_size,
        on_full=on_full,
        max_file_size=max_file_size,
        rotate_after=rotate_after,
        bodies_from=bodies_from,
        encode=encode,
        strict_values=strict_values,
    )
    return open_host_log(path, vocabulary, settings, create=create)


def open_host_log(
    path: str | Path,
    vocabulary: Vocabulary | str | None = None,
    settings: LogSettings = USUAL,
    *,
    create: bool = True,
    is_made: bool = True,
    disk: Disk = OS_DISK,
) -> "Log":
    """Opens the log like `open_log`, with a host's settings.

    Without `is_made` a missing log is made by its first event, so that a refused one leaves none.
    """
    age, folder = settings.rotate_after, folder_at(path)
    sizes = settings.max_queue_size, settings.max_file_size
    checked_bounds(folder, settings.on_full, sizes[0], sizes[1], settings.bodies_from, age)
    words = opened_vocabulary(disk, path, vocabulary, create, is_made)
    path = Path(path).absolute()  # the program may change its folder
    return Log(path, words, settings, received=variable(CAUSE_VARIABLE), disk=disk)


class Log(Reader):
    """An open log. Use `thence.open`; close it, or use it as a context manager.

    All that was emitted is written at the latest at `close`, garbage collection or exit.
    """

    __reduce__ = stays_here

    def __init__(
        self,
        folder: Path,
        vocabulary: Vocabulary,
        settings: LogSettings = USUAL,
        *,
        received: str | None = None,
        disk: Disk = OS_DISK,
    ) -> None:
        on_full, queue_max = settings.on_full, settings.max_queue_size
        sizes = (queue_max, settings.max_file_size, settings.bodies_from)
        age_us = checked_bounds(folder, on_full, *sizes, settings.rotate_after)
        vocabulary = vocabulary.of_log(Bodies(disk, folder))
        super().__init__(disk, folder, vocabulary)
        self._report = guarded(settings.report)
        with reading(folder):
            is_synced = disk.path_id(str(own_folder(folder) / "sync" / "target.json")) is not None
        self._has_nonces = settings.nonces or is_synced
        self.redact_settings = settings.redact or read_redact_settings(folder)
        self._notice = NoticeMaker(vocabulary, settings.context, partial(known_id, disk, folder))
        self._where = (disk, folder, vocabulary)
        bounds = (settings.max_file_size, age_us)
        self._writer = SegmentWriter(*self._where, self._notice, self._report, *bounds)
        self._committer = Committer(self._writer, self._notice, queue_max, on_full, self._report)
        can_cut = vocabulary.cuts_lines_with is not None
        self._bodies_from = settings.bodies_from if can_cut else None
        self._bytes_max = DATA_BYTES_MAX if self._bodies_from is None else PAYLOAD_BYTES_MAX
        self._plain = Plain(settings.encode, is_strict=settings.strict_values)
        self._folder_stream = folder.absolute().name if vocabulary.is_folder_stream else None
        info = partial(known_info, disk, folder)
        self._origin = Origin(received, self._writer.numbers.witness, info)
        self._is_prepared = self._is_ready = False
        self._relay: Relay | None = None
        watch_forks(self._committer)
        self._closing = finalize(self, self._committer.close, CLOSE_S)

    @property
    def log_id(self) -> str | None:
        """The id of the log, which stays when its folder moves; None while it has none."""
        return self._origin.log_id

    @property
    def current_file(self) -> Path:
        """The segment that is appended to."""
        return current_path(self.folder)

    @property
    def current_size(self) -> int:
        """The size of `current_file` in bytes, as far as this process has seen it."""
        return self._writer.current_size

    @property
    def dropped_count(self) -> int:
        """The number of emitted events that a full queue dropped."""
        return self._committer.drops.count

    @property
    def failed_count(self) -> int:
        """The number of emitted events that the disk refused for good."""
        return self._committer.failed_count

    @property
    def received_causes(self) -> tuple[str, ...]:
        """The cause that THENCE_CAUSE passed on, if there is one."""
        return self._origin.causes

    @property
    def redactions(self) -> "Redactions":
        """The redactions of this log, for those who take lines back."""
        from thence.log.check.rewriting import Redactions

        return Redactions(*self._where, self._host_append_note, self.renew)

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
        that it watches for has arrived. Raises InvalidEvent (also for a type that begins
        `log.`), EventTooLarge, LogBusy, LogFull, LogReadOnly, `append_failed`,
        HeadsMoved, IdReused (it was not appended), `bad_settings`, OutcomeUnknown, WriterClosed.
        """
        new = HostEvent(event_type, payload, subject, actor, stream, caused_by, event_id)
        is_named = event_id is not None
        condition = Condition(guard, is_named) if is_named or guard is not None else None
        return self._committed(self._drafted(new), condition, timeout_s, self._last)

    def append_many(
        self,
        events: "Iterable[NewEvent | Mapping[str, Any]]",
        *,
        guard: "Unchanged | None" = None,
        timeout_s: float = 30,
    ) -> list[Event]:
        """Appends events in one piece, with one sync, and returns them once they are durable.

        Each is a NewEvent, or a mapping of what `append` takes: event_type, and payload, subject,
        actor, stream, caused_by. Nothing comes between them. With a `guard`, none is appended
        if an event that it watches for has arrived. Raises what `append` raises; when that is
        LogFull or `append_failed`, the first of them may be in the log, whole.
        """
        return self._host_append([*map(HostEvent.of, events)], guard=guard, timeout_s=timeout_s)

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
        Raises what `append` raises, such as OutcomeUnknown.
        """
        import asyncio

        new = HostEvent(event_type, payload, subject, actor, stream, caused_by, event_id)
        drafts = self._drafted(new)
        future = asyncio.get_running_loop().create_future()
        is_named = event_id is not None
        condition = Condition(guard, is_named) if is_named or guard is not None else None
        waiting = AppendFuture(drafts, condition, future)
        self._committer.join(waiting)
        self._committer.waiters.add(waiting)
        try:
            await future
            return self._last(waiting.result())
        except OutcomeUnknown as unknown:
            raise with_retry(unknown, self._committer, drafts, self._last) from unknown.__cause__
        finally:
            self._committer.waiters.discard(waiting)

    def plain(self, value: Any, path: str = "payload") -> Any:
        """Returns a value as JSON; raises InvalidEvent."""
        return self._plain(value, path)

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

        A full queue blocks, or drops the event. Raises InvalidEvent, EventTooLarge, `bad_settings`,
        WriterClosed.
        """
        event_id = new_id()
        new = HostEvent(event_type, payload, subject, actor, stream, caused_by, event_id)
        for item in self._drafted(new):
            self._committer.put(item)
        return event_id

    def _host_append(
        self,
        events: Sequence[HostEvent],
        *,
        guard: "Unchanged | None" = None,
        timeout_s: float | None = WAIT_S,
        is_synced: bool = True,
    ) -> list[Event]:
        """Appends a host's events in one piece, and returns them once they are durable.

        Without a timeout they are queued, and returned without numbers; those that a full queue
        refused are left out. Those that are not `is_synced` are written, and synced soon after.
        """
        drafts, places = self._drafted_together(events)
        if timeout_s is None:
            is_queued = [self._committer.put(draft) for draft in drafts]
            queued = [drafts[place] for place in places if is_queued[place]]
            return [unnumbered(draft, self.vocabulary) for draft in queued]

        def chosen(lines: Sequence[bytes]) -> list[Event]:
            return [Event(lines[place][:-1], None, self.vocabulary) for place in places]

        condition = None if guard is None else Condition(guard)
        return self._committed(drafts, condition, timeout_s, chosen, is_synced)

    def _host_appender(
        self, encode: HostEncoder[E], timeout_s: float | None = None
    ) -> tuple[HostAppender[E], Callable[[E, Ids], bool]]:
        """Returns a function that appends events which their host encodes, with ids of all causes.

        With a timeout the events are durable, written in one piece, when the function returns;
        without one they are queued, which makes no file. It returns the events that a full queue
        dropped; None if it has no room for all of several, and none of them is queued. A NewEvent
        for each would cost a seventh (decision 0009). Beside it a function that queues one event,
        False if it was dropped. Both raise `bad_settings`.
        """
        self.refuse_mirror()
        put, put_all = self._committer.put, self._committer.put_all
        external, has_nonces = self._origin.external, self._has_nonces
        drops = self._committer.on_full == "drop"
        self._origin.warn_malformed()
        if masking := self.redact_settings.masking:
            encode = masking.encoding(encode, self.vocabulary)
        bodies_from = self._bodies_from

        def drafted(event: E, causes: Ids) -> Draft:
            item = encode(event, causes, external(causes) if causes else ())
            if bodies_from and len(item.tail) >= bodies_from:
                item = without_bodies(item, self.vocabulary, bodies_from)
            return with_nonce(item, new_nonce()) if has_nonces else item

        def take(pairs: Sequence[tuple[E, Ids]]) -> list[E] | None:
            drafts: list[Draft] = []
            for event, causes in pairs:  # all, or none at all is queued
                if len(causes) > CAUSES_MAX:
                    notices, causes = self._notice.join(causes)
                    drafts += notices
                drafts.append(drafted(event, causes))
            if timeout_s is not None:
                self._committed(drafts, None, timeout_s, self._last)
                return []
            if len(pairs) > 1:
                if put_all(drafts):
                    return []
                if drops:
                    return None
            queued = [put(item) for item in drafts]
            return [] if queued[-1] else [event for event, _ in pairs]

        return take, lambda event, causes: put(drafted(event, causes))

    def start(self) -> None:
        """Starts the thread that writes what is emitted; the first `emit` does it too."""
        self._committer.start()

    def flush(self, timeout_s: float = 30) -> None:
        """Returns when everything emitted before is durable; raises what prevents it."""
        self._committer.append((), timeout_s)

    def relay(self, lines: Iterable[bytes], bodies: BodySource | None = None) -> "Relayed":
        """Appends lines from elsewhere, each once, durably, with large values from `bodies`."""
        from thence.log.write.importing import Relay

        self._prepare()
        if self._relay is None:
            self._relay = Relay(*self._where, self._notice, self._report)
        return self._relay.take(lines, self.held, bodies)

    def refuse_mirror(self) -> None:
        """Raises LogReadOnly in a mirror of a team's log, which only relayed lines enter."""
        with appending(self.folder):
            is_mirror = self._disk.path_id(str(mirror_path(self.folder))) is not None
        if is_mirror:
            raise LogReadOnly(
                "could not append to",
                place=self.folder,
                cause="it mirrors a team's log, which `thence sync mirror` keeps as it is there",
                hint="append to a log of your own: thence sync enable --log FOLDER --name NAME",
                code="log_read_only",
            )

    def environment(self, event: Cause) -> dict[str, str]:
        """Returns the variable that lets another process name an event as a cause.

        `subprocess.run(…, env={**os.environ, **log.environment(event)})`: there `thence.open`
        and `thence append` find it. The event, and all that was emitted, is durable first.
        Raises EventNotFound, InvalidEvent, `read_failed`, and what `flush` raises.
        """
        from thence.log.read.reader import durable_event

        self.flush()
        self._prepare()
        return self._origin.environment(durable_event(*self._where, id_of(event)))

    def handed_on(self, event: Event) -> PassedCause | None:
        """Returns an event of this log as another log names it; None while the log has no id."""
        return self._origin.handed_on(event)

    def recover(self, timeout_s: float = 30) -> None:
        """Repairs the torn end that a killed writer left, as the next append would; raises as it.

        A whole event with only its newline missing is read from then on.
        """
        with closing(SegmentWriter(*self._where, self._notice, self._report)) as writer:
            error = writer.write((), timeout_s).error
        if error is not None:
            raise error

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Writes what was emitted, then closes; True if durable within `timeout_s` seconds."""
        self._closing.detach()
        self.close_index()
        return self._committer.close(timeout_s)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _host_append_note(self, kind: str, facts: Mapping[str, Any], causes: Ids = ()) -> Event:
        """Appends a notice of a kind."""
        self._prepare()
        return self._committed([self._notice(kind, facts, causes)], None, WAIT_S, self._last)

    def _prepare(self) -> None:
        """Makes `.thence/` where a foreign log lacks it."""
        if not self._is_prepared:
            prepare(self._disk, self.folder, self.vocabulary)
            self._origin.warn_malformed()
            self._is_prepared = True

    def _drafted(
        self,
        new: HostEvent,
        heads: tuple[str, ...] | None = None,
    ) -> list[Draft]:
        """Returns the draft of an event, behind the notices that its causes need.

        `heads` are those of what it is about, where they are known and to be named.
        """
        if self.vocabulary.adds_subject_heads and heads is None:
            return self._drafted_together((new,))[0]
        masking = self.redact_settings.masking  # raises `bad_settings`: nothing goes in unmasked
        if not self._is_ready:
            self.refuse_mirror()
        if new.actor is None and not new.is_alone and (actor := current_actor()):
            new = msgspec.structs.replace(new, actor=actor)
        # the causes that it names, the event that it ends, those around it
        causes = () if new.is_alone else current_causes() or self._origin.causes
        if new.ends is not None:
            causes = (new.ends, *causes)
        if new.caused_by is not None:
            causes = (*cause_ids(new.caused_by, self.holds), *causes)
        ends = ends_in_hand()
        causes = (*causes, *[end.event_id for end in ends]) if ends else causes
        causes = (*causes, *heads) if heads else causes
        external = self._origin.external(causes, ends) if causes else ()
        notices: list[Draft] = []
        if causes:
            causes = tuple(dict.fromkeys(causes))
            if len(causes) > CAUSES_MAX:
                notices, causes = self._notice.join(causes)
        try:
            item = self._encoded(new, causes, external, masking)
        except InvalidEvent as error:
            if masking is None:
                raise
            raise masking.error(error) from None
        if not self._is_ready:  # what is refused makes no log
            self._prepare()
            self._is_ready = True
        return [*notices, with_nonce(item, new_nonce()) if self._has_nonces else item]

    def _encoded(
        self, new: HostEvent, causes: Ids, external: Ids, masking: "Masking | None"
    ) -> Draft:
        """Returns the draft of an event, its large values cut out of its line.

        What is secret by the rules of `masking` is not in it. `causes` are all causes of the
        event, `external` those of them that lie in other logs, each as `PassedCause.text`. Raises
        InvalidEvent, EventTooLarge.
        """
        event_type = new.event_type
        if not is_type_name(event_type):
            raise InvalidEvent(
                "could not store the event",
                place="field event_type",
                cause=f"{event_type!r:.80} is not text of 1 to {TYPE_CHARACTERS_MAX}"
                " characters, without control characters",
                hint="pass a name such as order.placed",
            )
        members = self._members(new)
        payload = members.get(self.vocabulary.payload_key)
        self.vocabulary.refuse_reserved(event_type, payload)
        if payload and not is_plain(payload):
            payload = members[self.vocabulary.payload_key] = self._plain(payload)
        event_id = new_id() if new.event_id is None else new.event_id
        head = (event_id, event_type, 1, new.timestamp or now(), causes, external)
        try:
            event = EventFields(*head, new.begins, new.ends, **members)
        except TypeError as error:
            raise InvalidEvent(
                "could not store the event",
                place="field members",
                cause=error,
                hint="pass members of the host's form, each once",
            ) from error
        item = whole = draft(event, self._bytes_max)
        if masking is not None:
            item = masking.draft(item, self.vocabulary, self._bytes_max)
        if self._bodies_from is not None and len(item.tail) >= self._bodies_from:
            same = payload if item is whole else None
            item = without_bodies(item, self.vocabulary, self._bodies_from, same)
        return item

    def _members(self, new: HostEvent) -> dict[str, Any]:
        stream = new.stream
        if stream is None and (new.begins or new.ends is not None):
            stream = self._folder_stream  # a step without a stream belongs to the log's run
        members = self.vocabulary.members(stream, new.subject, new.actor, new.payload)
        if new.source is not None or new.source_id is not None or new.inferred_causes:
            inferred = tuple(dict.fromkeys(map(id_of, new.inferred_causes)))
            if (new.source is None) != (new.source_id is None) or len(inferred) > CAUSES_MAX:
                field = "source" if len(inferred) <= CAUSES_MAX else "inferred_causes"
                raise InvalidEvent(
                    "could not store the event",
                    place=f"field {field}",
                    cause=f"source and source_id are a pair; {CAUSES_MAX} causes may be inferred",
                    hint="pass both or neither, and the nearest causes",
                )
            if new.source:
                members |= {"source": new.source, "source_id": new.source_id}
            members |= {"inferred_causes": inferred} if inferred else {}
        if new.members:
            members.update(new.members)
        return members

    def _subject(self, new: HostEvent) -> str | None:
        """Returns the subject that an event will have, by its host's vocabulary."""
        item = draft(EventFields("-", "-", 1, now(), **self._members(new)))
        return unnumbered(item, self.vocabulary).subject

    def _drafted_together(self, events: Sequence[HostEvent]) -> tuple[list[Draft], list[int]]:
        """Drafts events of one append; returns at which place each stands too.

        What decides something names no remark among the heads of its subject.
        """
        heads: dict[str, tuple[str, ...]] = {}
        if self.vocabulary.adds_subject_heads:
            remarks = self.vocabulary.remark_types
            but = remarks if any(new.event_type not in remarks for new in events) else ()
            abouts = list(map(self._subject, events))
            pairs = zip(abouts, events, strict=True)
            aliases = {alias: about for about, new in pairs if about for alias in new.aliases}
            for subject, on in self.heads_of(set(filter(None, abouts)), but, aliases).items():
                heads[subject] = tuple([event.event_id for event in on])
        drafts, places = [], []
        for new in events:
            about = self._subject(new) if heads else None
            drafts += self._drafted(new, heads[about] if about else ())
            places.append(len(drafts) - 1)
            if about:
                heads[about] = (drafts[-1].event_id,)
        return drafts, places

    def _committed(
        self,
        drafts: Sequence[Draft],
        condition: Condition | None,
        timeout_s: float,
        shape: Callable[[list[bytes]], T],
        is_synced: bool = True,
    ) -> T:
        """Commits drafts, in one piece, and returns the caller's conversion of their lines."""
        try:
            if is_synced:
                lines = self._committer.append(drafts, timeout_s, condition)
            else:
                lines = self._committer.write(drafts, timeout_s)
            return shape(lines)
        except OutcomeUnknown as unknown:
            raise with_retry(unknown, self._committer, drafts, shape) from unknown.__cause__

    def _last(self, lines: Sequence[bytes]) -> Event:
        return Event(lines[-1][:-1], None, self.vocabulary)
