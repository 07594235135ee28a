"""The logs that have listeners, each followed by one thread for all its listeners.

Events are passed on in arrival order, as they stand in the files, whether they are on the device
yet or not. A feed's thread ends when the last listener leaves, and when the log is gone or can't
be read.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from threading import Event as Signal
from threading import Lock, Thread

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.errors import ReadFailed, ThenceError
from thence.index import arrivals
from thence.log.read.follower import Follower
from thence.log.storage.disk import OS_DISK
from thence.log.storage.disk_errors import reading
from thence.server.live.listener import Frame, Listener, frame_bytes
from thence.server.logs.open_logs import Logs, OpenLog
from thence.server.logs.root import FoundLog, LogKey, Root

# a follower remembers every id; above this number the index looks them up
IDS_MAX = 50_000
_BATCH_EVENTS = 500


class Feed:
    """A thread that follows a log from its start until the last listener leaves; thread-safe.

    `is_there` reports whether the log is still at its location.
    """

    def __init__(self, logs: Logs, location: FoundLog, is_there: Callable[[], bool]) -> None:
        self.is_over = False
        self.log_id = location.id
        self._logs = logs
        self._location = location
        self._is_there = is_there
        self._mutex = Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._last: str | None = None
        self._error: BaseException | None = None
        self._started = Signal()
        self._stop = Signal()
        self._thread = Thread(target=self._run, name=f"thence-live-{location.id}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Makes the thread end; it ends the remaining listeners."""
        self._stop.set()

    def subscribe(self, listener: Listener) -> str | None:
        """Passes new events to a listener from now on.

        Returns the id of the last event before those, None if the log is empty. Raises
        the error that kept the thread from following the log.
        """
        self._started.wait()
        with self._mutex:
            if self._error is not None:
                raise self._error
            self._listeners += (listener,)
            if self.is_over:
                listener.pass_over()
            return self._last

    def unsubscribe(self, listener: Listener) -> None:
        """Passes no more events to a listener."""
        with self._mutex:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def _run(self) -> None:
        try:
            with (
                self._logs.using(self._location) as log,
                reading(log.folder),
                Follower(OS_DISK, log.folder, log.vocabulary) as follower,
            ):
                self._follow(log, follower)
        except (OSError, ThenceError) as error:
            self._error = error
        finally:
            with self._mutex:
                self.is_over = True
                listeners = self._listeners
            self._started.set()
            for listener in listeners:
                listener.end()

    def _follow(self, log: OpenLog, follower: Follower) -> None:
        """Passes on new events."""
        new_events = _NewEvents(log, follower)
        self._last = new_events.last
        self._started.set()
        count = 0
        while follower.wait(self._stop) and self._is_there():
            events = new_events.events()
            while batch := list(islice(events, _BATCH_EVENTS)):
                self._pass_on(batch)
                count += len(batch)
            if count >= IDS_MAX:
                new_events.forget()
                count = 0

    def _pass_on(self, batch: Sequence[Event]) -> None:
        frames = [Frame(event, frame_bytes(event)) for event in batch]
        matching: dict[Filter, Sequence[Frame]] = {Filter(): frames}
        with self._mutex:
            self._last = batch[-1].event_id
            for listener in self._listeners:
                event_filter = listener.event_filter
                if event_filter not in matching:
                    matching[event_filter] = [
                        frame for frame in frames if event_filter.matches(frame.event)
                    ]
                if matching[event_filter]:
                    listener.offer(matching[event_filter])


