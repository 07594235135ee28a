"""The logs that somebody listens to, each followed once, however many listen.

Events are handed on in arrival order, as they are in the files, whether they are on the device yet
or not. A feed's thread ends when nobody listens any more, and when the log is gone or can't be
read.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from threading import Event as Signal
from threading import Lock, Thread

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.errors import ReadFailed, ThenceError
from thence.index.plan import arrivals
from thence.log.read.follower import Follower
from thence.log.read.read_errors import reading
from thence.log.storage.disk import OS_DISK
from thence.server.live.listener import Frame, Listener, framed
from thence.server.logs.logs import Logs, OpenLog
from thence.server.logs.root import FoundLog, Root

# a follower remembers every id, until so many are better looked up
IDS_MAX = 50_000
_BATCH_EVENTS = 500


class Feed:
    """Follows a log from the moment it is started until nobody listens; safe from threads.

    `is_there` tells whether the log is still the one that was found.
    """

    def __init__(self, logs: Logs, found: FoundLog, is_there: Callable[[], bool]) -> None:
        self.is_over = False
        self._logs = logs
        self._found = found
        self._is_there = is_there
        self._mutex = Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._last: str | None = None
        self._error: BaseException | None = None
        self._begun = Signal()
        self._stop = Signal()
        self._thread = Thread(target=self._run, name=f"thence-live-{found.id}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Has the thread end; whoever listens still is told."""
        self._stop.set()

    def enter(self, listener: Listener) -> str | None:
        """Hands on to a listener what comes from now on.

        Returns the id of the last event that came before, None if the log is empty. Raises
        what kept the thread from following the log.
        """
        self._begun.wait()
        with self._mutex:
            if self._error is not None:
                raise self._error
            self._listeners += (listener,)
            if self.is_over:
                listener.pass_over()
            return self._last

    def leave(self, listener: Listener) -> None:
        """Hands nothing more on to a listener."""
        with self._mutex:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def _run(self) -> None:
        try:
            with (
                self._logs.using(self._found) as log,
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
            self._begun.set()
            for listener in listeners:
                listener.end()

    def _follow(self, log: OpenLog, follower: Follower) -> None:
        """Hands on what comes."""
        new = _New(log, follower)
        self._last = new.last
        self._begun.set()
        count = 0
        while follower.wait(self._stop) and self._is_there():
            found = new.events()
            while batch := list(islice(found, _BATCH_EVENTS)):
                self._hand_on(batch)
                count += len(batch)
            if count >= IDS_MAX:
                new.forget()
                count = 0

    def _hand_on(self, batch: Sequence[Event]) -> None:
        frames = [Frame(event, framed(event)) for event in batch]
        matching: dict[Filter, Sequence[Frame]] = {Filter(): frames}
        with self._mutex:
            self._last = batch[-1].event_id
            for listener in self._listeners:
                asked = listener.asked
                if asked not in matching:
                    matching[asked] = [frame for frame in frames if asked.matches(frame.event)]
                if matching[asked]:
                    listener.offer(matching[asked])


class _New:
    """What comes into a log from now on, each id once and none that was there before.

    The lines that are there are not read: the index tells what arrived last. It is asked too
    whenever an event's clock doesn't say by itself that the event is new.
    """

    def __init__(self, log: OpenLog, follower: Follower) -> None:
        self._log = log
        self._follower = follower
        follower.skip_to_last(1)  # before the index looks: what comes between is known to it
        self.last, self._clock = arrivals.newest(log.index)
        self._first = self.last
        self._highest = self._clock

    def events(self) -> Iterator[Event]:
        """Yields what has come in by now."""
        found = self._follower.events()
        while batch := list(islice(found, _BATCH_EVENTS)):
            fresh = self._unknown(batch)
            if fresh:
                self.last = fresh[-1].event_id
                self._highest = max(self._highest, *[event.lamport_clock for event in fresh])
            yield from fresh

    def forget(self) -> None:
        """Leaves it to the index to know the ids that came so far."""
        self._first, self._clock = self.last, self._highest
        self._follower.forget()

    def _unknown(self, batch: Sequence[Event]) -> Sequence[Event]:
        """Returns those of some events that were not there before."""
        if self._first is None:
            return batch
        doubtful = [event.event_id for event in batch if event.lamport_clock <= self._clock]
        known = arrivals.known(self._log.index, doubtful, self._first) if doubtful else ()
        return [event for event in batch if event.event_id not in known]


LISTENERS_MAX = 1_000


class Feeds:
    """Feeds of the logs of a root; safe from threads."""

    def __init__(self, root: Root, logs: Logs) -> None:
        self._root = root
        self._logs = logs
        self._mutex = Lock()
        self._feeds: dict[object, Feed] = {}
        self._of: dict[Listener, tuple[object, Feed]] = {}
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._of)

    @property
    def followed(self) -> int:
        """How many logs are followed now."""
        return len(self._feeds)

    def enter(self, found: FoundLog, listener: Listener) -> str | None:
        """Has a listener hear of a log, as `Feed.enter` does; it blocks for a moment.

        Raises ReadFailed when too many listen already, or the server ends, or the listener has
        left meanwhile, and what `Feed.enter` raises.
        """
        key = _key(found)
        with self._mutex:
            refusal = self._refusal(listener)
            if refusal:
                raise ReadFailed("could not follow", place=found.id, cause=refusal)
            feed = self._feeds.get(key)
            if feed is None or feed.is_over:
                feed = Feed(self._logs, found, lambda: self._is_there(found, key))
                self._feeds[key] = feed
                feed.start()
            self._of[listener] = (key, feed)
        return feed.enter(listener)

    def leave(self, listener: Listener) -> None:
        """Has a listener hear no more; a log that nobody listens to is followed no more."""
        with self._mutex:
            listener.is_gone = True
            key, feed = self._of.pop(listener, (None, None))
            if feed is None:
                return
            is_idle = all(other is not feed for _, other in self._of.values())
            if is_idle and self._feeds.get(key) is feed:
                del self._feeds[key]
        feed.leave(listener)
        if is_idle:
            feed.stop()

    def close(self) -> None:
        """Ends all of them, and tells who listens."""
        with self._mutex:
            self._is_closed = True
            feeds = {id(feed): feed for _, feed in self._of.values()}
        for feed in feeds.values():
            feed.stop()

    def _refusal(self, listener: Listener) -> str:
        if self._is_closed:
            return "the server ends"
        if listener.is_gone:
            return "the client is gone"
        return f"{LISTENERS_MAX} listen already" if len(self._of) >= LISTENERS_MAX else ""

    def _is_there(self, found: FoundLog, key: object) -> bool:
        try:
            now = self._root.find(found.id)
        except (OSError, ThenceError):
            return False
        return _key(now) == key


def _key(found: FoundLog) -> object:
    """Returns what must stay the same for a log to be the same."""
    there = OS_DISK.path_id(str(found.folder))
    return (found.id, str(found.folder), there and there[0], found.vocabulary.name)
