"""A team as it moves from one database of a server to another, of the same or another engine.

Its members come with the hashes of their passwords, its keys and claims, and its logs line by line
under the same numbers, so that a copy that was ended goes on where it was. Tokens do not come:
everybody logs in again. At the end both sides are read, and must hold the same lines.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from typing import NamedTuple

from thence.errors import DamagedCopy, NotALog, ServerExists
from thence.server.team.body_pieces import NAME_COLUMNS, PIECE_COLUMNS, damage
from thence.server.team.database import Database, Parameters, Row, Transaction, first
from thence.server.team.rows import EVENT_COLUMNS, StoredLog
from thence.server.team.store import Store

_LINES = 5_000  # in one transaction

# the columns of what a team and its logs have beside lines; the first are team, and log
OF_TEAM = {
    "claims": ("node", "public_key"),
    "invitations": ("name", "role", "hash", "expires"),
}
OF_LOG = {
    "body_pieces": PIECE_COLUMNS,
    "body_names": NAME_COLUMNS,
    "announced": ("digest", "public_key", "event_id"),
    "certificates": ("public_key", "lines_sha256", "signature", "first", "last", "at"),
    "redactions": ("digest", "event_id"),
    "relayed": ("node", "digest"),
}
_TEAM = "SELECT id FROM teams WHERE slug = :slug"
_MAKE_TEAM = "INSERT INTO teams (slug) VALUES (:slug) ON CONFLICT DO NOTHING"
_MEMBERS = """
    SELECT users.name, users.password, members.joined, members.role
    FROM members JOIN users ON users.id = members.user_id
    WHERE members.team = :team ORDER BY members.joined
"""
_MAKE_USER = """
    INSERT INTO users (name, password) VALUES (:name, :password) ON CONFLICT DO NOTHING
"""
_JOIN = """
    INSERT INTO members (team, user_id, joined, role)
    SELECT :team, id, :joined, :role FROM users WHERE name = :name ON CONFLICT DO NOTHING
"""
_KEYS = """
    SELECT users.name, keys.public_key FROM keys JOIN users ON users.id = keys.user_id
    WHERE keys.team = :team
"""
_KEEP_KEY = """
    INSERT INTO keys (team, user_id, public_key)
    SELECT :team, id, :key FROM users WHERE name = :name ON CONFLICT DO NOTHING
"""
_LINES_BEHIND = f"""
    SELECT {", ".join(EVENT_COLUMNS)} FROM events
    WHERE team = :team AND log = :log AND number > :after ORDER BY number LIMIT :limit
