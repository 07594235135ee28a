"""The thread that looks at all logs now and then, so that /health has something to tell.

It reads small logs only: a large one is read when somebody asks for it.
"""

from threading import Event as Signal
from threading import Thread
from time import monotonic

from thence.errors import ThenceError
from thence.server.logs.root import Root
from thence.server.logs.summaries import Summaries, size_bytes

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
