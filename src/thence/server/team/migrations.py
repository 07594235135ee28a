"""The migration of a server's database of an older version, as it is opened.

Version 2 proved by signed `log.seal` lines who wrote a line. What they had proven stays: those
lines are signed, all others with numbers are relayed until the owner of their node pushes them. Its
redactions that were not carried out count as relayed lines too, so that their writers push them
again. Lines that stood there without a body though nobody had redacted them are removed, for a
client that holds one whole to push it again.
"""

import logging
import re
from hashlib import sha256
from importlib.resources import files
from itertools import islice, product
from typing import Any

import apsw

from thence.core.wire.blocks import BLOCK_NUMBERS, DIGEST_BYTES, EMPTY

MIGRATED_VERSIONS = (2,)
# choices of lines that are tried where several lines have the numbers of one seal
_CHOICES_MAX = 4_096

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
_WITHHELD = """
    SELECT DISTINCT team, log, node, block FROM events JOIN withheld USING (team, log, digest)
"""
_REMOVE = tuple(
    f"""
    DELETE FROM {table} WHERE EXISTS (
        SELECT 1 FROM withheld WHERE withheld.team = {table}.team AND withheld.log = {table}.log
            AND withheld.digest = {table}.digest
    )
    """
    for table in ("relayed", "events", "forms")
)
_DIGESTS = "SELECT digest FROM events WHERE team = ? AND log = ? AND node = ? AND block = ?"
_DROP_BLOCK = "DELETE FROM blocks WHERE team = ? AND log = ? AND node = ? AND block = ?"
_PUT_BLOCK = "INSERT INTO blocks (team, log, node, block, count, sum) VALUES (?, ?, ?, ?, ?, ?)"
_REVISE = """
    UPDATE logs SET revision = revision + 1,
        last = (SELECT coalesce(max(number), 0) FROM events WHERE team = :team AND log = :log)
    WHERE team = :team AND id = :log
"""
_NUMBERS = "SELECT number FROM events WHERE team = ? AND log = ? ORDER BY number"
_RENUMBER = "UPDATE events SET number = ? WHERE team = ? AND log = ? AND number = ?"
_END = """
    INSERT INTO relayed SELECT team, log, node, notice FROM pending WHERE true
        ON CONFLICT DO NOTHING;
    DROP TABLE seals;
    DROP TABLE pending;
    DROP TABLE withheld;
"""

_logger = logging.getLogger("thence.server")


def migrate(connection: apsw.Connection, version: int) -> int:
    """Brings a database to a version, all at once; returns the version that it has then."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        before: int = connection.execute("PRAGMA user_version").get
        if before not in MIGRATED_VERSIONS:  # another process was faster
            connection.execute("COMMIT")
            return before
        schema = files("thence.server.team").joinpath("schema.sql").read_text("utf-8")
        connection.execute("".join(_NEW_TABLES.findall(schema)))
        connection.execute(_BEGIN)
        for row in connection.execute(_SEALS).fetchall():
            _sign_sealed(connection, row)
        has_removed = _remove_withheld(connection)
        connection.execute(_END)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if has_removed:  # SQLite leaves copies of neighbours behind where it removes rows
        connection.execute("VACUUM")
    _logger.warning("brought the server's database from version %s to %s", before, version)
    return version


def _sign_sealed(connection: apsw.Connection, row: tuple[Any, ...]) -> None:
    """Makes the lines signed that a seal covers."""
    team, log, node, first, last, count, lines_sha256 = row
    blocks = ((first - 1) // BLOCK_NUMBERS, (last - 1) // BLOCK_NUMBERS)
    digests: dict[int, list[bytes]] = {}
    for seq, digest in connection.execute(_RANGE, (team, log, node, *blocks, first, last)):
        digests.setdefault(seq, []).append(digest)
    if len(digests) != count:
        return
    for choice in islice(product(*digests.values()), _CHOICES_MAX):
        if sha256(b"".join(choice)).hexdigest() == lines_sha256:
            connection.executemany(_SIGN, ((team, log, node, digest) for digest in choice))
            return


def _remove_withheld(connection: apsw.Connection) -> bool:
    """Removes lines that lack their bodies though nobody redacted them; reports whether any."""
    blocks = connection.execute(_WITHHELD).fetchall()
    for statement in _REMOVE:
        connection.execute(statement)
    for place in blocks:
        connection.execute(_DROP_BLOCK, place)
        digests = [digest for (digest,) in connection.execute(_DIGESTS, place)]
        block = EMPTY.plus_all(digests)
        if digests:
            total = block.sum.to_bytes(DIGEST_BYTES)
            connection.execute(_PUT_BLOCK, (*place, block.count, total))
    for team, log in {place[:2] for place in blocks}:
        numbers = [number for (number,) in connection.execute(_NUMBERS, (team, log))]
        new = ((now, team, log, before) for now, before in enumerate(numbers, 1) if now != before)
        connection.executemany(_RENUMBER, new)
        connection.execute(_REVISE, {"team": team, "log": log})
    return bool(blocks)
