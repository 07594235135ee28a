"""The logs that somebody listens to, each followed once, however many listen."""

from threading import Lock

from thence.errors import ReadFailed, ThenceError
from thence.log.storage.disk import OS_DISK
from thence.server.live.feed import Feed
from thence.server.live.listener import Listener
from thence.server.logs.logs import Logs
from thence.server.logs.root import FoundLog, Root

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
