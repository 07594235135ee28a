"""The redactions among the lines that a log holds, kept beside their digests.

They are found by the kind of notice alone; which of them count is for the server to say.
"""

import sqlite3
from collections.abc import Collection, Iterable
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.digests import BODY_DIGEST
from thence.core.values.vocabulary import Vocabulary
from thence.core.wire.authorship import REDACTED, Redaction, redaction_in
from thence.sync.held_database import writing

_CONTESTED_MAX = 1_000
_REDACTED_LINE = "redacted line"
_BODY_DIGEST = f'"{BODY_DIGEST}"'.encode()


class HeldRedaction(NamedTuple):
    """A redaction, with the node and D (`notice`) of its own line; nothing of it is checked."""

    redaction: Redaction
    node: str
    notice: bytes

    @property
    def digest(self) -> bytes:
        """D of the line that is to be redacted."""
        return self.redaction.digest


class HeldNotices:
    """The redactions in the database of a log's held lines."""

    def __init__(self, database: sqlite3.Connection, vocabulary: Vocabulary) -> None:
        self._db = database
        self._vocabulary = vocabulary

    def note(self, event: Event, digest: bytes) -> None:
        """Keeps an event if it is a redaction, or redacted; call it in a transaction."""
        sql = "INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?)"
        if _BODY_DIGEST in event.line and BODY_DIGEST in event.members:
            self._db.execute(sql, (_REDACTED_LINE, event.node_id, digest, b""))
        elif self._vocabulary.notice_kind(event) == REDACTED:
            self._db.execute(sql, (REDACTED, event.node_id, digest, event.line))

    def redactions(self) -> list[HeldRedaction]:
        """Returns all redactions that can be read."""
        redactions = []
        sql = "SELECT line, node, digest FROM notices WHERE kind = ? ORDER BY node, digest"
        for line, node, digest in self._db.execute(sql, (REDACTED,)):
            event = parse(line, self._vocabulary)
            redaction = None if isinstance(event, BadLine) else redaction_in(event)
            if redaction is not None:
                redactions.append(HeldRedaction(redaction, node, digest))
        return redactions

    def redacted_lines(self) -> frozenset[bytes]:
        """Returns D of all lines that have no body any more, whoever took it."""
        sql = "SELECT digest FROM notices WHERE kind = ?"
        return frozenset(digest for (digest,) in self._db.execute(sql, (_REDACTED_LINE,)))

    def contested(self) -> list[str]:
        """Returns the ids under which lines differ and none is signed, at most 1,000.

        Where there are more, the next call returns others.
        """
        row = self._db.execute("SELECT value FROM state WHERE key = 'contested'").fetchone()
        after = bytes.fromhex(row[0]) if row else b""
        found = self._contested(after) or self._contested(b"")
        last = found[-1] if len(found) == _CONTESTED_MAX else b""
        if last != after:
            with writing(self._db):
                sql = "INSERT OR REPLACE INTO state VALUES ('contested', ?)"
                self._db.execute(sql, (last.hex(),))
        return [event_id.decode(errors="surrogatepass") for event_id in found]

    def settle(self, event_ids: Iterable[str]) -> None:
        """Forgets ids of which a line is signed, until another line comes."""
        sql = "UPDATE ids SET is_contested = FALSE WHERE event_id = ?"
        with writing(self._db):
            rows = [(event_id.encode(errors="surrogatepass"),) for event_id in event_ids]
            self._db.executemany(sql, rows)

    def _contested(self, after: bytes) -> list[bytes]:
        sql = (
            "SELECT event_id FROM ids WHERE is_contested AND event_id > ? ORDER BY event_id LIMIT ?"
        )
        return [row[0] for row in self._db.execute(sql, (after, _CONTESTED_MAX))]

    def given_again(self, node: str, disowned: Collection[bytes]) -> list[bytes]:
        """Returns D of those disowned lines of a node that show that the log is an old copy.

        An own line has the same number, or none has one as high.
        """
        if not disowned:
            return []
        sql = "SELECT seq, digest FROM lines WHERE node = ?"
        elsewhere: list[tuple[int, bytes]] = []
        own: set[int] = set()
        for seq, digest in self._db.execute(sql, (node,)):
            if digest in disowned:
                elsewhere.append((seq, digest))
            else:
                own.add(seq)
        last = max(own, default=0)
        return [digest for seq, digest in elsewhere if seq > last or seq in own]
