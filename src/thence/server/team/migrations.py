"""The migrations of a server's database, forward only, as it is opened.

Each is a step to the next version; all that are missing run in one transaction, under a lock that
lets no other process in. A new one goes to the end of MIGRATIONS, and schema.sql has then what it
leaves. Databases in PostgreSQL begin with version 6.

Version 2 proved by signed `log.seal` lines who wrote a line. What they had proven stays: those
lines are signed, all others with numbers are relayed until the owner of their node pushes them. Its
redactions that were not carried out count as relayed lines too, so that their writers push them
again. Lines that stood there without a body though nobody had redacted them are removed, for a
client that holds one whole to push it again.

Up to version 5 blocks of lines were compared; since then each line has the digest of all up to it.
"""

import logging
from collections.abc import Callable
from hashlib import sha256
from itertools import islice, product
from typing import NamedTuple

from thence.server.team.database import Row, Transaction
from thence.server.team.rows import chained

# choices of lines that are tried where several lines have the numbers of one seal
_CHOICES_MAX = 4_096
_BLOCK_NUMBERS = 1_024

_BEGIN = """
    CREATE TABLE relayed (
        team INTEGER NOT NULL, log INTEGER NOT NULL, node TEXT NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (team, log, node, digest)
    ) WITHOUT ROWID;
    CREATE TABLE certificates (
        id INTEGER PRIMARY KEY, team INTEGER NOT NULL, log INTEGER NOT NULL,
        public_key TEXT NOT NULL, lines_sha256 TEXT NOT NULL, signature TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, at INTEGER NOT NULL DEFAULT (unixepoch())
    );
    CREATE TABLE announced (
        team INTEGER NOT NULL, log INTEGER NOT NULL, digest BLOB NOT NULL,
        public_key TEXT NOT NULL, event_id TEXT NOT NULL,
        PRIMARY KEY (team, log, digest, public_key, event_id)
    ) WITHOUT ROWID;
    ALTER TABLE logs ADD COLUMN signed INTEGER NOT NULL DEFAULT 0;
    INSERT INTO relayed SELECT team, log, node, digest FROM events WHERE node <> '';
"""
_INVITATIONS = """
    CREATE TABLE invitations (
        team INTEGER NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        hash BLOB NOT NULL,
        expires REAL NOT NULL,
        PRIMARY KEY (team, name)
    ) WITHOUT ROWID;
"""
_SEALS = """
    SELECT seals.team, seals.log, seals.node, first, last, count, lines_sha256
    FROM seals JOIN claims ON claims.team = seals.team AND claims.node = seals.node
        AND claims.public_key = seals.public_key
"""
_RANGE = """
    SELECT seq, digest FROM events
    WHERE team = :team AND log = :log AND node = :node
        AND block BETWEEN :first_block AND :last_block AND seq BETWEEN :first AND :last
    ORDER BY seq
"""
_SIGN = """
    DELETE FROM relayed
    WHERE team = :team AND log = :log AND node = :node AND digest = ANY(:digests)
"""
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
_NUMBERS = "SELECT number FROM events WHERE team = :team AND log = :log ORDER BY number"
_RENUMBER = """
    UPDATE events SET number = :number WHERE team = :team AND log = :log AND number = :before
"""
_END = """
    INSERT INTO relayed SELECT team, log, node, notice FROM pending WHERE true
        ON CONFLICT DO NOTHING;
    DROP TABLE seals;
    DROP TABLE pending;
    DROP TABLE withheld;
"""

# keys that begin with the team, and no column with a name that is a word of PostgreSQL
_KEYS_BY_TEAM = """
    ALTER TABLE logins RENAME COLUMN user TO user_id;
    ALTER TABLE keys RENAME COLUMN user TO user_id;
    CREATE INDEX keys_of_user ON keys (user_id);
    ALTER TABLE members RENAME TO members_before;
    CREATE TABLE members (
        team INTEGER NOT NULL REFERENCES teams (id),
        user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        joined INTEGER NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
        PRIMARY KEY (team, user_id)
    ) WITHOUT ROWID;
    INSERT INTO members SELECT team, user, id, role FROM members_before;
    DROP TABLE members_before;
    CREATE INDEX members_of_user ON members (user_id);
    ALTER TABLE logs RENAME TO logs_before;
    CREATE TABLE logs (
        team INTEGER NOT NULL REFERENCES teams (id), id INTEGER NOT NULL,
        name TEXT NOT NULL, kind TEXT NOT NULL, last INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0, signed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (team, id), UNIQUE (team, name)
    ) WITHOUT ROWID;
    INSERT INTO logs SELECT team, id, name, kind, last, revision, signed FROM logs_before;
    DROP TABLE logs_before;
    ALTER TABLE certificates RENAME TO certificates_before;
    CREATE TABLE certificates (
        team INTEGER NOT NULL, log INTEGER NOT NULL, public_key TEXT NOT NULL,
        lines_sha256 TEXT NOT NULL, signature TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, at INTEGER NOT NULL DEFAULT (unixepoch()),
        PRIMARY KEY (team, log, signature)
    );
    INSERT INTO certificates SELECT team, log, public_key, lines_sha256, signature, first, last, at
        FROM certificates_before WHERE true ORDER BY id ON CONFLICT DO NOTHING;
    DROP TABLE certificates_before;
"""

