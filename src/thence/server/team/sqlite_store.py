"""The logs of all teams in SQLite: lines in the order of their commits, and their blocks.

Every statement names the team. A batch is one transaction: after a crash all of it is there or
nothing. Numbers of a log are contiguous from 1.
"""

from collections.abc import Generator, Iterable, Sequence

import apsw

from thence.core.wire.blocks import DIGEST_BYTES, EMPTY, BlockDigest, Place
from thence.core.wire.seals import LinePlace
from thence.errors import NotALog, SyncRefused, VocabularyMismatch
from thence.server.team.database import Database
from thence.server.team.proofs import authored
from thence.server.team.rows import PRESENT_LINE, NewLine, NumberedLine, StoredLog
from thence.server.team.taking_back import carried_out, completed

LOGS_MAX = 10_000  # of one team


_LOG = """
    SELECT logs.team, logs.id, logs.name, logs.kind, logs.last, logs.revision
    FROM logs JOIN teams ON teams.id = logs.team
    WHERE teams.slug = :team AND logs.name = :name
"""
_MAKE_LOG = """
    INSERT INTO logs (team, name, kind) SELECT id, :name, :kind FROM teams WHERE slug = :team
    ON CONFLICT DO NOTHING
"""
_LOG_COUNT = """
    SELECT count(*) FROM logs JOIN teams ON teams.id = logs.team WHERE teams.slug = :team
"""
_KNOWN = """
    SELECT digest FROM events WHERE team = :team AND log = :log AND digest IN carray(:digests)
"""
_INSERT = """
    INSERT INTO events (team, log, number, event_id, node, seq, block, content, digest, line)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COUNT = "UPDATE logs SET last = :last WHERE team = :team AND id = :log"
_BLOCK = """
    SELECT count, sum FROM blocks
    WHERE team = :team AND log = :log AND node = :node AND block = :block
"""
_PUT_BLOCK = """
    INSERT INTO blocks (team, log, node, block, count, sum) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (team, log, node, block) DO UPDATE SET count = excluded.count, sum = excluded.sum
"""
_PAGE = f"""
    SELECT number, digest, {PRESENT_LINE} FROM events
    WHERE team = :team AND log = :log AND number > :after ORDER BY number LIMIT :limit
"""
_DIGEST_AT = "SELECT digest FROM events WHERE team = :team AND log = :log AND number = :number"
_BLOCKS = "SELECT node, block, count, sum FROM blocks WHERE team = :team AND log = :log"
_DIGESTS = """
    SELECT digest FROM events
    WHERE team = :team AND log = :log AND node = :node AND block = :block ORDER BY seq, digest
"""
_LINES = f"""
    SELECT {PRESENT_LINE} FROM events
    WHERE team = :team AND log = :log AND digest IN carray(:digests)
"""
_WITHHELD_FROM = """
    SELECT digest FROM withheld WHERE team = :team AND log = :log AND digest >= :start
    ORDER BY digest LIMIT :limit
"""
_WITHHELD_BEFORE = """
    SELECT digest FROM withheld WHERE team = :team AND log = :log AND digest < :start
    ORDER BY digest LIMIT :limit
"""
_REDACTIONS = "SELECT digest FROM redactions WHERE team = :team AND log = :log"
_LOGS = """
    SELECT logs.team, logs.id, logs.name, logs.kind, logs.last, logs.revision
    FROM logs JOIN teams ON teams.id = logs.team WHERE teams.slug = :team ORDER BY logs.name
