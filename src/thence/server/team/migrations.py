"""The migrations of a server's database, forward only, as it is opened.

Each is a step to the next version; all that are missing run in one transaction, under a lock that
lets no other process in. A new one goes to the end of MIGRATIONS, and schema.sql has then what it
leaves.

A database from before version 7, which only SQLite has, gets the tables of schema.sql at once, with
what it holds. Version 2 proved by signed `log.seal` lines who wrote a line. What they had proven
stays: those lines are signed, all others with numbers are relayed until the owner of their node
pushes them. Its redactions that were not carried out count as relayed lines too, so that their
writers push them again. Lines that stood there without a body though nobody had redacted them are
left out, for a client that holds one whole to push it again.
"""

import logging
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.resources import files
from itertools import islice, product
from typing import NamedTuple

from thence.server.team.database import Parameters, Row, Transaction
from thence.server.team.rows import EVENT_COLUMNS, chained

# what the columns of tables were called before
_FORMER_NAMES = {"user_id": "user", "joined": "id"}
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_INDEXES = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
_COLUMNS = "SELECT name FROM pragma_table_info(:table)"
# tables that some of the versions had beside those of today
_GONE = """
    CREATE TABLE IF NOT EXISTS withheld_before (team, log, digest);
    CREATE TABLE IF NOT EXISTS forms_before (id, team, log, digest, line);
"""
# the last form of a line that was redacted stood elsewhere, and zeros in its place
_LINES = """
    SELECT team, log, event_id, node, seq, content, digest,
        CASE WHEN substr(line, 1, 1) = :zero THEN (
            SELECT forms.line FROM forms_before AS forms
            WHERE forms.team = events.team AND forms.log = events.log
                AND forms.digest = events.digest ORDER BY forms.id DESC LIMIT 1
        ) ELSE line END
    FROM events_before AS events WHERE NOT EXISTS (
        SELECT 1 FROM withheld_before AS withheld WHERE withheld.team = events.team
            AND withheld.log = events.log AND withheld.digest = events.digest
    ) ORDER BY team, log, number
"""
_REVISE = """
    UPDATE logs SET revision = revision + 1, last = (
        SELECT count(*) FROM events WHERE events.team = logs.team AND events.log = logs.id
    )
"""
# choices of lines that are tried where several lines have the numbers of one seal
_CHOICES_MAX = 4_096
_RELAY_ALL = "INSERT INTO relayed SELECT team, log, node, digest FROM events WHERE node <> ''"
_SEALED_NODES = "SELECT DISTINCT team, log, node FROM seals_before"
_NUMBERED = """
    SELECT seq, digest FROM events
    WHERE team = :team AND log = :log AND node = :node ORDER BY seq
"""
_SEALS = """
    SELECT first, last, count, lines_sha256 FROM seals_before AS seals
    JOIN claims ON claims.team = seals.team AND claims.node = seals.node
        AND claims.public_key = seals.public_key
    WHERE seals.team = :team AND seals.log = :log AND seals.node = :node
"""
_SIGN = """
    DELETE FROM relayed
    WHERE team = :team AND log = :log AND node = :node AND digest = ANY(:digests)
"""
_RELAY_PENDING = """
    INSERT INTO relayed SELECT team, log, node, notice FROM pending_before WHERE true
        ON CONFLICT DO NOTHING
"""
_BODIES = """
    CREATE TABLE body_pieces (
        team INTEGER NOT NULL,
        log INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        previous BLOB NOT NULL,
        size INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (team, log, sha256)
    );

    CREATE TABLE body_names (
        team INTEGER NOT NULL,
        log INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (team, log, sha256, digest)
    ) WITHOUT ROWID;
    CREATE INDEX body_names_of_line ON body_names (team, log, digest);
"""

_logger = logging.getLogger("thence.server")


class Migration(NamedTuple):
    """A step to a version, of statements or a function; `words` tell operators what it does."""

    version: int
    words: str
    run: str | Callable[[Transaction], None]


