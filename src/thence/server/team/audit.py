"""The audit log of a server: who came in and who changed what, in an ordinary log of thence.

It is in a folder beside the database, for the server's owner alone. Commands and servers write it
alike, one at a time, and `thence log --log FOLDER` reads it. It holds no password, no token and
nothing of an event. Where it can't be written everything else goes on: the operator is told, and
the log how many are missing.
"""

import logging
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from time import monotonic

from thence.errors import ThenceError
from thence.log.open import Log, open_log
from thence.server.team.logins import Pace

FOLDER = "audit"
WAIT_S = 2.0
# failed logins are recorded so many at once, then one each so many seconds; the rest are counted
FAILURES_MAX, FAILURE_S = 60, 1.0
# who makes the request that is answered
acting: ContextVar[str | None] = ContextVar("acting", default=None)

_logger = logging.getLogger("thence.server")


class AuditLog:
    """The audit log in a folder, which is made with the first record; safe from threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log: Log | None = None
        self._mutex = Lock()
        self._missing = 0
        self._failures = Pace(FAILURES_MAX, FAILURE_S)
        self._left_out = 0

    def record(self, event_type: str, actor: str | None = None, /, **payload: object) -> None:
        """Records that something was done, by `acting` where no actor is named; never raises."""
        with self._mutex:
            try:
                if self._log is None:
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._log = open_log(self._folder)
                log = self._log
                if self._missing:
                    log.append("audit.gap", {"missing": self._missing}, timeout_s=WAIT_S)
                    self._missing = 0
                log.append(event_type, payload, actor=actor or acting.get(), timeout_s=WAIT_S)
            except (ThenceError, OSError) as error:
                self._missing += 1
                if self._missing == 1:
                    _logger.error("could not write the audit log, all else goes on: %s", error)
                self._close()

    def record_failure(self, user: str | None, address: str) -> None:
        """Records that a login failed; what comes too often is counted, and told by the next one.

        `user` is None for a name that no user has: people type passwords there.
        """
        if self._failures.begin(None, monotonic()):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        words = {"left_out": left_out} if left_out else {}
        self.record("login.failed", user=user, address=address, **words)

    def close(self) -> None:
        """Closes the log."""
        with self._mutex:
            self._close()

    def _close(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            with suppress(ThenceError, OSError):
                log.close()
