"""The logs of teams as folders, which the query API reads: `<data>/teams/<team>/<log>/`.

A folder holds what the store holds of its log, and can be deleted at any time: it is made again
before the next question. It is brought up to date when it is asked, not when lines come in. After
lines were replaced it is emptied at once: no file of it holds what was redacted.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from thence.core.values.vocabulary import VOCABULARIES
from thence.core.wire.authorship import digests_by_id, superseded
from thence.errors import CursorUnknown
from thence.index import lookup
from thence.log.storage.digest_files import record_redactions
from thence.log.storage.segment import own_folder
from thence.replica import OS_DISK, Log, open_log
from thence.server.team.exchange import Exchange
from thence.server.team.rows import NumberedLine, StoredLog
from thence.server.team.store import Store

FOLDER = "teams"
# so many lines are relayed at once
RELAYED_MAX = 10_000
# of so many ids with several lines the signed line is served; of others the server does not look
CONTESTED_MAX = 10_000
_CURSOR_FILE = "server-cursor"
_CURSOR_BYTES_MAX = 200
_DROPPED = "dropped"
_TRIES_MAX = 3

_logger = logging.getLogger("thence.server")


class _Progress(NamedTuple):
    """The number up to which a folder holds its log, and the `signed` of the log at that time."""

    number: int
    signed: int


class LogCache:
    """The folders of all teams' logs; safe from threads, for one process."""

    def __init__(self, data: Path, store: Store) -> None:
        self._data = data
        self._store = store
        self._exchange = Exchange(store)
        self._locks: dict[tuple[int, int], Lock] = {}
        self._mutex = Lock()
        self._revisions = -1

    def of_team(self, team: str) -> Path:
        """Returns the folder of a team's logs, made if it is missing."""
        folder = self._data / FOLDER / team
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def refresh_all(self, team: str) -> None:
        """Brings all folders of a team up to date; raises what `refresh` raises."""
        for log in self._store.logs(team):
            self._refresh(team, log)

    def refresh(self, team: str, name: str) -> None:
        """Brings the folder of a log up to date; does nothing where the team has no such log.

        Raises OSError, apsw.Error, ReadFailed and what `Log.relay` raises.
        """
        log = self._store.log(team, name)
        if log is not None:
            self._refresh(team, log)

    def drop_all(self, logs: Iterable[StoredLog]) -> None:
        """Removes what the folders of logs hold, as lines in them were replaced.

        What can't be removed is logged; it is made anew before the next question.
        """
        for log in logs:
            folder = self._data / FOLDER / self._store.team_of(log) / log.name
            try:
                with self._lock(log):
                    if folder.is_dir():
                        self._clear(folder)
            except OSError:
                _logger.exception("could not remove the folder of the log %s", log.name)

    def drop_replaced(self) -> None:
        """Removes what folders hold of lines that another process has replaced meanwhile.

        Raises apsw.Error.
        """
        revisions = self._store.revisions()
        if revisions != self._revisions:
            self.drop_stale()
            self._revisions = revisions

    def drop_stale(self) -> None:
        """Removes what a process that was killed left of folders; raises apsw.Error."""
        shutil.rmtree(self._data / _DROPPED, ignore_errors=True)
        for folder in sorted((self._data / FOLDER).glob("*/*")):
            log = self._store.log(folder.parent.name, folder.name)
            if log is not None and self._progress(folder, log) is None:
                self.drop_all([log])

    def _lock(self, log: StoredLog) -> Lock:
        with self._mutex:
            return self._locks.setdefault((log.team, log.id), Lock())

    def _clear(self, folder: Path) -> None:
        """Puts a new, empty folder in the place of one; who follows the old one sees it go."""
        if folder.is_dir() and not any(folder.iterdir()):
            return
        dropped = self._data / _DROPPED
        dropped.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = Path(tempfile.mkdtemp(dir=dropped))
        if folder.exists():
            folder.rename(old / "old")
        folder.mkdir(mode=0o700)  # before the old one is removed: its inode is another
        shutil.rmtree(old)

    def _refresh(self, team: str, log: StoredLog) -> None:
        folder = self.of_team(team) / log.name
        with self._lock(log):
            for _ in range(_TRIES_MAX):
                progress = self._progress(folder, log)
                if progress is None:
                    self._clear(folder)
                    progress = _Progress(0, log.signed)
                if progress.number < log.last:
                    self._relay(folder, log, progress.number)
                elif progress.signed != log.signed:
                    with open_log(folder, VOCABULARIES[log.kind]) as opened:
                        self._supersede(opened, log)
                    self._keep(folder, log, progress.number)
                now = self._store.log(team, log.name)
                if now is None or now.revision == log.revision:
                    return
                log = now  # another process has replaced lines meanwhile

    def _progress(self, folder: Path, log: StoredLog) -> _Progress | None:
        """Returns how far a folder holds the log; None if it must be made anew."""
        try:
            with _cursor_file(folder).open(encoding="ascii") as file:
                cursor, revision, signed = file.read(_CURSOR_BYTES_MAX).split(" ")
            if not cursor or revision != str(log.revision):
                return None
            return _Progress(self._exchange.number(log, cursor), int(signed))
        except (OSError, ValueError, CursorUnknown):
            return None

    def _keep(self, folder: Path, log: StoredLog, number: int) -> None:
        """Keeps up to which number a folder holds the log."""
        place = self._store.place(log, number)
        if place is None:
            return
        file = _cursor_file(folder)
        unfinished = file.with_name(f".{_CURSOR_FILE}.{os.getpid()}")
        cursor = self._exchange.cursor(place)
        unfinished.write_text(f"{cursor} {log.revision} {log.signed}", "ascii")
        unfinished.replace(file)

    def _relay(self, folder: Path, log: StoredLog, number: int) -> None:
        """Relays the lines behind a number, then keeps how far it came."""
        with open_log(folder, VOCABULARIES[log.kind]) as opened:
            while True:
                with closing(self._store.page(log, number, RELAYED_MAX)) as rows:
                    taken: list[NumberedLine] = list(islice(rows, RELAYED_MAX))
                if not taken:
                    return
                opened.relay(row.line for row in taken)
                if number == 0:  # each redaction is a revision, for which the folder is made anew
                    record_redactions(OS_DISK, folder, self._store.redactions(log))
                self._supersede(opened, log)
                number = taken[-1].number
                self._keep(folder, log, number)

    def _supersede(self, opened: Log, log: StoredLog) -> None:
        """Has of several lines of an id the one served that the owner of its node pushed."""
        contested = lookup.contested(opened.answers.indexed(), CONTESTED_MAX)
        if not contested:
            return
        lines = digests_by_id(opened.answers.held(contested, ()).lines)
        signed = self._store.signed(log, set().union(*lines.values()))
        others = superseded(lines, signed)
        opened.redactions.outrank(digest for digests in others.values() for digest in digests)


def _cursor_file(folder: Path) -> Path:
    return own_folder(folder) / _CURSOR_FILE
