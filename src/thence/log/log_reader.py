"""The reader of one log: its events, and the queries about them.

Every question is answered by an index, which is brought up to date first: a large log's index is
a file, a small one's is kept in memory, as long as it has no file. Reading takes no lock of the
log, and for a small log it writes nothing. What an append does not need is imported inside
functions: an append starts without it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice, takewhile
from pathlib import Path
from threading import Event as Signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Unpack
from warnings import warn
from weakref import finalize

from msgspec.structs import replace

from thence.core.event import Cause, Event, id_of
from thence.core.ids import is_ulid
from thence.core.new_event import Position
from thence.core.order import CONE_EVENTS_MAX, totally_ordered
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.errors import EventNotFound
from thence.log.files.disk import Disk, cache_folder, reading, wall_ns
from thence.log.files.identity import known_node_ids
from thence.log.files.segment import current_path, own_folder, segment_sizes
from thence.log.read.opening import known_info

if TYPE_CHECKING:
    from thence.core.pruned import Pruned
    from thence.core.query.where import Comparison
    from thence.core.query.why import Concurrent, Effects, LogEnd, Tally, Why
    from thence.log.files.findings import Verification
    from thence.log.index.connection import Index
    from thence.log.index.overview import By, LatestSteps
    from thence.log.index.page import Keys, Page, PageBounds, PageQuery
    from thence.log.write.importing import Held

# a log of fewer bytes, about 12,000 events, has its index in memory, unless it has one in a file
INDEXED_BYTES_MIN = 4 * 1024 * 1024
LIMIT_EVENTS = 1_000
# how often a follower looks for more
POLL_S = 0.03
# of a walk over pages: the events of the first, the most in memory at once, and their lines' bytes
FIRST_EVENTS = 32
HELD_EVENTS_MAX = 1_000
HELD_BYTES = 4 * 1024 * 1024
# the numbers of latest events searched for a key, within the limit of bytes above
_LOOKED_THROUGH = (100, 1_000, 10_000)
_LOOKED_THROUGH_BYTES = 4 * 1024 * 1024

After = Cause | Position | None


class Reader:
    """The reader of the log in a folder, each time as it is then. Safe from threads.

    It makes no thread, session or file but an index.
    """

    def __init__(self, disk: Disk, folder: Path, vocabulary: Vocabulary) -> None:
        self._disk, self.folder, self.vocabulary = disk, folder, vocabulary
        # the index in memory under True, the one in a file under False
        self._indexes: dict[bool, Index] = {}
        finalize(self, _close, self._indexes)

    def read(self, after: After = None) -> Iterator[Event]:
        """Yields each event once, in arrival order: those behind `after`.

        `after` is an event, its id, or a Position. Where a prune took events that come next, its
        notice is first. Bad bytes and an unfinished last line are skipped. Raises
        EventNotFound when `after` is not there (`event_pruned`: any more), `read_failed`.
        """
        if after is None and not self._is_indexed():
            yield from self.arrived()
            return
        with self._told():
            yield from chain.from_iterable(takewhile(bool, self._batches(after)))

    def follow(self, after: After = None, stop: Signal | None = None) -> Iterator[Event]:
        """Yields each event once, in arrival order, and goes on as any process appends more.

        It begins at the log's start, or behind `after` as `read` does, and ends within 0.2 s
        when `stop` is set. An event may not be on the device yet. Raises EventNotFound,
        `read_failed`.
        """
        stop, path = stop or Signal(), str(current_path(self.folder))
        batches = self._batches(after)
        with self._told(), reading(self.folder):
            while not stop.is_set():
                state = self._disk.path_state(path)  # what is appended from now on is a change
                events = next(batches)
                for event in events:
                    if stop.is_set():
                        return
                    yield event
                # one stat each time: it works on every filesystem
                while not events and self._disk.path_state(path) == state:
                    if stop.wait(POLL_S):
                        return

    def _batches(self, after: After) -> Iterator[Sequence[Event]]:
        """Returns the batches of the events behind `after`; an empty one is the log's end."""
        from thence.log.index import arrivals

        if isinstance(after, Position):
            return arrivals.unread(self.index(), after, self.last_prune)
        event_id = None if after is None else id_of(after)
        return arrivals.behind(self.index(), event_id, self.last_prune)

    def arrived(self) -> list[Event]:
        """Returns all events in arrival order."""
        from thence.log.read.reader import events

        with reading(self.folder):
            return events(self._disk, self.folder, self.vocabulary)

    def events(self) -> list[Event]:
        """Returns all events in total order."""
        return totally_ordered(self.arrived())

    def position(self) -> Position:
        """Returns the position after everything now in the log.

        Take it before what depends on it.
        """
        from thence.log.index import arrivals

        return arrivals.position(self.index(), self._own_nodes)

    def heads(self, subject: str) -> tuple[Event, ...]:
        """Returns the events on a subject that caused no other event on it, in total order."""
        return self.heads_of((subject,))[subject]

    def heads_of(
        self,
        subjects: Collection[str],
        but: Collection[str] = (),
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, tuple[Event, ...]]:
        """Returns the events on each subject that caused no other event on it, in total order.

        Events of the types in `but` don't count as events on a subject. `aliases` maps other names
        to the subjects that they mean: what is on either is on one.
        """
        from thence.log.index import causality

        index = self.index()
        names = {subject: [subject] for subject in subjects}
        for alias, subject in aliases.items():
            names[subject].append(alias)
        return {subject: causality.heads(index, names[subject], but) for subject in subjects}

    def get(self, event_id: str) -> Event:
        """Returns the event of an id; raises EventNotFound."""
        from thence.log.index import lookup

        with self._told():
            return lookup.get(self.index(), event_id)

    def held(self, ids: Collection[str]) -> "Held":
        """Returns what the log holds of ids; raises `read_failed`."""
        from thence.log.index import lookup
        from thence.log.write.importing import Held

        count, events = lookup.held(self.index(), ids)
        return Held(count, {event.event_id: event for event in events}, self.pruned())

    def lines_of(self, event_id: str) -> list[Event]:
        """Returns the events of all lines of an id, by a look through the log."""
        from thence.log.read.reader import lines_with

        with reading(self.folder):
            return list(lines_with(self._disk, self.folder, self.vocabulary, (event_id,)))

    def last_prune(self) -> Event | None:
        """Returns the last notice of a prune that this log wrote itself."""
        from thence.log.index import arrivals

        if self.vocabulary.name != PLAIN.name:
            return None  # runs and journals are never pruned
        return arrivals.last_prune(self.index(), self._own_nodes)

    def _own_nodes(self) -> Collection[str]:
        return known_node_ids(self._disk, self.folder)

    def pruned(self) -> "Pruned":
        """Returns what this log has pruned."""
        from thence.core.pruned import NOT_PRUNED, pruned_by

        notice = self.last_prune()
        return NOT_PRUNED if notice is None else pruned_by(notice)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Has an EventNotFound say of an event that it was pruned."""
        try:
            yield
        except EventNotFound as error:
            if is_ulid(error.place) and (pruned := self.pruned()).may_hold(error.place):
                raise EventNotFound(
                    error.operation,
                    place=error.place,
                    cause=f"it is not in the log {self.folder}; {pruned.words}",
                    hint=error.hint,
                    code="event_pruned",
                ) from error
            raise

    def with_ids(self, ids: Collection[str]) -> dict[str, Event]:
        """Returns the events of some ids that the log holds."""
        events = {}
        for event_id in ids:
            with suppress(EventNotFound):
                events[event_id] = self.get(event_id)
        return events

    def backwards(self) -> Iterator[Event]:
        """Yields each event once, as `read` does, the last that arrived first.

        A large log without an index is read from its end: of an id's lines the newest counts.
        """
        from thence.core.codec import parse
        from thence.log.files.tail import lines_of_the_log
        from thence.log.index import arrivals

        if not self.lacks_index():
            last = None
            with suppress(EventNotFound):  # pruned meanwhile, with all before it
                while events := arrivals.before(self.index(), last):
                    yield from events
                    last = events[-1].event_id
            return
        served = set[str]()
        with reading(self.folder):
            for line in lines_of_the_log(self._disk, self.folder):
                event = parse(line, self.vocabulary)
                if isinstance(event, Event) and event.event_id not in served:
                    served.add(event.event_id)
                    yield event

    def holds(self, event_id: str) -> bool:
        """Reports whether an event of the log has this id."""
        try:
            self.get(event_id)
        except EventNotFound:
            return False
        return True

    def span_begin(self, trace_id: str, span_id: str) -> Event | None:
        """Returns the event that began a tracer's span.

        None if there is none, or if an index had to be built first.
        """
        from thence.log.index import lookup

        event = None if self.lacks_index() else lookup.span_begin(self.index(), span_id)
        is_it = event is not None and event.cut_payload.get("trace_id") == trace_id
        return event if is_it else None

    def resolve(self, text: str, *, prefers_failure: bool = False) -> Event:
        """Returns the event that a text names.

        It is an id, a prefix of 6 characters or more, "@last", "@last-error", the subject of
        events, of which the latest is taken, or a type, for its latest event. With
        `prefers_failure` it is a subject's last failure, if no success followed that and the
        subject's latest event is none of its effects, whose answer holds it anyway; the last 1,000
        events on a subject are searched. Raises EventNotFound, `ambiguous_id`.
        """
        from thence.core.query.why import last_failure, named_by
        from thence.log.index import lookup

        try:
            event = lookup.find(self.index(), text)
        except EventNotFound:
            with self._told():
                raise
        if not prefers_failure or named_by(text, event) != "subject":
            return event
        page = self.page(subject=event.subject, descending=True, limit=LIMIT_EVENTS)
        failure = last_failure(page.events, self.vocabulary)
        if failure is None or failure == event:
            return event
        is_held = any(cause == failure for cause, _ in self.why(event).cone)
        return event if is_held else failure

    def why(self, event: Cause) -> "Why":
        """Returns the causes of an event, or of what `resolve` takes; raises what it raises.

        A subject stands for its last failure if no success followed that and it did not lead to
        the latest event on the subject.
        """
        from thence.core.pruned import NOT_PRUNED
        from thence.log.index import causality

        named = self.resolve(id_of(event), prefers_failure=True)
        answer = causality.why(self.index(), named.event_id, self.vocabulary)
        pruned = self.pruned() if answer.missing else NOT_PRUNED
        missing = tuple(
            replace(cause, pruned=pruned.words)
            if cause.log_id is None and pruned.may_hold(cause.event_id)
            else cause
            for cause in answer.missing
        )
        return replace(answer, missing=missing)

    def effects(self, event: Cause) -> "Effects":
        """Returns the effects of an event, or of what `why` takes; raises what `resolve` raises."""
        from thence.log.index import causality

        named = self.resolve(id_of(event), prefers_failure=True)
        return causality.effects(self.index(), named.event_id, self.vocabulary)

    def concurrent_with(self, event: Cause, limit: int = CONE_EVENTS_MAX) -> "Concurrent":
        """Returns the first events that neither caused an event nor were caused by it.

        Raises EventNotFound.
        """
        from thence.log.index import causality

        return causality.concurrent(self.index(), id_of(event), limit)

    def common_cause(self, a: Cause, b: Cause, *others: Cause) -> Event | None:
        """Returns the latest event that all of these go back to, None if they share none.

        An event and its effect have the event in common. Raises EventNotFound.
        """
        from thence.log.index import causality

        events = causality.common_causes(self.index(), [*map(id_of, (a, b, *others))])
        return events[-1] if events else None

    def verify(self) -> "Verification":
        """Checks every line of the log and changes nothing. Raises `read_failed`."""
        from thence.log.check.verify import verify

        with reading(self.folder):
            return verify(self._disk, self.folder, self.vocabulary)

    def index(self) -> "Index":
        """Returns the index that answers queries of this log.

        It is a file if the log has one, or from 4 MiB on; else it is kept in memory.
        """
        return self.indexed() if self._is_indexed() else self._open(is_in_memory=True)

    def indexed(self) -> "Index":
        """Returns the index in a file, of a small log too; its first query builds it."""
        index = self._open(is_in_memory=False)
        if in_memory := self._indexes.pop(True, None):
            in_memory.close()
        return index

    def _open(self, *, is_in_memory: bool) -> "Index":
        from thence.log.index.connection import Index

        index = self._indexes.get(is_in_memory)
        if index is None:
            where = (self._disk, self.folder, self.vocabulary)
            new = Index(*where, cache_folder(), is_in_memory=is_in_memory)
            # of threads that come at once one makes the index of all, without a lock to fork with
            index = self._indexes.setdefault(is_in_memory, new)
        return index

    def size(self) -> int:
        """Returns the size of all segments in bytes."""
        with reading(self.folder):
            return sum(segment_sizes(self._disk, self.folder))

    def lacks_index(self) -> bool:
        """Reports whether the next query will build an index from nothing, which takes seconds."""
        if False in self._indexes or self._has_index():
            return False
        return self.size() >= INDEXED_BYTES_MIN

    def rebuild(self, on_read: Callable[[int], None] | None = None) -> int:
        """Makes the index again, also of a small log; returns how many events it holds.

        `on_read` is called with the bytes read. Raises `read_failed`.
        """
        from thence.core.query.filter import Filter
        from thence.log.index.query import count

        index = self.indexed()
        index.rebuild(on_read)
        return count(index, Filter())

    def renew(self) -> None:
        """Rebuilds the index if there is one: what is no longer in the log leaves it."""
        if False in self._indexes or self._has_index():
            self.rebuild()

    def query(self, **keys: "Unpack[PageQuery]") -> "Page":
        """Returns a page of the events that match a filter, in total order.

        type, actor, subject, stream, since, until, turn and where are a filter, as
        `thence docs filters` describes. `limit` (1,000) and `offset` (0) choose the page, or
        `cursor`, the `next_cursor` of the page before; `descending` begins at the end. `last` are
        the last events instead. since and until also take 1h and yesterday, in UTC.
        Raises InvalidFilter, `invalid_cursor`, `read_failed`; warns of a `where` key no event has.
        """
        page = self.page(**keys)
        if not page.total and keys.get("where"):
            from thence.core.query.filter import Filter

            hint = self.unknown_key(Filter.of(where=keys["where"]).where)
            if hint is not None:
                warn(hint, stacklevel=2)
        return page

    def page(
        self,
        *,
        limit: int | None = None,
        offset: int = 0,
        cursor: str | None = None,
        descending: bool = False,
        last: int | None = None,
        **keys: "Unpack[Keys]",
    ) -> "Page":
        """Returns the page of `query`, and warns of nothing."""
        from thence.core.clock import dated
        from thence.core.query.filter import Filter, invalid, refuse_unknown
        from thence.log.index import query
        from thence.log.index.page import PageQuery

        refuse_unknown(keys, PageQuery.__annotations__)
        if last is not None:
            if limit is not None or offset or cursor is not None:
                cause = "it excludes limit, offset and cursor"
                raise invalid("last", cause, "leave one of them out")
            page = self.page(limit=last, descending=True, **keys)
            events = page.events if descending else page.events[::-1]
            return replace(page, events=events, has_more=False, next_cursor=None)
        for key in ("since", "until"):
            if isinstance(text := keys.get(key), str):
                keys[key] = dated(text, wall_ns() // 1_000)
        filter = Filter.of(**keys)
        paging: PageBounds = {
            "limit": LIMIT_EVENTS if limit is None else limit,
            "offset": offset,
            "cursor": cursor,
            "descending": descending,
        }
        info = known_info(self._disk, self.folder)
        log_id = info.log_id if info else ""
        return query.page(self.index(), filter, log_id, **paging)

    def pages(
        self,
        limit: int | None = None,
        cursor: str | None = None,
        descending: bool = False,
        **keys: "Unpack[Keys]",
    ) -> "Iterator[Page]":
        """Yields the events that match, in pages as large as memory should hold.

        At most `limit` events are yielded, those after the cursor. Events that are appended
        meanwhile are left out. At least one page is yielded, even an empty one.
        """
        remaining = limit
        size = FIRST_EVENTS
        while True:
            count = size if remaining is None else min(size, remaining)
            page = self.page(limit=count, cursor=cursor, descending=descending, **keys)
            yield page
            cursor = page.next_cursor
            remaining = None if remaining is None else remaining - len(page)
            if cursor is None or remaining == 0:
                return
            size_bytes = sum(len(event.line) for event in page)
            size = max(1, min(HELD_EVENTS_MAX, HELD_BYTES * len(page) // size_bytes))

    def stats(self, *, by: "By | None" = None, **keys: "Unpack[Keys]") -> "Tally":
        """Counts the events that match, by type, actor and node; raises InvalidFilter.

        The groups of the answer are by the key that is given; there are none without.
        """
        from thence.core.query.filter import Filter, refuse_unknown
        from thence.log.index import overview
        from thence.log.index.page import Keys

        refuse_unknown(keys, Keys.__annotations__)
        return overview.tally(self.index(), Filter.of(**keys), by)

    def failures(self, **keys: "Unpack[Keys]") -> tuple[int, int]:
        """Counts the failures that match, and the refused actions and moves."""
        from thence.core.failures import REJECTIONS, is_rejection
        from thence.core.query.filter import Filter

        chosen, of_types = Filter.of(**keys), keys | {"type": tuple(REJECTIONS)}
        events = (event for page in self.pages(**of_types) for event in page)
        rejected = sum(is_rejection(event) and chosen.matches(event) for event in events)
        return self.page(limit=1, **(keys | {"failed": True})).total, rejected

    def steps(self, last: int, **keys: "Unpack[Keys]") -> "LatestSteps":
        """Returns the last steps that began, of those whose begin matches; raises InvalidFilter.

        `failed` asks of their ends.
        """
        from thence.core.query.filter import Filter
        from thence.log.index.overview import latest_steps

        return latest_steps(self.index(), Filter.of(**keys), last)

    def end(self) -> "LogEnd":
        """Returns the last event of the log, and the steps that are open; raises `read_failed`."""
        from thence.log.index import overview

        return overview.log_end(self.index())

    def unknown_key(self, where: "Sequence[Comparison]") -> str | None:
        """Returns a message about a key in a filter's `where` that no event has, and the nearest.

        The last 10,000 events are searched, or those in 4 MiB. None if each key is known.
        """
        from thence.core.query.where import unknown_key

        unknown = None
        for limit in _LOOKED_THROUGH if where else ():
            page = self.page(limit=limit, descending=True)
            unknown = unknown_key(where, page.events, page.has_more) if page.events else None
            read_bytes = sum(len(event.line) for event in page)
            if unknown is None or not page.has_more or read_bytes > _LOOKED_THROUGH_BYTES:
                break
        return unknown

    def close_index(self) -> None:
        """Closes the index, if one was opened; a later query opens it again."""
        _close(self._indexes)

    def _repr_html_(self) -> str:
        """Returns the last events as a table for a notebook."""
        from thence.core.notebook import EVENTS_SHOWN_MAX, events_html

        events = [*islice(self.backwards(), EVENTS_SHOWN_MAX)][::-1]
        return events_html(events, len(events), f"last events of {self.folder}")

    def _is_indexed(self) -> bool:
        """Reports whether the index of queries is one in a file, which may have to be built yet."""
        is_there = False in self._indexes or self._has_index()
        return is_there or self.size() >= INDEXED_BYTES_MIN

    def _has_index(self) -> bool:
        with reading(self.folder):
            path = own_folder(self.folder) / "index.db"
            return self._disk.path_id(str(path)) is not None


def _close(indexes: "dict[bool, Index]") -> None:
    while indexes:
        indexes.popitem()[1].close()