class _NewEvents:
    """The events that come into a log from now on, each id once and none of the earlier ids.

    The earlier lines are not read: the index has the last arrival. The index is also asked
    whenever an event's Lamport clock does not prove that the event is new.
    """

    def __init__(self, log: OpenLog, follower: Follower) -> None:
        self._log = log
        self._follower = follower
        # before the index reads, so that the index has all events in between
        follower.skip_to_last(1)
        self.last, self._clock = arrivals.newest(log.index)
        self._first = self.last
        self._highest = self._clock

    def events(self) -> Iterator[Event]:
        """Yields the events that have come in by now."""
        events = self._follower.events()
        while batch := list(islice(events, _BATCH_EVENTS)):
            unseen = self._unseen(batch)
            if unseen:
                self.last = unseen[-1].event_id
                self._highest = max(self._highest, *[event.lamport_clock for event in unseen])
            yield from unseen

    def forget(self) -> None:
        """Forgets the ids that came so far; the index has them."""
        self._first, self._clock = self.last, self._highest
        self._follower.forget()

    def _unseen(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Returns the events of a batch that are new."""
        if self._first is None:
            return batch
        doubtful = [event.event_id for event in batch if event.lamport_clock <= self._clock]
        repeated = arrivals.known(self._log.index, doubtful, self._first) if doubtful else ()
        return [event for event in batch if event.event_id not in repeated]


# each holds a queue, and what is on its way to its client
LISTENERS_MAX = 200
LISTENERS_OF_USER_MAX = 20


class Feeds:
    """The feeds of the logs of a root; thread-safe."""

    def __init__(self, root: Root, logs: Logs) -> None:
        self._root = root
        self._logs = logs
        self._mutex = Lock()
        self._feeds: dict[LogKey, Feed] = {}
        self._feed_of: dict[Listener, tuple[LogKey, Feed]] = {}
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """The number of listeners now."""
        return len(self._feed_of)

    @property
    def followed(self) -> int:
        """The number of logs that are followed now."""
        return len(self._feeds)

    def followed_ids(self) -> set[str]:
        """Returns the ids of the logs that are followed now."""
        with self._mutex:
            return {feed.log_id for feed in self._feeds.values()}

    def subscribe(
        self, location: FoundLog, listener: Listener, *, has_place: bool = False
    ) -> str | None:
        """Adds a listener to a log's feed, as `Feed.subscribe` does; it blocks for a moment.

        One that `has_place` takes that of a listener of the same client, who leaves after it came.
        Raises ReadFailed when there are too many listeners, or the server ends, or the listener
        has left meanwhile, and what `Feed.subscribe` raises.
        """
        key = location.key
        with self._mutex:
            refusal = self._refusal(listener, has_place)
            if refusal:
                raise ReadFailed("could not follow", place=location.id, cause=refusal)
            feed = self._feeds.get(key)
            if feed is None or feed.is_over:
                feed = Feed(self._logs, location, partial(self._is_there, location.id, key))
                self._feeds[key] = feed
                feed.start()
            self._feed_of[listener] = (key, feed)
        return feed.subscribe(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Removes a listener; a feed without listeners is stopped."""
        with self._mutex:
            listener.is_gone = True
            place = self._feed_of.pop(listener, None)
            if place is None:
                return
            key, feed = place
            is_idle = all(other is not feed for _, other in self._feed_of.values())
            if is_idle and self._feeds.get(key) is feed:
                del self._feeds[key]
        feed.unsubscribe(listener)
        if is_idle:
            feed.stop()

    def close(self) -> None:
        """Stops all feeds, which ends their listeners."""
        with self._mutex:
            self._is_closed = True
            feeds = {id(feed): feed for _, feed in self._feed_of.values()}
        for feed in feeds.values():
            feed.stop()

    def _refusal(self, listener: Listener, has_place: bool) -> str:
        if self._is_closed:
            return "the server ends"
        if listener.is_gone:
            return "the client is gone"
        if has_place:
            return ""
        if len(self._feed_of) >= LISTENERS_MAX:
            return f"{LISTENERS_MAX} listen already"
        count = sum(other.user == listener.user for other in self._feed_of)
        is_full = listener.user is not None and count >= LISTENERS_OF_USER_MAX
        return f"{LISTENERS_OF_USER_MAX} streams of {listener.user} are open" if is_full else ""

    def _is_there(self, log_id: str, key: LogKey) -> bool:
        try:
            return self._root.find(log_id).key == key
        except (OSError, ThenceError):
            return False
