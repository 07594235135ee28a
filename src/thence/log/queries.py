"""The reading side of one open log: its events, and the queries about them.

Every question is answered by an index, which is brought up to date first: a large log's index is
a file, a small one's is kept in memory, as long as it has no file. Reading takes no lock of the
log, and for a small log it writes nothing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event as Signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, Unpack
from warnings import warn
from weakref import finalize

from msgspec.structs import replace

from thence.core.event import Event
from thence.core.ids import is_ulid
from thence.core.new_event import Cause, Position, id_of
from thence.core.order import totally_ordered
from thence.core.pruned import NOT_PRUNED, PRUNED, Pruned, pruned_by
from thence.core.query.why import last_failure, named_by
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.errors import EventNotFound
from thence.log.files.disk import Disk, cache_folder, wall_ns
from thence.log.files.disk_errors import reading
from thence.log.files.identity import known_node_ids
from thence.log.files.segment import own_folder, segment_sizes
from thence.log.read import reader
from thence.log.read.opening import known_info

if TYPE_CHECKING:
    from thence.core.query.where import Comparison
    from thence.core.query.why import Effects, LogEnd, Tally, Why
    from thence.log.files.findings import Verification
    from thence.log.index.connection import Index
    from thence.log.index.keeper import Builds
    from thence.log.index.overview import By, LatestSteps
    from thence.log.index.page import Keys, Page, PageBounds, PageQuery
    from thence.log.write.importing import Held, Number

# a log of fewer bytes, about 12,000 events, has its index in memory, unless it has one in a file
INDEXED_BYTES_MIN = 4 * 1024 * 1024
LIMIT_EVENTS = 1_000
_REST_EVENTS = 10_000
# of a walk over pages: the events of the first, the most in memory at once, and their lines' bytes
FIRST_EVENTS = 32
HELD_EVENTS_MAX = 1_000
HELD_BYTES = 4 * 1024 * 1024
# the numbers of latest events searched for a key, within the limit of bytes above
_LOOKED_THROUGH = (100, 1_000, 10_000)
_LOOKED_THROUGH_BYTES = 4 * 1024 * 1024

After = Cause | Position | None


class Answers:
    """The reader of the log in a folder, each time as it is then. Safe from threads.

    The cost of building the index is added to `builds`.
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, builds: "Builds | None" = None
    ) -> None:
        self._disk = disk
        self._builds = builds
        self._folder = folder
        self._vocabulary = vocabulary
        self._opened: dict[Path, Index] = {}
        self._in_memory: dict[Path, Index] = {}
        finalize(self, _close, self._opened)
        finalize(self, _close, self._in_memory)

    def read(self, after: After = None) -> Iterator[Event]:
        """Yields each event once, in arrival order: those behind `after`."""
        from thence.log.index import arrivals

        if isinstance(after, Position):
            yield from arrivals.unread(self.index(), after, last_prune=self.last_prune)
        elif after is not None or self._has_index():
            event_id = None if after is None else id_of(after)
            with self._told():
                yield from arrivals.behind(self.index(), event_id, last_prune=self.last_prune)
        else:
            with reading(self._folder):
                where = (self._disk, self._folder, self._vocabulary)
                yield from reader.events(*where, self.last_prune)

    def follow(self, after: After, stop: Signal | None, sync: bool) -> Iterator[Event]:
        """Yields the events of `read`, and continues as the log grows, until `stop` is set."""
        from thence.log.index import arrivals
        from thence.log.read.follower import Follower

        stop = stop or Signal()
        where = (self._disk, self._folder, self._vocabulary)
        follower = Follower(*where, sync, self.last_prune)
        with closing(follower), self._told(), reading(self._folder):
            if after is None:
                yield from follower.follow(stop)
            else:
                begin = after if isinstance(after, Position) else id_of(after)
                yield from arrivals.follow(self.index(), follower, begin, stop, self.last_prune)

    def arrived(self) -> list[Event]:
        """Returns all events in arrival order."""
        with reading(self._folder):
            return reader.all_events(self._disk, self._folder, self._vocabulary)

    def events(self) -> list[Event]:
        """Returns all events in total order."""
        return totally_ordered(self.arrived())

    def position(self) -> Position:
        """Returns the position behind all that is there."""
        from thence.log.index import arrivals

        position = arrivals.position(self.index())
        return Position(self.pruned().with_numbers(position.intervals), position.foreign)

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

    def held(self, ids: Collection[str], numbers: "Collection[Number]") -> "Held":
        """Returns what the log holds of ids and numbers; raises `read_failed`."""
        from thence.log.index import lookup
        from thence.log.write.importing import Held

        count, events, taken = lookup.held(self.index(), ids, numbers)
        return Held(count, {event.event_id: event for event in events}, taken, self.pruned())

    def lines_of(self, event_id: str) -> list[Event]:
        """Returns the events of all lines of an id, by a look through the log."""
        with reading(self._folder):
            lines = reader.lines_with(self._disk, self._folder, self._vocabulary, (event_id,))
            return list(lines)

    def last_prune(self) -> Event | None:
        """Returns the last notice of a prune that this log wrote itself."""
        from thence.log.index import lookup

        if self._vocabulary.name != PLAIN.name:
            return None  # runs and journals are never pruned
        with reading(self._folder):
            own = known_node_ids(self._disk, self._folder)
        return lookup.latest_of(self.index(), f"log.{PRUNED}", own)

    def pruned(self) -> Pruned:
        """Returns what this log has pruned."""
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
                    cause=f"it is not in the log {self._folder}; {pruned.words}",
                    hint=error.hint,
                    code="event_pruned",
                ) from error
            raise

    def with_ids(self, ids: Collection[str]) -> dict[str, Event]:
        """Returns the events of some ids that the log holds.

        For ULIDs no index is made: a large log without one is looked through.
        """
        if self.lacks_index() and all(map(is_ulid, ids)):
            with reading(self._folder):
                return reader.events_with(self._disk, self._folder, self._vocabulary, ids)
        events = {}
        for event_id in ids:
            with suppress(EventNotFound):
                events[event_id] = self.get(event_id)
        return events

    def latest(self, count: int) -> list[Event]:
        """Returns the last events in the order of their arrival, without an index."""
        from thence.log.read.follower import Follower

        follower = Follower(self._disk, self._folder, self._vocabulary)
        with closing(follower), reading(self._folder):
            follower.skip_to_last(count)
            return [*follower.events()]

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

    def find(self, text: str, *, by_subject: bool = True, by_type: bool = False) -> Event:
        """Returns the event that a text names; raises EventNotFound, `ambiguous_id`."""
        from thence.log.index import lookup

        words = {"by_subject": by_subject, "by_type": by_type}
        try:
            return lookup.find(self.index(), text, **words)
        except EventNotFound:
            with self._told():
                raise

    def named(self, event: Cause) -> Cause:
        """Returns an event or id unchanged, or the event that `to_explain` finds for a text."""
        return self.to_explain(event) if isinstance(event, str) and not is_ulid(event) else event

    def to_explain(self, text: str) -> Event:
        """Returns the event that `find` returns, the latest of a type, or a subject's last failure.

        The failure is taken if no success followed it and the subject's latest event is none of
        its effects, whose answer holds it anyway. The last 1,000 events on a subject are searched.
        """
        event = self.find(text, by_type=True)
        if named_by(text, event) != "subject":
            return event
        page = self.query(subject=event.subject, descending=True, limit=LIMIT_EVENTS)
        failure = last_failure(page.events, self._vocabulary)
        if failure is None or failure == event:
            return event
        is_held = any(cause == failure for cause, _ in self.why(event).cone)
        return event if is_held else failure

    def why(self, event: Cause) -> "Why":
        """Returns the causes of an event; raises EventNotFound."""
        from thence.log.index import causality

        try:
            answer = causality.why(self.index(), id_of(event), self._vocabulary)
        except EventNotFound:
            with self._told():
                raise
        pruned = self.pruned() if answer.missing else NOT_PRUNED
        missing = tuple(
            replace(cause, pruned=pruned.words)
            if cause.log_id is None and pruned.may_hold(cause.event_id)
            else cause
            for cause in answer.missing
        )
        return replace(answer, missing=missing)

    def effects(self, event: Cause) -> "Effects":
        """Returns the effects of an event; raises EventNotFound."""
        from thence.log.index import causality

        with self._told():
            return causality.effects(self.index(), id_of(event), self._vocabulary)

    def verify(self) -> "Verification":
        """Checks every line of the log and changes nothing. Raises `read_failed`."""
        from thence.log.check.verify import verify

        with reading(self._folder):
            return verify(self._disk, self._folder, self._vocabulary)

    def index(self) -> "Index":
        """Returns the index that answers queries of this log.

        It is a file if the log has one, or from 4 MiB on; else it is kept in memory.
        """
        if self._folder in self._opened or self._is_indexed():
            return self.indexed()
        return self._open(self._in_memory, is_in_memory=True)

    def indexed(self) -> "Index":
        """Returns the index in a file, of a small log too; its first query builds it."""
        index = self._open(self._opened)
        _close(self._in_memory)
        return index

    def _open(self, opened: "dict[Path, Index]", is_in_memory: bool = False) -> "Index":
        from thence.log.index.connection import Index

        index = opened.get(self._folder)
        if index is None:
            where = (self._disk, self._folder, self._vocabulary)
            new = Index(*where, cache_folder(), self._builds, is_in_memory=is_in_memory)
            # of threads that come at once one makes the index of all, without a lock to fork with
            index = opened.setdefault(self._folder, new)
        return index

    def size(self) -> int:
        """Returns the size of all segments in bytes."""
        with reading(self._folder):
            return sum(segment_sizes(self._disk, self._folder))

    def lacks_index(self) -> bool:
        """Reports whether the next query will build an index from nothing, which takes seconds."""
        return self._folder not in self._opened and not self._has_index() and self._is_indexed()

    def rebuild(self, on_read: Callable[[int], None] | None = None) -> int:
        """Rebuilds the index, also of a small log; returns how many events it holds."""
        from thence.core.query.filter import Filter
        from thence.log.index.query import count

        index = self.indexed()
        index.rebuild(on_read)
        return count(index, Filter())

    def renew(self) -> None:
        """Rebuilds the index if there is one: what is no longer in the log leaves it."""
        if self._folder in self._opened or self._has_index():
            self.rebuild()

    def query(
        self,
        *,
        limit: int | None = None,
        offset: int = 0,
        cursor: str | None = None,
        descending: bool = False,
        last: int | None = None,
        **keys: "Unpack[Keys]",
    ) -> "Page":
        """Returns a page of the events that match; raises InvalidFilter, `invalid_cursor`.

        A page has 1,000 events at most if no limit is given; `last` are the last events, in order.
        """
        from thence.core.clock import dated
        from thence.core.query.filter import Filter, invalid, refuse_unknown
        from thence.log.index import query
        from thence.log.index.page import PageQuery

        refuse_unknown(keys, PageQuery.__annotations__)
        if last is not None:
            if limit is not None or offset or cursor is not None:
                cause = "it excludes limit, offset and cursor"
                raise invalid("last", cause, "leave one of them out")
            page = self.query(limit=last, descending=True, **keys)
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
        info = known_info(self._disk, self._folder)
        log_id = info.log_id if info else ""
        page = query.page(self.index(), filter, log_id, **paging)
        if limit is not None or page.next_cursor is None:
            return page

        def rest(behind: str) -> "Page":
            return self.query(limit=_REST_EVENTS, cursor=behind, descending=descending, **keys)

        return replace(page, rest=rest)

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
            page = self.query(limit=count, cursor=cursor, descending=descending, **keys)
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
        return self.query(limit=1, **(keys | {"failed": True})).total, rejected

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

    def warned(self, **words: "Unpack[PageQuery]") -> "Page":
        """Returns the page of `query`; without a match warns of an unknown key in `where`."""
        page = self.query(**words)
        if not page.total and words.get("where"):
            from thence.core.query.filter import Filter

            hint = self.unknown_key(Filter.of(where=words["where"]).where)
            if hint is not None:
                warn(hint, stacklevel=3)  # where `Log.query` is called
        return page

    def unknown_key(self, where: "Sequence[Comparison]") -> str | None:
        """Returns a message about a key in a filter's `where` that no event has, and the nearest.

        The last 10,000 events are searched, or those in 4 MiB. None if each key is known.
        """
        from thence.core.query.where import unknown_key

        unknown = None
        for limit in _LOOKED_THROUGH if where else ():
            page = self.query(limit=limit, descending=True)
            unknown = unknown_key(where, page.events, page.has_more) if page.events else None
            read_bytes = sum(len(event.line) for event in page)
            if unknown is None or not page.has_more or read_bytes > _LOOKED_THROUGH_BYTES:
                break
        return unknown

    def close(self) -> None:
        """Closes the index, if one was opened; a later query opens it again."""
        _close(self._opened)
        _close(self._in_memory)

    def _is_indexed(self) -> bool:
        if self._has_index():
            return True
        return self.size() >= INDEXED_BYTES_MIN

    def _has_index(self) -> bool:
        with reading(self._folder):
            path = own_folder(self._folder) / "index.db"
            return self._disk.path_id(str(path)) is not None


def _close(opened: "dict[Path, Index]") -> None:
    while opened:
        opened.popitem()[1].close()


class Shown(Protocol):
    """A log, for a notebook."""

    folder: Path
    answers: Answers


def html_of_log(log: Shown) -> str:
    """Returns the last events of a log as a table for a notebook."""
    from thence.core.notebook import EVENTS_SHOWN_MAX, events_html

    events = log.answers.latest(EVENTS_SHOWN_MAX)
    return events_html(events, len(events), f"last events of {log.folder}")
