"""The logs of a root that are open, a bounded number of them.

Whoever asks gets the replica of a log for as long as the question takes; the ones asked for
last stay open. A folder that another has taken the place of is opened anew.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from thence.log.disk import NOWHERE, OS_DISK, FileId
from thence.replica import Replica
from thence.server.root import FoundLog

OPEN_MAX = 16

# what must be the same for an open replica to be that of the folder as it is now
_Key = tuple[str, FileId, str]


class _Opened:
    """A replica and how many ask it now."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.users = 0


class Logs:
    """Open replicas by log; safe from threads."""

    def __init__(self, open_max: int = OPEN_MAX) -> None:
        self._open_max = open_max
        self._mutex = Lock()
        self._opened: OrderedDict[_Key, _Opened] = OrderedDict()

    @contextmanager
    def using(self, found: FoundLog) -> Iterator[Replica]:
        """Gives the replica of a log, which stays open until the block ends."""
        there = OS_DISK.path_id(str(found.folder))
        key = (str(found.folder), there[0] if there else NOWHERE, found.vocabulary.name)
        with self._mutex:
            entry = self._opened.get(key)
            if entry is None:
                entry = self._opened[key] = _Opened(Replica(found.folder, found.vocabulary))
            self._opened.move_to_end(key)
            entry.users += 1
            idle = self._idle()
        _close(idle)
        try:
            yield entry.replica
        finally:
            with self._mutex:
                entry.users -= 1

    def close(self) -> None:
        """Closes all of them."""
        with self._mutex:
            every = list(self._opened.values())
            self._opened.clear()
        _close(every)

    def _idle(self) -> list[_Opened]:
        """Takes out what is over the bound, longest unasked first; what is in use stays."""
        over = len(self._opened) - self._open_max
        keys = [key for key, entry in self._opened.items() if not entry.users][: max(over, 0)]
        return [self._opened.pop(key) for key in keys]


def _close(entries: list[_Opened]) -> None:
    for entry in entries:
        entry.replica.close()
