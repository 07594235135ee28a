"""The logs of a root that are open, a bounded number of them.

Whoever asks gets a log for as long as the question takes; the ones asked for last stay open.
A folder that another has taken the place of is opened anew.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from thence.answers import Answers
from thence.core.values.vocabulary import Vocabulary
from thence.index.file.build_costs import Builds
from thence.index.file.database import Index
from thence.log.read.opening import known_info
from thence.log.storage.disk import NOWHERE, OS_DISK, FileId
from thence.server.logs.root import FoundLog

OPEN_MAX = 16

# what must be the same for an open log to be the one in the folder as it is now
_Key = tuple[str, FileId, str]


class OpenLog:
    """A log that is read: where it lies, whose words it speaks, what answers for it."""

    def __init__(self, folder: Path, vocabulary: Vocabulary, builds: Builds) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.answers = Answers(OS_DISK, folder, vocabulary, builds)
        self.users = 0
        self._mark = ""

    @property
    def index(self) -> Index:
        """The index by which the log is answered, however small it is."""
        return self.answers.indexed()

    @property
    def mark(self) -> str:
        """What marks the cursors of this log: two folders may hold copies, which go on apart.

        It is read once it is there, and then stays. Raises ReadFailed.
        """
        if not self._mark:
            info = known_info(OS_DISK, self.folder)
            if info is None:
                return f" {self.folder}"
            self._mark = f"{info.log_id} {self.folder}"
        return self._mark


class Logs:
    """Open logs; safe from threads. What making their indexes costs is added to `builds`."""

    def __init__(self, open_max: int = OPEN_MAX) -> None:
        self.builds = Builds()
        self._open_max = open_max
        self._mutex = Lock()
        self._opened: OrderedDict[_Key, OpenLog] = OrderedDict()

    @contextmanager
    def using(self, found: FoundLog, is_kept: bool = True) -> Iterator[OpenLog]:
        """Gives a log, which stays open until the block ends, and longer if it `is_kept`."""
        key = _key(found)
        with self._mutex:
            log = self._opened.get(key)
            if log is None:
                log = OpenLog(found.folder, found.vocabulary, self.builds)
                if is_kept:
                    self._opened[key] = log
            if is_kept:
                self._opened.move_to_end(key)
            log.users += 1
            idle = self._idle()
        _close(idle)
        try:
            yield log
        finally:
            with self._mutex:
                log.users -= 1
                is_kept = self._opened.get(key) is log
            if not is_kept:
                _close([log])

    def lacks_index(self, found: FoundLog) -> bool:
        """Tells whether the next question to a log makes its index, which takes seconds."""
        log = self._opened.get(_key(found)) or OpenLog(found.folder, found.vocabulary, self.builds)
        return log.answers.lacks_index()

    @property
    def open(self) -> int:
        """How many are open now."""
        return len(self._opened)

    def close(self) -> None:
        """Closes all of them."""
        with self._mutex:
            every = list(self._opened.values())
            self._opened.clear()
        _close(every)

    def _idle(self) -> list[OpenLog]:
        """Takes out what is over the bound, longest unasked first; what is in use stays."""
        over = len(self._opened) - self._open_max
        keys = [key for key, log in self._opened.items() if not log.users][: max(over, 0)]
        return [self._opened.pop(key) for key in keys]


def _close(logs: list[OpenLog]) -> None:
    for log in logs:
        log.answers.close()


def _key(found: FoundLog) -> _Key:
    there = OS_DISK.path_id(str(found.folder))
    return str(found.folder), there[0] if there else NOWHERE, found.vocabulary.name
