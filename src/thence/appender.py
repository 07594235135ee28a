"""The one path of new events into an open log.

The appender checks and completes the causes of an event, drafts the event, adds its conditions
and commits it. An error that leaves the outcome unknown gets a retry. All functions that append
use it: append, append_many, append_async, emit, steps, and both hosts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from thence.answers import Answers
from thence.context import Origin, current_causes
from thence.core.event import Event
from thence.core.values.codec import CAUSES_MAX, Draft, with_nonce
from thence.core.values.new_event import NewEvent, cause_ids
from thence.core.values.vocabulary import Vocabulary
from thence.errors import AppendFailed, LogBusy, LogReadOnly, OutcomeUnknown
from thence.failures import ends_in_hand
from thence.log.read.opening import known_id, known_info, prepare
from thence.log.storage.append_lock import WAIT_S
from thence.log.storage.disk import Disk, wall_ns
from thence.log.storage.disk_errors import poisoned_error, retry_error
from thence.log.storage.process_state import CLOSE_S, new_nonce, watch_forks
from thence.log.storage.segment import current_path
from thence.log.write.append_conditions import Condition
from thence.log.write.batch import Waiting
from thence.log.write.committer import Committer, OnFull
from thence.log.write.drafting import Drafting, join
from thence.log.write.notice import NoticeMaker
from thence.log.write.writer import Report, SegmentWriter
from thence.redact_settings import RedactSettings, read_redact_settings

if TYPE_CHECKING:
    from thence.core.values.new_event import Unchanged
    from thence.log.check.redacting import Redactions
    from thence.log.storage.findings import Relayed
    from thence.log.write.relaying import Relay

T = TypeVar("T")
E = TypeVar("E")
Ids = tuple[str, ...]
# the errors of an append that was refused while it waited in the queue
NOT_APPENDED = (AppendFailed, LogBusy, LogReadOnly)
# takes an event, the causes that it names, and those of them that lie in other logs
Encode = Callable[[E, Ids, Ids], Draft]
# takes events with their causes, and returns those that were dropped
Take = Callable[[Sequence[tuple[E, Ids]]], list[E]]


class LogOptions(TypedDict, total=False):
    """The options of a host for its log.

    A file that has reached `max_file_size` bytes is rotated. `report` is called with a word and
    facts when events are dropped, refused, lost or resumed; `context` holds members for notices.
    With `nonces`, and in each log that is synced, events get the member `nonce`. `redact` are the
    settings of masking, where the host has read them.
    """

    max_queue_size: int
    on_full: OnFull
    max_file_size: int
    report: Report
    context: Mapping[str, Any]
    nonces: bool
    redact: RedactSettings


class Appender:
    """The appender to one open log; safe from threads; in a forked child it begins anew.

    `context` holds members of the opener for notices, `received` is what THENCE_CAUSE held. With
    `has_nonces` each event gets the member `nonce`. Without `redact` those settings are read.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        vocabulary: Vocabulary,
        answers: Answers,
        *,
        max_queue_size: int,
        on_full: OnFull,
        max_file_size: int,
        report: Report,
        context: Mapping[str, Any],
        received: str | None,
        has_nonces: bool = False,
        redact: RedactSettings | None = None,
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._answers = answers
        self._report = report
        self.notice = NoticeMaker(vocabulary, context, partial(known_id, disk, folder))
        self.writer = SegmentWriter(disk, folder, vocabulary, self.notice, report, max_file_size)
        self.committer = Committer(self.writer, self.notice, max_queue_size, on_full, report)
        self._has_nonces = has_nonces
        self._drafting = Drafting(vocabulary, self.notice, folder, has_nonces)
        self.redact = redact or read_redact_settings(folder)
        self._names_heads = vocabulary.names_heads
        witness = self.writer.numbers.witness
        self.origin = Origin(received, witness, partial(known_info, disk, folder))
        self._is_prepared = self._is_ready = False
        self._relay: Relay | None = None
        watch_forks(self.committer)

    @property
    def current_size(self) -> int:
        """The size in bytes of the current segment, as far as this process knows it."""
        return self.writer.current_size

    def append(self, new: NewEvent, guard: "Unchanged | None", timeout_s: float) -> Event:
        """Appends an event and returns it once it is durable, with all queued before it."""
        drafts = self.drafted(new)
        condition = Condition.of(guard, new.event_id)
        return self._committed(drafts, condition, timeout_s, self._last)

    def append_many(
        self, events: Iterable[NewEvent], guard: "Unchanged | None", timeout_s: float
    ) -> list[Event]:
        """Appends events in one piece and returns them; ids made beforehand are not looked up."""
        drafts, places = self._drafted_together(tuple(events))

        def chosen(lines: Sequence[bytes]) -> list[Event]:
            return [Event(lines[place][:-1], None, self._vocabulary) for place in places]

        return self._committed(drafts, Condition.of(guard, None), timeout_s, chosen)

    async def append_async(self, new: NewEvent, guard: "Unchanged | None") -> Event:
        """Does what `append` does for a task, without holding up its event loop."""
        import asyncio

        drafts = self.drafted(new)
        future = asyncio.get_running_loop().create_future()
        waiting = Waiting(drafts, Condition.of(guard, new.event_id), future)
        self.committer.join(waiting)
        try:
            await future
            return self._last(waiting.result())
        except OutcomeUnknown as unknown:
            raise with_retry(unknown, self.writer, drafts, self._last) from unknown.__cause__
        finally:
            self.committer.callers.leave()

    def emit(self, new: NewEvent) -> bool:
        """Queues an event; False if a full queue dropped it."""
        is_taken = True
        for item in self.drafted(new):
            is_taken = self.committer.put(item)
        return is_taken

    def for_host(self, encode: Encode[E], timeout_s: float | None) -> Take[E]:
        """Returns the path for events that their host encodes, each with the ids of all causes.

        With a timeout the events are durable, written in one piece, when the function returns;
        without one they are queued. The function returns the events that a full queue dropped.
        A NewEvent for each would cost a seventh (decision 0031). Queueing an event reads and
        makes no file: the opening has prepared the log. Raises BadSettings.
        """
        put, external, has_nonces = self.committer.put, self.origin.external, self._has_nonces
        self.origin.warn_malformed()
        if masking := self.redact.masking:
            encode = masking.encoding(encode, self._vocabulary)

        def draft(event: E, causes: Ids) -> list[Draft]:
            notices: list[Draft] = []
            if len(causes) > CAUSES_MAX:
                notices, causes = join(causes, self.notice.joined)
            item = encode(event, causes, external(causes) if causes else ())
            return [*notices, with_nonce(item, new_nonce()) if has_nonces else item]

        def take(pairs: Sequence[tuple[E, Ids]]) -> list[E]:
            drafts = [draft(event, causes) for event, causes in pairs]  # or none at all is queued
            if timeout_s is not None:
                self._committed([*chain(*drafts)], None, timeout_s, self._last)
                return []
            return [
                event
                for (event, _), items in zip(pairs, drafts, strict=True)
                if not [put(item) for item in items][-1]
            ]

        return take

    def flush(self, timeout_s: float) -> None:
        """Returns when everything emitted before is durable; raises what prevents it."""
        self.committer.append_all((), timeout_s)
        if self.committer.failed_count:
            raise poisoned_error(current_path(self._folder))

    def relay(self, lines: Iterable[bytes]) -> "Relayed":
        """Appends lines of other nodes as they stand; see `thence.log.write.relaying`."""
        from thence.log.write.relaying import Relay

        self.prepare()
        if self._relay is None:
            where = (self._disk, self._folder, self._vocabulary)
            self._relay = Relay(*where, self.notice, self._report)
        return self._relay.take(lines, self._answers.held, now_s=wall_ns() / 1e9)

    def recover(self, timeout_s: float) -> None:
        """Mends the end of the log as the first append does, and appends nothing of its own."""
        writer = SegmentWriter(
            self._disk, self._folder, self._vocabulary, self.notice, self._report
        )
        outcome = writer.write((), timeout_s)
        writer.close()
        if outcome.error is not None:
            raise outcome.error

    def repair(self, timeout_s: float) -> None:
        """Heals what verify finds in the log's bytes."""
        from thence.log.check.repair import repair  # needed once in a log's life

        self.prepare()
        self.flush(timeout_s)
        where = (self._disk, self._folder, self._vocabulary)
        writer = SegmentWriter(*where, self.notice, self._report)
        repair(*where, writer, self.notice, timeout_s)

    def redactions(self) -> "Redactions":
        """Returns the redactions of the log; nothing is read or written yet."""
        from thence.log.check.redacting import Redactions

        where = (self._disk, self._folder, self._vocabulary)

        def record(kind: str, facts: Mapping[str, Any], causes: Sequence[str]) -> Event:
            self.prepare()
            return self._committed([self.notice(kind, facts, causes)], None, WAIT_S, self._last)

        return Redactions(*where, record, self._answers.renew)

    def prepare(self) -> None:
        """Makes `.thence/` where an older or foreign log lacks it."""
        if not self._is_prepared:
            prepare(self._disk, self._folder, self._vocabulary)
            self.origin.warn_malformed()
            self._is_prepared = True

    def _make_ready(self) -> None:
        """Readies the log for appends; raises BadSettings, so that nothing goes in unmasked."""
        self._drafting.masking = self.redact.masking
        self.prepare()
        self._is_ready = True

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Writes and syncs what was emitted, then closes; True when all of it is durable."""
        return self.committer.close(timeout_s)

    def drafted(self, new: NewEvent, heads: tuple[str, ...] | None = None) -> list[Draft]:
        """Returns the draft of an event, behind the notices that its causes need.

        `heads` are those of what it is about, where they are known and to be named.
        """
        if self._names_heads and heads is None:
            return self._drafted_together((new,))[0]
        if not self._is_ready:
            self._make_ready()
        causes, ends = self._causes(new), ends_in_hand()
        if ends:
            causes = (*causes, *[end.event_id for end in ends])
        if heads:
            causes = (*causes, *heads)
        external = self.origin.external(causes, ends) if causes else ()
        return self._drafting.draft(new, causes, external)

    def _drafted_together(self, events: Sequence[NewEvent]) -> tuple[list[Draft], list[int]]:
        """Drafts events of one append; returns at which place each stands too."""
        heads = self._heads_of(events) if self._names_heads else {}
        drafts: list[Draft] = []
        places: list[int] = []
        for new in events:
            about = self._drafting.subject(new) if heads else None
            drafts += self.drafted(new, heads[about] if about else ())
            places.append(len(drafts) - 1)
            if about:
                heads[about] = (drafts[-1].event_id,)
        return drafts, places

    def _causes(self, new: NewEvent) -> tuple[str, ...]:
        """Returns the causes that an event names, the event that it ends, and context causes."""
        around = current_causes() or self.origin.causes
        if new.ends is not None:
            around = (new.ends, *around)
        named = new.caused_by
        return around if named is None else (*cause_ids(named, self._answers.holds), *around)

    def _heads_of(self, events: Sequence[NewEvent]) -> dict[str, tuple[str, ...]]:
        """Returns the heads of what events are about; what decides something names no remark."""
        remarks = self._vocabulary.remark_types
        but = remarks if any(new.event_type not in remarks for new in events) else ()
        abouts = list(map(self._drafting.subject, events))
        pairs = zip(abouts, events, strict=True)
        aliases = {alias: about for about, new in pairs if about for alias in new.aliases}
        found = self._answers.heads_of(set(filter(None, abouts)), but, aliases)
        for head in chain.from_iterable(found.values()):
            if head.is_foreign:  # it may stand far back, from before such clocks counted
                self.writer.numbers.witness(head.lamport_clock)
        return {about: tuple([head.event_id for head in heads]) for about, heads in found.items()}

    def _committed(
        self,
        drafts: Sequence[Draft],
        condition: Condition | None,
        timeout_s: float,
        shape: Callable[[list[bytes]], T],
    ) -> T:
        """Commits drafts, in one piece, and returns the caller's conversion of their lines."""
        try:
            if condition is None and len(drafts) == 1:
                return shape([self.committer.append(drafts[0], timeout_s)])
            return shape(self.committer.append_all(drafts, timeout_s, condition))
        except OutcomeUnknown as unknown:
            raise with_retry(unknown, self.writer, drafts, shape) from unknown.__cause__

    def _last(self, lines: Sequence[bytes]) -> Event:
        return Event(lines[-1][:-1], None, self._vocabulary)


