"""All that one app serves from: the root, its open logs, what is known of them, the threads."""

from collections.abc import Callable
from threading import Event as Signal
from threading import Thread
from time import monotonic
from typing import TypeVar

from starlette.requests import Request

from thence.errors import NotALog, ReadFailed, ThenceError
from thence.index.plan.page import PageOfLines
from thence.server.live import backlog
from thence.server.live.feed import Feeds
from thence.server.logs.logs import Logs, OpenLog
from thence.server.logs.root import FoundLog, Root
from thence.server.logs.summaries import Summaries, size_bytes
from thence.server.metrics import Metrics
from thence.server.workers import Slow, Workers

LOG_BYTES_MAX = 4 * 1024 * 1024
PERIOD_S = 5.0
# between two passes at least so many times as long as one took
REST_RATIO = 20
# between two logs, so that who waits for the interpreter gets it
_BREATH_S = 0.001


class LogScan:
    """A thread that goes over a root's logs until it is stopped."""

    def __init__(self, root: Root, summaries: Summaries) -> None:
        self._root = root
        self._summaries = summaries
        self._stop = Signal()
        self._thread: Thread | None = None
        self.skipped = 0
        self._unread: set[str] = set()

    @property
    def unread(self) -> int:
        """How many logs nobody has looked at yet."""
        return sum(not self._summaries.has(log_id) for log_id in self._unread)

    def start(self) -> None:
        """Starts the thread."""
        self._thread = Thread(target=self._run, name="thence-scan", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops it; a log that is being read is read to its end by itself."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = monotonic()
            self._look()
            self._stop.wait(max(PERIOD_S, REST_RATIO * (monotonic() - began)))

    def _look(self) -> None:
        """Goes over all logs once."""
        skipped = 0
        ids: set[str] = set()
        unread: set[str] = set()
        for found in self._root.logs():
            if self._stop.wait(_BREATH_S):
                return
            try:
                if found is None:
                    skipped += 1
                elif size_bytes(found) <= LOG_BYTES_MAX:
                    self._summaries.of(found)
                else:
                    unread.add(found.id)
            except (OSError, ThenceError):
                skipped += 1
                continue
            if found is not None:
                ids.add(found.id)
        self._summaries.keep_only(ids)
        self.skipped, self._unread = skipped, unread


T = TypeVar("T")


class Served:
    """What the routes of an app share. `closing` is set when the server is about to end."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.logs = Logs()
        self.summaries = Summaries(self.logs)
        self.scan = LogScan(root, self.summaries)
        self.feeds = Feeds(root, self.logs)
        self.backlog = backlog.Backlog(backlog.BYTES_MAX)
        self.workers = Workers()
        self.metrics = Metrics()
        self.closing = Signal()

    async def ask(self, log_id: str, work: Callable[[OpenLog], T], is_simulation: bool) -> T:
        """Returns what the work finds in a log, in a thread.

        Raises NotALog for a log that isn't there, or for one that is no simulation where
        one is asked for, and what the work raises.
        """

        def asked(found: FoundLog) -> T:
            with self.logs.using(found) as log:
                return work(log)

        return await self.look(log_id, asked, is_simulation)

    async def look(self, log_id: str, work: Callable[[FoundLog], T], is_simulation: bool) -> T:
        """Returns what the work makes of where a log lies, as `ask` does."""

        def looked(is_patient: bool) -> T:
            found = self.find(log_id, is_simulation)
            try:
                if not is_patient and self.logs.lacks_index(found):
                    raise Slow
                return work(found)
            except (OSError, ReadFailed):
                self.find(log_id, is_simulation)  # is it gone?
                raise

        return await self.workers.run_patiently(looked)

    async def look_at_all(self, work: Callable[[list[FoundLog | None]], T]) -> T:
        """Returns what the work makes of where all logs lie, None for one that can't be read."""

        def looked(is_patient: bool) -> T:
            logs = list(self.root.logs())
            if not is_patient and any(map(self._is_news, filter(None, logs))):
                raise Slow
            return work(logs)

        return await self.workers.run_patiently(looked)

    def _is_news(self, found: FoundLog) -> bool:
        """Tells whether summing up a log would take seconds, for nobody has asked for it yet."""
        if self.summaries.has(found.id):
            return False
        try:
            return self.logs.lacks_index(found)
        except ReadFailed:
            return False

    def find(self, log_id: str, is_simulation: bool) -> FoundLog:
        """Returns where a log lies; raises NotALog."""
        found = self.root.find(log_id)
        if is_simulation and not found.is_simulation:
            raise NotALog("could not find", place=repr(log_id), cause="it is no simulation")
        return found

    def sent(self, page: PageOfLines) -> PageOfLines:
        """Counts the events of a page that is sent, and returns it."""
        self.metrics.count_events(len(page.lines))
        return page

    def close(self) -> None:
        """Stops the scan and closes the logs."""
        self.closing.set()
        self.scan.stop()
        self.feeds.close()
        self.logs.close()


def served(request: Request) -> Served:
    """Returns what the app of a request serves from."""
    found = request.app.state.served
    assert isinstance(found, Served)
    return found