# those after the first version that databases in PostgreSQL have
FIRST_VERSION = 7
MIGRATIONS: tuple[Migration, ...] = (Migration(8, "it has room for large values", _BODIES),)
VERSION = FIRST_VERSION + len(MIGRATIONS)
MIGRATED_VERSIONS = range(2, VERSION)


def schema() -> str:
    """Returns the statements that make the tables of VERSION."""
    return files("thence.server.team").joinpath("schema.sql").read_text("utf-8")


def migrate(connection: Transaction, version: int) -> None:
    """Brings a database from a version to VERSION within the caller's transaction."""
    for migration in missing(version):
        if isinstance(migration.run, str):
            connection.script(migration.run)
        else:
            migration.run(connection)
        _logger.warning(
            "brought the server's database to version %s: %s", migration.version, migration.words
        )


def missing(version: int) -> list[Migration]:
    """Returns the migrations that a database of a version lacks."""
    if version < FIRST_VERSION:
        return [Migration(VERSION, "its tables are made anew", _make_anew)]
    return [migration for migration in MIGRATIONS if migration.version > version]


def _make_anew(connection: Transaction) -> None:
    """Puts the tables of today in the place of older ones in SQLite, with what these hold."""
    before = [name for (name,) in connection.execute(_TABLES)]
    for (name,) in connection.execute(_INDEXES):
        connection.script(f"DROP INDEX {name}")
    for name in before:
        connection.script(f"ALTER TABLE {name} RENAME TO {name}_before")
    connection.script(schema())
    connection.script(_GONE)
    for (name,) in connection.execute(f"{_TABLES} AND name NOT LIKE '%_before'"):
        if name in before and name != "events":
            _copy(connection, name)
    connection.insert("events", EVENT_COLUMNS, _lines(connection))
    if "relayed" not in before:
        connection.script(_RELAY_ALL)
        for place in connection.execute(_SEALED_NODES):
            _sign_sealed(connection, dict(zip(("team", "log", "node"), place, strict=True)))
        connection.script(_RELAY_PENDING)
    connection.script(_REVISE)
    for name in dict.fromkeys((*reversed(before), "withheld", "forms")):
        connection.script(f"DROP TABLE {name}_before")


def _copy(connection: Transaction, table: str) -> None:
    """Copies what a table held; of certificates that stood there twice one stays."""
    columns = [name for (name,) in connection.execute(_COLUMNS, {"table": table})]
    former = {name for (name,) in connection.execute(_COLUMNS, {"table": f"{table}_before"})}
    sources = {name: name if name in former else _FORMER_NAMES.get(name) for name in columns}
    pairs = {name: source for name, source in sources.items() if source in former}
    connection.script(
        f"INSERT INTO {table} ({', '.join(pairs)}) SELECT {', '.join(map(str, pairs.values()))}"
        f" FROM {table}_before WHERE true ON CONFLICT DO NOTHING"
    )


def _lines(connection: Transaction) -> Iterator[Row]:
    """Yields the rows of all lines that stay, with numbers without gaps and their chain."""
    place, number, chain = None, 0, b""
    for team, log, *members in connection.stream(_LINES, {"zero": b"\0"}):
        if (team, log) != place:
            place, number, chain = (team, log), 0, b""
        number += 1
        chain = chained(chain, members[-2])
        yield (team, log, number, *members, chain)


def _sign_sealed(connection: Transaction, place: Parameters) -> None:
    """Makes the lines of a node signed that its seals cover."""
    digests: dict[int, list[bytes]] = {}
    for seq, digest in connection.execute(_NUMBERED, place):
        digests.setdefault(seq, []).append(digest)
    for first, last, count, lines_sha256 in connection.execute(_SEALS, place):
        lines = [digests[seq] for seq in range(first, last + 1) if seq in digests]
        for choice in islice(product(*lines), _CHOICES_MAX if len(lines) == count else 0):
            if sha256(b"".join(choice)).hexdigest() == lines_sha256:
                connection.execute(_SIGN, {**place, "digests": list(choice)})
                break