"""


class SqliteStore:
    """The logs in a database; safe from threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def epoch(self) -> str:
        """The name of this history of commits."""
        return self._database.epoch

    def log(self, team: str, name: str) -> StoredLog | None:
        """Returns a log of a team, None if there is none."""
        with self._database.reading() as connection:
            return _log(connection, team, name)

    def team_of(self, log: StoredLog) -> str:
        """Returns the name of the team of a log."""
        query = "SELECT slug FROM teams WHERE id = :team"
        with self._database.reading() as connection:
            return str(connection.execute(query, {"team": log.team}).get)

    def logs(self, team: str) -> list[StoredLog]:
        """Returns all logs of a team by name."""
        with self._database.reading() as connection:
            return [StoredLog(*row) for row in connection.execute(_LOGS, {"team": team})]

    def ingest(self, team: str, name: str, kind: str, lines: Sequence[NewLine]) -> set[bytes]:
        """Commits those lines that the log lacks; returns the digests of those it had before.

        A line that it had without its body is lacking too. No digest may stand twice among the
        lines. The log is made if it is missing. What the lines take back is taken back. Raises
        NotALog if there is no such team, VocabularyMismatch if the log is of another kind,
        SyncRefused if the team has too many.
        """
        with self._database.writing() as connection:
            found = _log(connection, team, name)
            if found is None:
                found = _made_log(connection, team, name, kind)
            if found.kind != kind:
                raise VocabularyMismatch(
                    "could not add to the log",
                    place=name,
                    cause=f"it is of the kind {found.kind}, not {kind}",
                )
            known, is_changed = _commit(connection, found, lines) if lines else (set(), False)
        if is_changed:
            self._database.erased([found])
        return known

    def withheld(self, log: StoredLog, start: bytes, limit: int) -> bytes:
        """Returns digests of lines that lack their bodies, joined: those from a digest on first."""
        given = {"team": log.team, "log": log.id, "start": start, "limit": limit}
        with self._database.reading() as connection:
            found = [digest for (digest,) in connection.execute(_WITHHELD_FROM, given)]
            given |= {"limit": limit - len(found)}
            if len(found) < limit:
                found += [digest for (digest,) in connection.execute(_WITHHELD_BEFORE, given)]
        return b"".join(found)

    def authored(self, log: StoredLog, lines: Iterable[LinePlace]) -> set[bytes]:
        """Returns D of those lines that seals prove to be their nodes'."""
        with self._database.reading() as connection:
            return authored(connection, log, lines)

    def redactions(self, log: StoredLog) -> list[bytes]:
        """Returns D of the lines of a log that were taken back."""
        given = {"team": log.team, "log": log.id}
        with self._database.reading() as connection:
            return [digest for (digest,) in connection.execute(_REDACTIONS, given)]

    def page(self, log: StoredLog, after: int, limit: int) -> Generator[NumberedLine, None, None]:
        """Yields stored lines behind a number, in order; closed if not read to the end."""
        given = {"team": log.team, "log": log.id, "after": after, "limit": limit}
        with self._database.reading() as connection:
            for row in connection.execute(_PAGE, given):
                yield NumberedLine(*row)

    def digest_at(self, log: StoredLog, number: int) -> bytes | None:
        """Returns the digest of the line with a number, None if there is none."""
        given = {"team": log.team, "log": log.id, "number": number}
        with self._database.reading() as connection:
            found: bytes | None = connection.execute(_DIGEST_AT, given).get
            return found

    def blocks(self, log: StoredLog) -> dict[Place, BlockDigest]:
        """Returns all blocks of a log."""
        with self._database.reading() as connection:
            rows = connection.execute(_BLOCKS, {"team": log.team, "log": log.id})
            return {
                Place(row[0], row[1]): BlockDigest(row[2], int.from_bytes(row[3])) for row in rows
            }

    def digests(self, log: StoredLog, place: Place) -> bytes:
        """Returns the digests of the lines in a block, joined."""
        given = {"team": log.team, "log": log.id, "node": place.node, "block": place.block}
        with self._database.reading() as connection:
            return b"".join(digest for (digest,) in connection.execute(_DIGESTS, given))

    def lines(self, log: StoredLog, digests: Sequence[bytes]) -> Generator[bytes, None, None]:
        """Yields the lines that the log holds of these digests; to be closed like a page."""
        if not digests:
            return
        given = {"team": log.team, "log": log.id, "digests": apsw.carray(tuple(digests))}
        with self._database.reading() as connection:
            for (line,) in connection.execute(_LINES, given):
                yield line


def _log(connection: apsw.Connection, team: str, name: str) -> StoredLog | None:
    row = connection.execute(_LOG, {"team": team, "name": name}).fetchone()
    return StoredLog(*row) if row else None


def _made_log(connection: apsw.Connection, team: str, name: str, kind: str) -> StoredLog:
    if connection.execute(_LOG_COUNT, {"team": team}).get >= LOGS_MAX:
        cause = f"the team has {LOGS_MAX} logs, which is the limit"
        raise SyncRefused("could not make the log", place=name, cause=cause)
    connection.execute(_MAKE_LOG, {"team": team, "name": name, "kind": kind})
    found = _log(connection, team, name)
    if found is None:
        raise NotALog("could not find the team", place=team, cause="there is no such team")
    return found


def _commit(
    connection: apsw.Connection, log: StoredLog, lines: Sequence[NewLine]
) -> tuple[set[bytes], bool]:
    """Inserts what is new, with numbers and blocks.

    Returns the digests of the rest, and whether stored lines were replaced.
    """
    digests = apsw.carray(tuple(line.digest for line in lines))
    given = {"team": log.team, "log": log.id, "digests": digests}
    known = {digest for (digest,) in connection.execute(_KNOWN, given)}
    fresh = [line for line in lines if line.digest not in known] if known else lines
    whole = []
    if known:
        whole = completed(connection, log, [line for line in lines if line.digest in known])
        known.difference_update(line.digest for line in whole)
    if fresh:
        head = (log.team, log.id)
        connection.executemany(
            _INSERT, ((*head, number, *line) for number, line in enumerate(fresh, log.last + 1))
        )
        connection.executemany(_PUT_BLOCK, _grown_blocks(connection, log, fresh))
        last = {"team": log.team, "log": log.id, "last": log.last + len(fresh)}
        connection.execute(_COUNT, last)
    is_changed = bool(whole)
    if fresh or whole:
        is_changed |= carried_out(connection, log, [*fresh, *whole] if whole else fresh) > 0
    return known, is_changed


def _grown_blocks(
    connection: apsw.Connection, log: StoredLog, lines: Iterable[NewLine]
) -> list[tuple[int, int, str, int, int, bytes]]:
    """Returns the rows of the blocks in which lines were added."""
    added: dict[tuple[str, int], list[bytes]] = {}
    for line in lines:
        added.setdefault((line.node, line.block), []).append(line.digest)
    rows = []
    for (node, number), digests in added.items():
        given = {"team": log.team, "log": log.id, "node": node, "block": number}
        row = connection.execute(_BLOCK, given).fetchone()
        block = BlockDigest(row[0], int.from_bytes(row[1])) if row else EMPTY
        block = block.plus_all(digests)
        total = block.sum.to_bytes(DIGEST_BYTES)
        rows.append((log.team, log.id, node, number, block.count, total))
    return rows