def retry(writer: SegmentWriter, drafts: Sequence[Draft]) -> list[bytes]:
    """Returns the lines of events once each is on the device exactly once; uses a new writer.

    Events that are in the log are synced, the others are appended with new numbers. Raises
    OutcomeUnknown when the retry fails too.
    """
    successor = writer.successor()
    waiting = Waiting(drafts)
    named = dict.fromkeys(range(len(drafts)), Condition(is_named=True))
    try:
        waiting.outcomes, error = successor.write(drafts, WAIT_S, named)
        successor.sync(waiting.outcomes)
    finally:
        successor.close()
    if error is not None:
        raise retry_error(writer.folder, error) from error
    return waiting.result()


def with_retry(
    unknown: OutcomeUnknown,
    writer: SegmentWriter,
    drafts: Sequence[Draft],
    shape: Callable[[list[bytes]], object],
) -> OutcomeUnknown:
    """Adds the retry to an error, which it returns; `shape` turns the lines into a result."""
    again = unknown.resume or (lambda: retry(writer, drafts))

    def resume() -> object:
        try:
            try:
                return shape(cast(list[bytes], again()))
            except NOT_APPENDED:
                return shape(retry(writer, drafts))
        except OutcomeUnknown as another:
            raise with_retry(another, writer, drafts, shape) from another.__cause__

    unknown.resume = resume
    return unknown
