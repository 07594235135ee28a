"""The logs of teams as folders, which the query API reads: `<data>/teams/<team>/<log>/`.

A folder holds what the store holds of its log, and can be deleted at any time: it is made again
before the next question. It is brought up to date when it is asked, not when lines come in. After
lines were replaced it is emptied at once: no file of it holds what was redacted. Over a bound of
all folders those go that were asked for least recently, but none that was in the last minute.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Lock
from time import monotonic

from thence.core.vocabulary import VOCABULARIES
from thence.errors import SuppressCodes, ThenceError
from thence.files import file_lock
from thence.log.files.identity import make_info, record_redactions
from thence.log.files.segment import own_folder
from thence.log.open import OS_DISK, open_log
from thence.server.logs.run_record import CURSOR_FILE, TITLE_FILE
from thence.server.team.rows import LogPlace, NumberedLine, StoredLog
from thence.server.team.store import Store
from thence.server.team.sync_service import Exchange

FOLDER = "teams"
# of all folders together
BYTES_MAX = 4 * 1024**3
# a question waits so long for a folder; then it is told how far that is
WAIT_S = 1.5
# a folder that was asked for stays so long: its question may not be answered yet
KEPT_S = 60.0
# so many large folders are made at once
_MAKING_THREADS = 2
_LOCK = "cache.lock"
# so many lines are relayed at once
RELAYED_MAX = 10_000
_CURSOR_BYTES_MAX = 200
_DROPPED = "dropped"
_TRIES_MAX = 3

_logger = logging.getLogger("thence.server")


class LogCache:
    """The folders of all teams' logs, of `bytes_max` together by `now`; safe from threads.

    `release` closes a folder that nobody uses, and reports whether that is so. Raises FileBusy
    where another process has the folders.
    """

    def __init__(
        self,
        data: Path,
        store: Store,
        *,
        bytes_max: int = BYTES_MAX,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.release: Callable[[Path], bool] = lambda folder: True
        self._data = data
        self._store = store
        self._bytes_max = bytes_max
        self._now = now
        # the size of each folder, and when it was asked for, the last one at the end
        self._used: dict[Path, tuple[int, float]] = {}
        self._pool = ThreadPoolExecutor(_MAKING_THREADS, "thence-cache")
        self._making: dict[tuple[int, int], Future[None]] = {}
        self._is_closed = False
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_file = file_lock(data / _LOCK, mode=0o600)
        self._exchange = Exchange(store)
        self._locks: dict[tuple[int, int], Lock] = {}
        self._mutex = Lock()
        self._revisions = -1

    def of_team(self, team: str) -> Path:
        """Returns the folder of a team's logs, made if it is missing."""
        folder = self._data / FOLDER / team
        for place in (folder.parent, folder):
            place.mkdir(mode=0o700, exist_ok=True)
        return folder

    def begin(self) -> None:
        """Removes what a process that was killed left of folders, and measures the others."""
        shutil.rmtree(self._data / _DROPPED, ignore_errors=True)
        self.drop_stale()
        for folder in sorted((self._data / FOLDER).glob("*/*"), key=_last_used):
            self._used[folder] = _size_bytes(folder), self._now() - KEPT_S
        self._shrink()

    def close(self) -> None:
        """Ends what makes folders; they are gone on with when they are asked for again."""
        self._is_closed = True
        self._pool.shutdown(cancel_futures=True)
        self._lock_file.close()

    def refresh_all(self, team: str) -> None:
        """Brings all folders of a team up to date; raises what `refresh` raises."""
        end_s = monotonic() + WAIT_S
        for log in self._store.logs(team):
            self._await(team, log, end_s)

    def refresh(self, team: str, name: str, wait_s: float = WAIT_S) -> None:
        """Brings the folder of a log up to date; does nothing where the team has no such log.

        Raises `read_failed` where that takes longer, and goes on with it; OSError, apsw.Error, and
        what `Log.relay` raises.
        """
        log = self._store.log(team, name)
        if log is not None:
            self._await(team, log, monotonic() + wait_s)

    def _await(self, team: str, log: StoredLog, end_s: float) -> None:
        """Refreshes a folder: here if little lacks, else in a thread which is waited for."""
        folder, key = self.of_team(team) / log.name, (log.team, log.id)
        with self._mutex:
            future = self._making.get(key)
            if future is not None and future.done():
                future = None
            if future is None and log.last - self._number(folder, log) > RELAYED_MAX:
                future = self._making[key] = self._pool.submit(self._make, folder, log)
        if future is not None:
            try:
                future.result(max(end_s - monotonic(), 0.0))
            except TimeoutError:
                number = self._number(folder, log)
                cause = f"{number:,} of {log.last:,} lines of {log.name} are ready to be asked"
                code = "read_failed"
                raise ThenceError("could not answer yet", cause=cause, code=code) from None
        self._make(folder, log)

    def _make(self, folder: Path, log: StoredLog) -> None:
        """Refreshes a folder and counts it as the one that was asked for last."""
        is_altered = self._refresh(folder, log)
        with self._mutex:
            size, _ = self._used.pop(folder, (None, 0.0))
            if is_altered or size is None:
                size = _size_bytes(folder)
            self._used[folder] = size, self._now()
        self._shrink()

    def drop_replaced(self) -> None:
        """Removes what folders hold of logs in which lines were replaced, here or elsewhere.

        What can't be removed is logged; it is made anew before the next question. Raises
        apsw.Error.
        """
        revisions = self._store.revisions()
        if revisions != self._revisions:
            self.drop_stale()
            self._revisions = revisions

    def drop_stale(self) -> None:
        """Removes what stands in folders that must be made anew; raises apsw.Error."""
        for folder in sorted((self._data / FOLDER).glob("*/*")):
            log = self._store.log(folder.parent.name, folder.name)
            if log is None or self._held_number(folder, log) is not None:
                continue
            try:
                with self._lock(log):  # another thread may have made it by now
                    now = self._store.log(folder.parent.name, log.name)
                    if now and folder.is_dir() and self._held_number(folder, now) is None:
                        self._clear(folder)
            except OSError:
                _logger.exception("could not remove the folder of the log %s", log.name)

    def _lock(self, log: StoredLog) -> Lock:
        with self._mutex:
            return self._locks.setdefault((log.team, log.id), Lock())

    def _clear(self, folder: Path, *, is_kept: bool = True) -> None:
        """Puts a new, empty folder in the place of one; who follows the old one sees it go.

        One that is not kept goes without a new one.
        """
        if folder.is_dir() and not any(folder.iterdir()):
            return
        dropped = self._data / _DROPPED
        dropped.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = Path(tempfile.mkdtemp(dir=dropped))
        if folder.exists():
            folder.rename(old / "old")
        if is_kept:
            folder.mkdir(mode=0o700)  # before the old one is removed: its inode is another
        shutil.rmtree(old)

    def _shrink(self) -> None:
        """Removes folders over the bound, least recently used first; those in use stay."""
        with self._mutex:
            excess = sum(size for size, _ in self._used.values()) - self._bytes_max
            until_s = self._now() - KEPT_S
            idle = [folder for folder, (_, used_s) in self._used.items() if used_s <= until_s]
        for folder in idle:
            log = self._store.log(folder.parent.name, folder.name) if excess > 0 else None
            if log is None or not self._lock(log).acquire(blocking=False):
                continue  # another thread makes it just now
            try:
                if self.release(folder):
                    self._clear(folder, is_kept=False)
                    with self._mutex:
                        excess -= self._used.pop(folder, (0, 0.0))[0]
            finally:
                self._lock(log).release()

    def _number(self, folder: Path, log: StoredLog) -> int:
        return self._held_number(folder, log) or 0

    def _refresh(self, folder: Path, log: StoredLog) -> bool:
        """Brings a folder up to date; reports whether that has altered it."""
        is_altered = False
        with self._lock(log):
            for _ in range(_TRIES_MAX):
                number = self._held_number(folder, log)
                if number is None:
                    self._clear(folder)
                    number = 0
                is_altered |= number != log.last
                if number < log.last:
                    self._relay(folder, log, number)
                now = self._store.log(folder.parent.name, log.name)
                if now is None or now.revision == log.revision:
                    break
                log = now  # another process has replaced lines meanwhile
            if log.title:
                _write(own_folder(folder) / TITLE_FILE, log.title)
        return is_altered

    def _held_number(self, folder: Path, log: StoredLog) -> int | None:
        """Returns the number up to which a folder holds the log; None if it must be made anew."""
        with suppress(OSError, ValueError), SuppressCodes("cursor_unknown"):
            with _cursor_file(folder).open(encoding="ascii") as file:
                cursor, revision = file.read(_CURSOR_BYTES_MAX).split(" ")
            if cursor and revision == str(log.revision):
                return self._exchange.number(log, cursor)
        return None

    def _relay(self, folder: Path, log: StoredLog, number: int) -> None:
        """Relays the lines behind a number, then keeps how far it came."""
        if number == 0:
            # an id that each process gives it: the cursors of pages hold in all of them
            name = f"{self._store.epoch} {log.team} {log.id} {log.revision}"
            make_info(OS_DISK, folder, log.kind, sha256(name.encode()).hexdigest())
        with open_log(folder, VOCABULARIES[log.kind]) as opened:
            while not self._is_closed:
                with closing(self._store.page(log, number, RELAYED_MAX)) as rows:
                    taken: list[NumberedLine] = list(islice(rows, RELAYED_MAX))
                if not taken:
                    return
                opened.relay([row.line for row in taken], self._store.bodies(log))
                if number == 0:  # each redaction is a revision, for which the folder is made anew
                    record_redactions(OS_DISK, folder, self._store.redactions(log))
                number = taken[-1].number
                cursor = self._exchange.cursor(LogPlace(number, taken[-1].chain))
                _write(_cursor_file(folder), f"{cursor} {log.revision}")


def _size_bytes(folder: Path) -> int:
    """Returns the bytes of all files in a folder, as far as they are there."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.lstat().st_size
    return size


def _last_used(folder: Path) -> float:
    """Returns when a folder was brought up to date last, in seconds since 1970; 0 if unknown."""
    with suppress(OSError):
        return _cursor_file(folder).stat().st_mtime
    return 0.0


def _write(file: Path, text: str) -> None:
    """Replaces a file, unless it holds the text already."""
    with suppress(OSError, ValueError):
        if file.read_text() == text:
            return
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(file)


def _cursor_file(folder: Path) -> Path:
    return own_folder(folder) / CURSOR_FILE
