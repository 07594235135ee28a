"""The logs that have listeners, each followed by one thread for all its listeners.

Events are passed on in arrival order, as the log's index reads them from the files, whether they
are on the device yet or not. What came last is kept for the listeners; one that is slower reads
from the log. A feed's thread ends when the last listener leaves, and when the log is gone or can't
be read.

A frame is `id:` with the event's id, `data:` with its line, and an empty line, as the HTML standard
(section 9.2) has it. An id from another tool may hold characters that would break a header or a
line of the stream: such characters, and `%`, are percent-encoded.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import quote, unquote

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.errors import ThenceError
from thence.log.files.disk_errors import reading
from thence.log.files.segment import current_path
from thence.log.index import arrivals
from thence.log.read.follower import POLL_S
from thence.server.logs.open_logs import Logs, OpenLog
from thence.server.logs.root import FoundLog, LogKey, Root

MEDIA_TYPE = "text/event-stream"
# a client whose connection was cut connects again after this time
BEGINNING = b"retry: 1000\n\n"
HEARTBEAT = b":\n\n"
# each holds what is on its way to its client
LISTENERS_MAX = 200
LISTENERS_OF_USER_MAX = 20
# of the frames of a log that some listener may not have taken yet, for each filter of theirs
KEPT_BYTES_MAX = 256 * 1024
_BATCH_EVENTS = 500
_PLAIN_ID = re.compile(r"[!-$&-~]+", re.ASCII)
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


def frame_bytes(event: Event) -> bytes:
    """Returns an event as a frame."""
    line = event.readable_line
    if b"\r" in line:
        line = _LINE_ENDS.sub(b"\ndata: ", line)
    return b"id: %b\ndata: %b\n\n" % (id_text(event.event_id).encode(), line)


def id_text(event_id: str) -> str:
    """Returns an id as a frame names it."""
    if _PLAIN_ID.fullmatch(event_id):
        return event_id
    return quote(event_id, safe=_SAFE, errors="surrogatepass")


def event_id(text: str) -> str:
    """Returns the id of which `text` is the form in a frame."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:  # no frame holds such a text
        return text


class Frames(NamedTuple):
    """Some events as a stream sends them."""

    data: bytes = b""
    number: int = 0


def frames_of(events: Sequence[Event], event_filter: Filter) -> Frames:
    """Returns those of some events that match."""
    frames = [frame_bytes(event) for event in events if event_filter.matches(event)]
    return Frames(b"".join(frames), len(frames))


class Listener:
    """The place of a client in the feed of a log; made in its event loop.

    It has had all events up to `last_id`. `user`: whose streams are bounded, None where there are
    no users. `is_gone`: the client has left.
    """

    feed: "Feed | None" = None

    def __init__(self, event_filter: Filter, user: str | None = None) -> None:
        self.event_filter = event_filter
        self.user = user
        self.is_gone = False
        self.last_id: str | None = None
        self.taken = 0  # of the batches of its feed
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    def wake(self) -> None:
        """Tells, from any thread, that something came, or that nothing more comes."""
        with suppress(RuntimeError):  # the loop has ended, and the client with it
            self._loop.call_soon_threadsafe(self._ready.set)

    async def take(self, wait_s: float) -> list[Frames] | None:
        """Returns what came since the last time, which may take `wait_s` seconds.

        None: more came than was kept, and must be read from the log.
        """
        assert self.feed is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ready.wait()
        self._ready.clear()
        return self.feed.taken_by(self)


