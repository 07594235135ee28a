"""The state that the routes of one app share: root, open logs, summaries, threads."""

from collections.abc import Callable
from threading import Event as Signal
from threading import Thread
from time import monotonic
from typing import TypeVar

from starlette.requests import Request

from thence.errors import NotALog, ReadFailed, ThenceError
from thence.index.page import PageOfLines
from thence.server.live.feed import Feeds
from thence.server.live.listener import BACKLOG_BYTES_MAX, Backlog
from thence.server.logs.open_logs import Logs, OpenLog
from thence.server.logs.root import FoundLog, Root
from thence.server.logs.summaries import Summaries, size_bytes
from thence.server.metrics import Metrics
from thence.server.workers import Slow, Workers

LOG_BYTES_MAX = 4 * 1024 * 1024
PERIOD_S = 5.0
# the least rest between two passes, in times of the last pass
REST_RATIO = 20
# between two logs, so that a thread that waits for the interpreter gets it
_PAUSE_S = 0.001


class LogScan:
    """A thread that summarizes a root's logs again and again until it is stopped."""

    def __init__(self, root: Root, summaries: Summaries) -> None:
        self._root = root
        self._summaries = summaries
        self._stop = Signal()
        self._thread: Thread | None = None
        self.skipped = 0
        self._unread: set[str] = set()

    @property
    def unread(self) -> int:
        """The number of logs that nobody has asked for yet."""
        return sum(not self._summaries.has(log_id) for log_id in self._unread)

    def start(self) -> None:
        """Starts the thread."""
        self._thread = Thread(target=self._run, name="thence-scan", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread; a log that is being read is still read to its end."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = monotonic()
            self._scan_once()
            self._stop.wait(max(PERIOD_S, REST_RATIO * (monotonic() - began)))

    def _scan_once(self) -> None:
        """Summarizes all logs once; those over LOG_BYTES_MAX are left to the first request."""
        skipped = 0
        ids: set[str] = set()
        unread: set[str] = set()
        for found in self._root.logs():
            if self._stop.wait(_PAUSE_S):
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


class ServerState:
    """The objects that the routes of an app share."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.logs = Logs()
        self.summaries = Summaries(self.logs)
        self.scan = LogScan(root, self.summaries)
        self.feeds = Feeds(root, self.logs)
        self.backlog = Backlog(BACKLOG_BYTES_MAX)
        self.workers = Workers()
        self.metrics = Metrics()

    async def begin(self) -> None:
        """Starts to scan the logs."""
        self.scan.start()

    async def ask(self, log_id: str, work: Callable[[OpenLog], T], is_simulation: bool) -> T:
        """Runs work on an open log in a thread and returns its result.

        Raises NotALog for a missing log, or for one that is no simulation where
        one is asked for, and what the work raises.
        """

        def work_on_open(found: FoundLog) -> T:
            with self.logs.using(found) as log:
                return work(log)

        return await self.inspect(log_id, work_on_open, is_simulation)

    async def inspect(self, log_id: str, work: Callable[[FoundLog], T], is_simulation: bool) -> T:
        """Runs work on the location of a log, as `ask` does."""

        def attempt(is_patient: bool) -> T:
            found = self.find(log_id, is_simulation)
            try:
                if not is_patient and self.logs.lacks_index(found):
                    raise Slow
                return work(found)
            except (OSError, ReadFailed):
                self.find(log_id, is_simulation)  # is it gone?
                raise

        return await self.workers.run_patiently(attempt)

    async def inspect_all(self, work: Callable[[list[FoundLog | None]], T]) -> T:
        """Runs work on the locations of all logs, None for one that can't be read."""

        def attempt(is_patient: bool) -> T:
            logs = list(self.root.logs())
            if not is_patient and any(map(self._needs_index, filter(None, logs))):
                raise Slow
            return work(logs)

        return await self.workers.run_patiently(attempt)

    def _needs_index(self, found: FoundLog) -> bool:
        """Reports whether summing up a log would take seconds, as it has no index yet."""
        if self.summaries.has(found.id):
            return False
        try:
            return self.logs.lacks_index(found)
        except ReadFailed:
            return False

    def find(self, log_id: str, is_simulation: bool) -> FoundLog:
        """Finds a log under the root; raises NotALog."""
        found = self.root.find(log_id)
        if is_simulation and not found.is_simulation:
            raise NotALog("could not find", place=repr(log_id), cause="it is no simulation")
        return found

    def count_page(self, page: PageOfLines) -> PageOfLines:
        """Counts the events of a page that is to be sent, and returns the page."""
        self.metrics.count_events(len(page.lines))
        return page

    def close(self) -> None:
        """Stops the scan and closes the logs."""
        self.scan.stop()
        self.feeds.close()
        self.logs.close()


def served(request: Request) -> ServerState:
    """Returns the shared state of the app of a request."""
    found = request.app.state.served
    assert isinstance(found, ServerState)
    return found
