"""The seals and redactions among the lines that a log holds, kept beside their digests.

They are found by the kind of notice alone; what they prove is for `sealing` to say.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.digests import BODY_DIGEST
from thence.core.values.vocabulary import Vocabulary
from thence.core.wire.blocks import BLOCK_NUMBERS
from thence.core.wire.seals import REDACTED, SEAL, Redaction, Seal, redaction_in, seal_in
from thence.sync.held_database import writing

_CONTESTED_MAX = 1_000
_REDACTED_LINE = "redacted line"
_BODY_DIGEST = f'"{BODY_DIGEST}"'.encode()


class HeldSeal(NamedTuple):
    """A seal with D of its line; nothing of it is checked."""

    seal: Seal
    digest: bytes


class HeldRedaction(NamedTuple):
    """A redaction with node, number and D of its own line; nothing of it is checked."""

    redaction: Redaction
    node: str
    seq: int
    digest: bytes


class HeldNotices:
    """The notices in the database of a log's held lines."""

    def __init__(self, database: sqlite3.Connection, vocabulary: Vocabulary) -> None:
        self._db = database
        self._vocabulary = vocabulary
        # by their lines, since the last call
        self._read_seals: dict[bytes, Seal | None] = {}

    def note(self, event: Event, digest: bytes) -> None:
        """Keeps an event if it is a seal or a redaction, or redacted; call it in a transaction."""
        if _BODY_DIGEST in event.line and BODY_DIGEST in event.members:
            row = (_REDACTED_LINE, event.node_id, event.seq, digest, b"")
            self._db.execute("INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?)", row)
        kind = self._vocabulary.notice_kind(event)
        if kind in (SEAL, REDACTED):
            row = (kind, event.node_id, event.seq, digest, event.line)
            self._db.execute("INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?)", row)

    def seals(self) -> list[HeldSeal]:
        """Returns all seals that can be read."""
        return [held for held, _ in self._seals()]

    def seals_from_elsewhere(
        self, own_nodes: Collection[str], disowned: Collection[bytes]
    ) -> list[HeldSeal]:
        """Returns the seals whose lines are of other nodes than the log's own, or disowned."""
        return [
            held for held, node in self._seals() if node not in own_nodes or held.digest in disowned
        ]

    def redactions(self) -> list[HeldRedaction]:
        """Returns all redactions that can be read."""
        return [
            HeldRedaction(redaction, node, seq, digest)
            for event, node, seq, digest in self._redactions()
            if (redaction := redaction_in(event)) is not None
        ]

    def holds(self, digest: bytes) -> bool:
        """Reports whether a line is a seal or a redaction."""
        sql = "SELECT 1 FROM notices WHERE digest = ? AND kind IN (?, ?)"
        return self._db.execute(sql, (digest, SEAL, REDACTED)).fetchone() is not None

    def redacted_lines(self) -> frozenset[bytes]:
        """Returns D of all lines that have no body any more, whoever took it."""
        sql = "SELECT digest FROM notices WHERE kind = ?"
        return frozenset(digest for (digest,) in self._db.execute(sql, (_REDACTED_LINE,)))

    def contested(self) -> list[str]:
        """Returns the ids under which lines differ and none is proven, at most 1,000.

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
        """Forgets ids of which a seal has proven a line, until another line comes."""
        sql = "UPDATE ids SET is_contested = FALSE WHERE event_id = ?"
        with writing(self._db):
            rows = [(event_id.encode(errors="surrogatepass"),) for event_id in event_ids]
            self._db.executemany(sql, rows)

    def _contested(self, after: bytes) -> list[bytes]:
        sql = (
            "SELECT event_id FROM ids WHERE is_contested AND event_id > ? ORDER BY event_id LIMIT ?"
        )
        return [row[0] for row in self._db.execute(sql, (after, _CONTESTED_MAX))]

    def numbered(self, node: str, first: int, last: int) -> dict[int, list[bytes]]:
        """Returns D of the lines of a node with numbers from `first` to `last`, by number."""
        sql = (
            "SELECT seq, digest FROM lines WHERE node = ? AND block BETWEEN ? AND ?"
            " AND seq BETWEEN ? AND ? ORDER BY seq, digest"
        )
        blocks = ((first - 1) // BLOCK_NUMBERS, (last - 1) // BLOCK_NUMBERS)
        numbers: dict[int, list[bytes]] = {}
        for seq, digest in self._db.execute(sql, (node, *blocks, first, last)):
            numbers.setdefault(seq, []).append(digest)
        return numbers

    def last_number(self, node: str, but: Collection[bytes] = ()) -> int:
        """Returns the highest number of a node's lines, 0 without one; some lines don't count."""
        sql = "SELECT block, seq, digest FROM lines WHERE node = ? ORDER BY block DESC"
        last, last_block = 0, -1
        for block, seq, digest in self._db.execute(sql, (node,)):
            if last and block != last_block:
                break
            if digest not in but:
                last, last_block = max(last, seq), block
        return last

    def node_of(self, digest: bytes) -> str | None:
        """Returns the node of a line, None if the log does not hold it."""
        row = self._db.execute("SELECT node FROM lines WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else str(row[0])

    def _seals(self) -> list[tuple[HeldSeal, str]]:
        """Returns all seals that can be read, with the nodes of their lines; decodes new ones."""
        known, self._read_seals = self._read_seals, {}
        found = []
        for line, node, _, digest in self._rows(SEAL):
            seal = known[line] if line in known else self._decoded_seal(line)
            self._read_seals[line] = seal
            if seal is not None:
                found.append((HeldSeal(seal, digest), node))
        return found

    def _decoded_seal(self, line: bytes) -> Seal | None:
        event = parse(line, self._vocabulary)
        return None if isinstance(event, BadLine) else seal_in(event)

    def _redactions(self) -> Iterator[tuple[Event, str, int, bytes]]:
        for line, node, seq, digest in self._rows(REDACTED):
            event = parse(line, self._vocabulary)
            if not isinstance(event, BadLine):
                yield event, node, seq, digest

    def _rows(self, kind: str) -> list[tuple[bytes, str, int, bytes]]:
        wanted = "SELECT line, node, seq, digest FROM notices WHERE kind = ?"
        return self._db.execute(f"{wanted} ORDER BY node, seq, digest", (kind,)).fetchall()