class Feed:
    """A thread that follows a log from its start until the last listener leaves; thread-safe.

    `is_there` reports whether the log is still at its location.
    """

    def __init__(self, logs: Logs, location: FoundLog, is_there: Callable[[], bool]) -> None:
        self.is_over = False
        self.key = location.key
        self.log_id = location.id
        self._logs = logs
        self._location = location
        self._is_there = is_there
        self._reading = Lock()  # taken before the mutex, by who reads from the log
        self._mutex = Lock()
        self._listeners: set[Listener] = set()
        self._batches: deque[Mapping[Filter, Frames]] = deque()
        self._kept_bytes = self._count = 0
        self._last: str | None = None
        self._log: OpenLog | None = None
        self._error: BaseException | None = None
        self._started = Signal()
        self._stop = Signal()
        Thread(target=self._run, name=f"thence-live-{location.id}", daemon=True).start()

    def stop(self) -> None:
        """Makes the thread end; it ends the remaining listeners."""
        self._stop.set()

    def subscribe(self, listener: Listener) -> str | None:
        """Passes new events to a listener from now on; it blocks while the log is read.

        Returns the id of the last event before those, None if the log is empty. Raises
        the error that kept the thread from following the log, and `read_failed`.
        """
        self._started.wait()
        if self._error is not None:
            raise self._error
        with self._reading:
            self._read()
            with self._mutex:
                if not listener.is_gone:
                    self._listeners.add(listener)
        return self.pass_over(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Passes no more events to a listener."""
        with self._mutex:
            self._listeners.discard(listener)

    def pass_over(self, listener: Listener) -> str | None:
        """Passes over what a listener has not taken; returns the id of the last event of that."""
        with self._mutex:
            listener.taken, listener.last_id = self._count, self._last
            return self._last

    def taken_by(self, listener: Listener) -> list[Frames] | None:
        """Returns what a listener has not taken yet, None if some of it is not kept any more."""
        with self._mutex:
            dropped = self._count - len(self._batches)
            if listener.taken < dropped:
                return None
            batches = islice(self._batches, listener.taken - dropped, None)
            frames = [batch[listener.event_filter] for batch in batches]
            listener.taken, listener.last_id = self._count, self._last
            return [some for some in frames if some.number]

    def _run(self) -> None:
        try:
            with self._logs.using(self._location) as log, reading(log.folder):
                self._log = log
                self._last = arrivals.newest(log.index).event_id
                self._started.set()
                self._follow(current_path(log.folder))
        except (OSError, ThenceError) as error:
            self._error = error
        finally:
            with self._mutex:
                self.is_over = True
                listeners = tuple(self._listeners)
            self._started.set()
            for listener in listeners:
                listener.wake()

    def _follow(self, file: Path) -> None:
        """Passes on new events."""
        state, is_new = _state(file), True
        while not self._stop.wait(POLL_S):
            before, state = state, _state(file)
            if state != before or is_new:
                # once more afterwards: what comes within a tick of the file's clock shows no more
                is_new = state != before
                if not self._is_there():
                    return
                with self._reading:
                    self._read()

    def _read(self) -> None:
        """Reads what has come into the log by now; for who holds `_reading`."""
        assert self._log is not None
        events = arrivals.behind(self._log.index, self._last)
        while batch := list(islice(events, _BATCH_EVENTS)):
            self._pass_on(batch)

    def _pass_on(self, events: Sequence[Event]) -> None:
        with self._mutex:
            filters = {listener.event_filter for listener in self._listeners}
        batch = {event_filter: frames_of(events, event_filter) for event_filter in filters}
        size_bytes = sum(len(frames.data) for frames in batch.values())
        with self._mutex:
            self._last = events[-1].event_id
            for listener in self._listeners:
                if batch[listener.event_filter].number:
                    listener.wake()
                elif listener.taken == self._count:  # it has nothing to take of all this
                    listener.taken += bool(size_bytes)
                    listener.last_id = self._last
            if size_bytes:
                self._count += 1
                self._batches.append(batch)
                self._kept_bytes += size_bytes
            while self._kept_bytes > KEPT_BYTES_MAX * len(filters):
                dropped = self._batches.popleft()
                self._kept_bytes -= sum(len(frames.data) for frames in dropped.values())


class Feeds:
    """The feeds of the logs of a root; thread-safe."""

    def __init__(self, root: Root, logs: Logs) -> None:
        self._root = root
        self._logs = logs
        self._mutex = Lock()
        self._feeds: dict[LogKey, Feed] = {}
        self._listeners: set[Listener] = set()
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """The number of listeners now."""
        return len(self._listeners)

    @property
    def followed(self) -> int:
        """The number of logs that are followed now."""
        return len(self._feeds)

    def followed_ids(self) -> set[str]:
        """Returns the ids of the logs that are followed now."""
        with self._mutex:
            return {feed.log_id for feed in self._feeds.values()}

    def subscribe(self, location: FoundLog, listener: Listener) -> str | None:
        """Adds a listener to a log's feed, as `Feed.subscribe` does.

        Raises `read_failed` when there are too many listeners, or the server ends, or the listener
        has left meanwhile, and what `Feed.subscribe` raises.
        """
        key = location.key
        with self._mutex:
            refusal = self._refusal(listener)
            if refusal:
                place, code = location.id, "read_failed"
                raise ThenceError("could not follow", place=place, cause=refusal, code=code)
            feed = self._feeds.get(key)
            if feed is None or feed.is_over:
                feed = Feed(self._logs, location, partial(self._is_there, location.id, key))
                self._feeds[key] = feed
            listener.feed = feed
            self._listeners.add(listener)
        return feed.subscribe(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Removes a listener; a feed without listeners is stopped. It may be called twice."""
        with self._mutex:
            listener.is_gone = True
            self._listeners.discard(listener)
            feed = listener.feed
            if feed is None:
                return
            is_idle = all(other.feed is not feed for other in self._listeners)
            if is_idle and self._feeds.get(feed.key) is feed:
                del self._feeds[feed.key]
        feed.unsubscribe(listener)
        if is_idle:
            feed.stop()

    def close(self) -> None:
        """Stops all feeds, which ends their listeners."""
        with self._mutex:
            self._is_closed = True
            feeds = list(self._feeds.values())
        for feed in feeds:
            feed.stop()

    def _refusal(self, listener: Listener) -> str:
        if self._is_closed:
            return "the server ends"
        if listener.is_gone:
            return "the client is gone"
        if len(self._listeners) >= LISTENERS_MAX:
            return f"{LISTENERS_MAX} listen already"
        count = sum(other.user == listener.user for other in self._listeners)
        is_full = listener.user is not None and count >= LISTENERS_OF_USER_MAX
        return f"{LISTENERS_OF_USER_MAX} streams of {listener.user} are open" if is_full else ""

    def _is_there(self, log_id: str, key: LogKey) -> bool:
        try:
            return self._root.find(log_id).key == key
        except (OSError, ThenceError):
            return False


def _state(file: Path) -> tuple[int, int, int] | None:
    """Returns what changes when a log's current segment does; None where there is none."""
    try:
        stat = os.stat(file)
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
