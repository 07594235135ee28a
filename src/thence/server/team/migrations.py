"""The migration of a server's database of an older version, as it is opened.

Version 2 proved by signed `log.seal` lines who wrote a line. What they had proven stays: those
lines are signed, all others with numbers are relayed until the owner of their node pushes them. Its
redactions that were not carried out count as relayed lines too, so that their writers push them
again. Lines that stood there without a body though nobody had redacted them are removed, for a
client that holds one whole to push it again.

Version 3 compared blocks of lines, which are no more; each line gets the digest of all up to it.
"""

import logging
import re
from hashlib import sha256
from importlib.resources import files
from itertools import islice, product
from typing import Any

import apsw

from thence.server.team.rows import chained

MIGRATED_VERSIONS = (2, 3)
# choices of lines that are tried where several lines have the numbers of one seal
_CHOICES_MAX = 4_096
_BLOCK_NUMBERS = 1_024
# lines that get their chains at once
_TOGETHER = 10_000

_NEW_TABLES = re.compile(
    r"CREATE TABLE (?:relayed|certificates|announced) \(.*?\n\)[^;]*;", re.DOTALL
)
_BEGIN = """
    ALTER TABLE logs ADD COLUMN signed INTEGER NOT NULL DEFAULT 0;
    INSERT INTO relayed SELECT team, log, node, digest FROM events WHERE node <> '';
"""
_SEALS = """
    SELECT seals.team, seals.log, seals.node, first, last, count, lines_sha256
    FROM seals JOIN claims ON claims.team = seals.team AND claims.node = seals.node
        AND claims.public_key = seals.public_key
"""
_RANGE = """
    SELECT seq, digest FROM events
    WHERE team = ? AND log = ? AND node = ? AND block BETWEEN ? AND ? AND seq BETWEEN ? AND ?
    ORDER BY seq
"""
_SIGN = "DELETE FROM relayed WHERE team = ? AND log = ? AND node = ? AND digest = ?"
_WITHHELD = "SELECT DISTINCT team, log FROM events JOIN withheld USING (team, log, digest)"
_REMOVE = tuple(
    f"""
    DELETE FROM {table} WHERE EXISTS (
        SELECT 1 FROM withheld WHERE withheld.team = {table}.team AND withheld.log = {table}.log
            AND withheld.digest = {table}.digest
    )
    """
    for table in ("relayed", "events", "forms")
)
_REVISE = """
    UPDATE logs SET revision = revision + 1,
        last = (SELECT coalesce(max(number), 0) FROM events WHERE team = :team AND log = :log)
    WHERE team = :team AND id = :log
"""
_NUMBERS = "SELECT number FROM events WHERE team = ? AND log = ? ORDER BY number"
_RENUMBER = "UPDATE events SET number = ? WHERE team = ? AND log = ? AND number = ?"
_END_OF_2 = """
    INSERT INTO relayed SELECT team, log, node, notice FROM pending WHERE true
        ON CONFLICT DO NOTHING;
    DROP TABLE seals;
    DROP TABLE pending;
    DROP TABLE withheld;
"""

_BLOCKS = """
    DROP TABLE blocks;
    DROP INDEX events_of_block;
    ALTER TABLE events DROP COLUMN block;
    ALTER TABLE events ADD COLUMN chain BLOB NOT NULL DEFAULT x'';
"""
_LOGS = "SELECT team, id FROM logs"
_DIGESTS = """
    SELECT number, digest FROM events WHERE team = ? AND log = ? AND number > ?
    ORDER BY number LIMIT ?
"""
_CHAIN = "UPDATE events SET chain = ? WHERE team = ? AND log = ? AND number = ?"

_logger = logging.getLogger("thence.server")


def migrate(connection: apsw.Connection, version: int) -> int:
    """Brings a database to a version, all at once; returns the version that it has then."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        before: int = connection.execute("PRAGMA user_version").get
        if before not in MIGRATED_VERSIONS:  # another process was faster
            connection.execute("COMMIT")
            return before
        if before == 2:
            _sign_by_seals(connection)
        _chain(connection)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("VACUUM")  # SQLite leaves copies of rows behind where it moves them
    _logger.warning("brought the server's database from version %s to %s", before, version)
    return version


def _sign_by_seals(connection: apsw.Connection) -> None:
    """Makes version 3 of version 2."""
    schema = files("thence.server.team").joinpath("schema.sql").read_text("utf-8")
    connection.execute("".join(_NEW_TABLES.findall(schema)))
    connection.execute(_BEGIN)
    for row in connection.execute(_SEALS).fetchall():
        _sign_sealed(connection, row)
    _remove_withheld(connection)
    connection.execute(_END_OF_2)


def _chain(connection: apsw.Connection) -> None:
    """Makes version 4 of version 3: each line has the digest of all up to it."""
    connection.execute(_BLOCKS)
    for log in connection.execute(_LOGS).fetchall():
        number, chain = 0, b""
        while page := connection.execute(_DIGESTS, (*log, number, _TOGETHER)).fetchall():
            rows: list[tuple[Any, ...]] = []
            for row in page:
                number, chain = row[0], chained(chain, row[1])  # type: ignore[arg-type,assignment]
                rows.append((chain, *log, number))
            connection.executemany(_CHAIN, rows)


def _sign_sealed(connection: apsw.Connection, row: tuple[Any, ...]) -> None:
    """Makes the lines signed that a seal covers."""
    team, log, node, first, last, count, lines_sha256 = row
    blocks = ((first - 1) // _BLOCK_NUMBERS, (last - 1) // _BLOCK_NUMBERS)
    digests: dict[int, list[bytes]] = {}
    for seq, digest in connection.execute(_RANGE, (team, log, node, *blocks, first, last)):
        digests.setdefault(seq, []).append(digest)
    if len(digests) != count:
        return
    for choice in islice(product(*digests.values()), _CHOICES_MAX):
        if sha256(b"".join(choice)).hexdigest() == lines_sha256:
            connection.executemany(_SIGN, ((team, log, node, digest) for digest in choice))
            return


def _remove_withheld(connection: apsw.Connection) -> None:
    """Removes lines that lack their bodies though nobody redacted them."""
    logs = connection.execute(_WITHHELD).fetchall()
    for statement in _REMOVE:
        connection.execute(statement)
    for team, log in logs:
        numbers = [number for (number,) in connection.execute(_NUMBERS, (team, log))]
        new = ((now, team, log, before) for now, before in enumerate(numbers, 1) if now != before)
        connection.executemany(_RENUMBER, new)
        connection.execute(_REVISE, {"team": team, "log": log})
