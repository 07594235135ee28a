"""The open logs of a root, a bounded number of them.

A request uses a log for as long as its query takes; the logs that were used last stay open. A
log whose folder was replaced by another one is opened anew. An open log has one index: that of a
small log is in memory, until it has one in a file.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Unpack

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import OS_DISK
from thence.log.index import causality, query
from thence.log.index.causality import CausalityLines, NamedCauses
from thence.log.index.connection import Index
from thence.log.index.page import Page, PageBounds, PageOfLines
from thence.log.index.tiles import Names
from thence.log.log_reader import Reader
from thence.log.read.opening import known_info
from thence.server.logs.root import FoundLog, LogKey

OPEN_MAX = 16


class OpenLog:
    """A log that is open for reading: its folder, its vocabulary, its reader.

    All queries block, and raise `read_failed`.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.reader = Reader(OS_DISK, folder, vocabulary)
        self.names = Names()
        self.users = 0
        self._mark = ""

    @property
    def index(self) -> Index:
        """The index that answers for the log."""
        return self.reader.index()

    @property
    def mark(self) -> str:
        """The mark of this log's cursors: two folders may hold copies, which then grow apart.

        The log's identity is read as soon as it exists, then kept. Raises `read_failed`.
        """
        if not self._mark:
            info = known_info(OS_DISK, self.folder)
            if info is None:
                return f" {self.folder.name}"
            self._mark = f"{info.log_id} {self.folder.name}"
        return self._mark

    def page(self, event_filter: Filter, **paging: Unpack[PageBounds]) -> Page:
        """Returns a page of the events that match; raises `invalid_cursor`."""
        return query.page(self.index, event_filter, self.mark, **paging)

    def page_of_lines(self, event_filter: Filter, **paging: Unpack[PageBounds]) -> PageOfLines:
        """Returns what `page` does, with the stored bytes of each event."""
        return query.page_of_lines(self.index, event_filter, self.mark, **paging)

    def hint(self, event_filter: Filter) -> str | None:
        """Returns a hint that names the key in `where` that no event has."""
        return self.reader.unknown_key(event_filter.where)

    def event(self, event_id: str) -> Event:
        """Returns the event of an id; raises EventNotFound."""
        return self.reader.get(event_id)

    def causality(self, event_id: str, depth: int) -> CausalityLines:
        """Returns an event's causes and effects up to `depth`; raises EventNotFound."""
        return causality.causality(self.index, event_id, depth)

    def why(self, event: str) -> NamedCauses:
        """Returns the causes of an event that is named as in `find`; raises `ambiguous_id` too."""
        named = self.reader.resolve(event, to_explain=True)
        return causality.named_causes(self.index, named.event_id, self.vocabulary)


class Logs:
    """A thread-safe set of open logs."""

    def __init__(self, open_max: int = OPEN_MAX) -> None:
        self._open_max = open_max
        self._mutex = Lock()
        self._opened: OrderedDict[LogKey, OpenLog] = OrderedDict()

    @contextmanager
    def using(self, location: FoundLog, is_kept: bool = True) -> Iterator[OpenLog]:
        """Opens a log until the block ends, and longer if `is_kept` or while few are open."""
        key = location.key
        with self._mutex:
            log = self._opened.get(key)
            if log is None:
                log = OpenLog(location.folder, location.vocabulary)
                if is_kept or len(self._opened) < self._open_max:
                    self._opened[key] = log
            if is_kept:
                self._opened.move_to_end(key)
            log.users += 1
            # logs over the bound, least recently used first; those in use stay
            over = max(len(self._opened) - self._open_max, 0)
            idle = [key for key, open_log in self._opened.items() if not open_log.users][:over]
            closing = [self._opened.pop(key) for key in idle]
        _close(closing)
        try:
            yield log
        finally:
            with self._mutex:
                log.users -= 1
                is_kept = self._opened.get(key) is log
            if not is_kept:
                _close([log])

    def lacks_index(self, location: FoundLog) -> bool:
        """Reports whether the next question to a log builds its index, which takes seconds."""
        log = self._opened.get(location.key) or OpenLog(location.folder, location.vocabulary)
        return log.reader.lacks_index()

    def release(self, folder: Path) -> bool:
        """Closes a log's folder where nobody uses it; reports whether it is closed now."""
        with self._mutex:
            logs = {key: log for key, log in self._opened.items() if log.folder == folder}
            if any(log.users for log in logs.values()):
                return False
            for key in logs:
                del self._opened[key]
        _close([*logs.values()])
        return True

    @property
    def open(self) -> int:
        """The number of logs that are open now."""
        return len(self._opened)

    def close(self) -> None:
        """Closes all logs."""
        with self._mutex:
            logs = list(self._opened.values())
            self._opened.clear()
        _close(logs)


def _close(logs: list[OpenLog]) -> None:
    for log in logs:
        log.reader.close_index()
