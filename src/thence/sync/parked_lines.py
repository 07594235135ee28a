"""The lines that stay behind in a sync, with the reasons, in the database of a log's held lines."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from thence.core.wire.blocks import Place
from thence.sync.held_database import writing

_REASON_CHARACTERS_MAX = 500


class ParkedLine(NamedTuple):
    """A line that stays behind: `direction` is "push" or "pull"; a secret is a push never sent."""

    direction: str
    event_id: str
    reason: str
    is_secret: bool = False


class ParkedLines:
    """The parked lines of one log and one target.

    Whenever one is freed, no settled block counts any more: the next round asks the server again.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def park(self, parked: ParkedLine, place: Place, digest: bytes, line: bytes = b"") -> None:
        """Keeps a line of a block back; one that came from the server is kept whole."""
        direction, event_id, reason, is_secret = parked
        row = (direction, *place, digest, event_id, reason[:_REASON_CHARACTERS_MAX], line)
        with writing(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, is_secret)
            )

    def confirm(self, event_id: str) -> int:
        """Lets the lines of an id be sent that were parked as secrets; returns how many."""
        chosen = "FROM parked WHERE is_secret AND event_id = ?"
        with writing(self._db):
            self._db.execute(f"INSERT OR IGNORE INTO confirmed SELECT digest {chosen}", (event_id,))
            return self._freed(self._db.execute(f"DELETE {chosen}", (event_id,)).rowcount)

    def is_confirmed(self, digest: bytes) -> bool:
        """Reports whether the user let a line be sent that matches a rule for secrets."""
        sql = "SELECT 1 FROM confirmed WHERE digest = ?"
        return self._db.execute(sql, (digest,)).fetchone() is not None

    def all(self) -> list[ParkedLine]:
        """Returns the parked lines, in the order of their ids."""
        sql = "SELECT direction, event_id, reason, is_secret FROM parked ORDER BY event_id"
        rows = self._db.execute(sql)
        return [ParkedLine(way, name, reason, bool(flag)) for way, name, reason, flag in rows]

    def pulled(self) -> list[bytes]:
        """Returns the lines that were parked when they came from the server."""
        sql = "SELECT line FROM parked WHERE direction = 'pull' ORDER BY event_id"
        return [line for (line,) in self._db.execute(sql)]

    def unpark(self, direction: str, digests: Iterable[bytes] | None = None) -> int:
        """Takes lines out of the parked ones, all but secrets by default; returns how many."""
        with writing(self._db):
            if digests is None:
                sql = "DELETE FROM parked WHERE direction = ? AND NOT is_secret"
                return self._freed(self._db.execute(sql, (direction,)).rowcount)
            sql = "DELETE FROM parked WHERE direction = ? AND digest = ?"
            rows = [(direction, one) for one in digests]
            return self._freed(self._db.executemany(sql, rows).rowcount)

    def _freed(self, count: int) -> int:
        if count > 0:
            self._db.execute("DELETE FROM settled")
        return max(0, count)