"""
_LOCK = "SELECT last FROM logs WHERE team = :team AND id = :log FOR UPDATE"
_COUNT = "UPDATE logs SET last = :last WHERE team = :team AND id = :log"
_END = "UPDATE logs SET revision = :revision, signed = :signed WHERE team = :team AND id = :log"

# called with the lines copied so far, and how many there are
Progress = Callable[[int, int], None]


class CopiedTeam(NamedTuple):
    """How much of a team stands in the other database."""

    members: int
    logs: int
    events: int


def copy_team(source: Database, target: Database, team: str, progress: Progress) -> CopiedTeam:
    """Copies a team of a database that nobody changes meanwhile; does the rest of a former copy.

    Users who are there already keep their passwords there. Raises NotALog if there is no such team,
    ServerExists if a log there holds other lines, DamagedCopy if the two differ at the end.
    """
    with source.reading() as opened:
        number = first(opened.execute(_TEAM, {"slug": team}))
        if number is None:
            raise NotALog("could not copy the team", place=team, cause="there is no such team")
        members = opened.execute(_MEMBERS, {"team": number})
        keys = opened.execute(_KEYS, {"team": number})
        of_team = {
            table: list(_rows(opened, table, columns, {"team": number}))
            for table, columns in OF_TEAM.items()
        }
    with target.writing() as written:
        written.execute(_MAKE_TEAM, {"slug": team})
        destination = {"team": first(written.execute(_TEAM, {"slug": team}))}
        for name, password, joined, role in members:
            written.execute(_MAKE_USER, {"name": name, "password": password})
            written.execute(_JOIN, {**destination, "name": name, "joined": joined, "role": role})
        for name, key in keys:
            written.execute(_KEEP_KEY, {**destination, "name": name, "key": key})
        for table, rows in of_team.items():
            _replace(written, table, OF_TEAM[table], destination, rows)
    logs = Store(source).logs(team)
    total = sum(log.last for log in logs)
    done = 0
    for log in logs:
        for copied in _copy_log(source, target, team, log):
            progress(done + copied, total)
        done += log.last
    return CopiedTeam(len(members), len(logs), total)


def _copy_log(source: Database, target: Database, team: str, log: StoredLog) -> Iterator[int]:
    """Copies a log; yields how many of its lines are there."""
    store = Store(target)
    store.ingest(team, log.name, log.kind, ())  # makes it
    other = store.log(team, log.name)
    assert other is not None
    if _contents(source, log, other.last) != _contents(target, other, other.last):
        raise ServerExists(
            "could not copy the log",
            place=f"{team}/{log.name}",
            cause="the log of this name there holds other lines",
            hint="copy into a database without this team",
        )
    last = other.last
    while last < log.last:
        span = {"team": log.team, "log": log.id, "after": last, "limit": _LINES}
        with source.reading() as opened:
            lines = opened.execute(_LINES_BEHIND, span)
        last += len(lines)
        _append(target, other, [(other.team, other.id, *line[2:]) for line in lines], last)
        yield last
    place = {"team": log.team, "log": log.id}
    destination = {"team": other.team, "log": other.id}
    for table, columns in OF_LOG.items():
        with (
            source.reading() as opened,
            target.writing() as written,
            closing(_rows(opened, table, columns, place)) as rows,
        ):
            _replace(written, table, columns, destination, rows)
    with target.writing() as written:
        written.execute(_END, {**destination, "revision": log.revision, "signed": log.signed})
    words = Store(target).bodies(other).asked(damage)
    if words or _contents(source, log, last) != _contents(target, other, last):
        raise DamagedCopy(
            "could not copy the log",
            place=f"{team}/{log.name}",
            cause=words or "the lines that were read back differ from those that were written",
            hint="see that nothing else writes there; copy into an empty database",
        )


def _append(target: Database, log: StoredLog, rows: Sequence[Row], last: int) -> None:
    """Inserts the next lines of a log, all of them or none."""
    destination = {"team": log.team, "log": log.id}
    with target.writing() as written:
        if first(written.execute(_LOCK, destination)) != last - len(rows):
            raise ServerExists("could not copy the log", place=log.name, cause="another writes it")
        written.insert("events", EVENT_COLUMNS, rows)
        written.execute(_COUNT, {**destination, "last": last})


def _contents(database: Database, log: StoredLog, last: int) -> bytes:
    """Returns a digest of the first lines of a log, in order."""
    digest = sha256()
    with closing(Store(database).page(log, 0, last)) as rows:
        for row in rows:
            digest.update(row.digest)
            digest.update(sha256(row.line).digest())
    return digest.digest()


def _rows(
    opened: Transaction, table: str, columns: Sequence[str], place: Parameters
) -> Generator[Row, None, None]:
    """Yields what a table has of a team or a log."""
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE {_where(place)}"
    return opened.stream(query, place)


def _replace(
    written: Transaction,
    table: str,
    columns: Sequence[str],
    place: Parameters,
    rows: Iterable[Row],
) -> None:
    """Puts rows in the place of all that a table has of a team or a log."""
    written.execute(f"DELETE FROM {table} WHERE {_where(place)}", place)
    head = tuple(place.values())
    written.insert(table, (*place, *columns), ((*head, *row) for row in rows))


def _where(place: Parameters) -> str:
    return " AND ".join(f"{name} = :{name}" for name in place)