_NO_BLOCKS = """
    DROP TABLE blocks;
    DROP INDEX events_of_block;
    ALTER TABLE events RENAME TO events_before;
    CREATE TABLE events (
        team INTEGER NOT NULL, log INTEGER NOT NULL, number INTEGER NOT NULL,
        event_id TEXT NOT NULL, node TEXT NOT NULL, seq INTEGER NOT NULL,
        content BLOB NOT NULL, digest BLOB NOT NULL, chain BLOB NOT NULL, line BLOB NOT NULL,
        PRIMARY KEY (team, log, number), UNIQUE (team, log, digest)
    );
"""
_ALL_LOGS = "SELECT team, id FROM logs"
_EVENT = ("team", "log", "number", "event_id", "node", "seq", "content", "digest", "line")
_EVENTS_BEFORE = f"""
    SELECT {", ".join(_EVENT)} FROM events_before
    WHERE team = :team AND log = :log AND number > :number ORDER BY number LIMIT 1000
"""

_logger = logging.getLogger("thence.server")


class Migration(NamedTuple):
    """A step to a version; `words` tell operators what it does.

    It runs statements, or a function that reports whether copies of removed lines may be left.
    """

    version: int
    words: str
    run: str | Callable[[Transaction], bool]


def migrate(connection: Transaction, version: int) -> bool:
    """Brings a database from a version to VERSION within the caller's transaction.

    Reports whether copies of lines that were removed may be left in the files.
    """
    leaves_copies = False
    for migration in missing(version):
        if isinstance(migration.run, str):
            connection.script(migration.run)
        else:
            leaves_copies |= migration.run(connection)
        _logger.warning(
            "brought the server's database to version %s: %s", migration.version, migration.words
        )
    return leaves_copies


def missing(version: int) -> list["Migration"]:
    """Returns the migrations that a database of a version lacks."""
    return [migration for migration in MIGRATIONS if migration.version > version]


def _sign_sealed(connection: Transaction) -> bool:
    """Brings a database from version 2 to 3; reports whether lines were removed."""
    connection.script(_BEGIN)
    for row in connection.execute(_SEALS):
        _sign_lines(connection, row)
    has_removed = _remove_withheld(connection)
    connection.script(_END)
    return has_removed


def _sign_lines(connection: Transaction, row: Row) -> None:
    """Makes the lines signed that a seal covers."""
    team, log, node, first, last, count, lines_sha256 = row
    place = {"team": team, "log": log, "node": node}
    span = {
        "first_block": (first - 1) // _BLOCK_NUMBERS,
        "last_block": (last - 1) // _BLOCK_NUMBERS,
        "first": first,
        "last": last,
    }
    digests: dict[int, list[bytes]] = {}
    for seq, digest in connection.execute(_RANGE, {**place, **span}):
        digests.setdefault(seq, []).append(digest)
    if len(digests) != count:
        return
    for choice in islice(product(*digests.values()), _CHOICES_MAX):
        if sha256(b"".join(choice)).hexdigest() == lines_sha256:
            connection.execute(_SIGN, {**place, "digests": list(choice)})
            return


def _remove_withheld(connection: Transaction) -> bool:
    """Removes lines that lack their bodies though nobody redacted them; reports whether any."""
    logs = connection.execute(_WITHHELD)
    for statement in _REMOVE:
        connection.execute(statement)
    for team, log in logs:
        names = {"team": team, "log": log}
        numbers = [number for (number,) in connection.execute(_NUMBERS, names)]
        moved = ((number, before) for number, before in enumerate(numbers, 1) if number != before)
        connection.many(
            _RENUMBER, ({**names, "number": number, "before": before} for number, before in moved)
        )
        connection.execute(_REVISE, names)
    return bool(logs)


def _chain(connection: Transaction) -> bool:
    """Brings a database from version 5 to 6; reports that copies of lines may be left."""
    connection.script(_NO_BLOCKS)
    for team, log in connection.execute(_ALL_LOGS):
        place = {"team": team, "log": log, "number": 0}
        chain = b""
        while rows := connection.execute(_EVENTS_BEFORE, place):
            chains = []
            for row in rows:
                chain = chained(chain, row[_EVENT.index("digest")])
                chains.append((*row, chain))
            connection.insert("events", (*_EVENT, "chain"), chains)
            place["number"] = rows[-1][2]
    connection.script("DROP TABLE events_before")
    return True


MIGRATIONS = (
    Migration(3, "what seals had proven is signed", _sign_sealed),
    Migration(4, "keys begin with the team", _KEYS_BY_TEAM),
    Migration(5, "people are invited", _INVITATIONS),
    Migration(6, "each line has the digest of all up to it", _chain),
)
VERSION = MIGRATIONS[-1].version
FIRST_OF_POSTGRES = 4
MIGRATED_VERSIONS = tuple(migration.version - 1 for migration in MIGRATIONS)
