"""The audit log of a server: who came in and who changed what, one line of JSON a deed.

It is one file beside the database, for the server's owner alone. Commands and servers write it
alike. It holds no password, no token and nothing of an event. Where it can't be written everything
else goes on, and the operator reads the line on stderr.
"""

import logging
import os
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

FILE = "audit.jsonl"
# who makes the request that is answered
acting: ContextVar[str | None] = ContextVar("acting", default=None)

_logger = logging.getLogger("thence.server")


class AuditLog:
    """The audit log in a folder, which is made with the first line; safe from threads."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def record(self, deed: str, by: str | None = None, /, **about: object) -> None:
        """Records that something was done, by `acting` where nobody is named; never raises."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = msgspec.json.encode({"at": at, "deed": deed, "by": by or acting.get(), **about})
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            private = partial(os.open, mode=0o600)
            # opened for each line, so that the file may be renamed at any time
            with open(self._file, "ab", opener=private) as file:
                file.write(line + b"\n")
        except OSError as error:
            words = "could not write the audit log; all else continues: %s: %s"
            _logger.error(words, error, line.decode())
