"""The logs of all teams in a database: lines in the order of their commits.

Every statement names the team. A batch is one transaction: after a crash all of it is there or
nothing. Numbers of a log are contiguous from 1.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple, TypeVar

from thence.core.bodies import BODIES_SIGN
from thence.errors import NotALog, SyncRefused, VocabularyMismatch
from thence.server.team import body_pieces
from thence.server.team.accounts import Authority
from thence.server.team.body_pieces import NewPiece
from thence.server.team.database import (
    BEGINNING,
    EVENT_COLUMNS,
    Database,
    LineRefusal,
    LogPlace,
    NewLine,
    NumberedLine,
    StoredLog,
    Transaction,
    chained,
    first,
)
from thence.server.team.redactions import AppliedPush

LOGS_MAX = 10_000  # of one team
T = TypeVar("T")


_LOG = """
    SELECT logs.team, logs.id, logs.name, logs.kind, logs.last, logs.revision, logs.title
    FROM logs JOIN teams ON teams.id = logs.team
    WHERE teams.slug = :team AND logs.name = :name
"""
# held to the end of a push: who else pushes to the log numbers its lines behind these
_LOCK_LOG = f"{_LOG} FOR UPDATE OF logs"
# held while a log of the team is made
_LOCK_TEAM = "SELECT id FROM teams WHERE slug = :team FOR UPDATE"
_MAKE_LOG = """
    INSERT INTO logs (team, id, name, kind)
    SELECT :team, coalesce(max(id), 0) + 1, :name, :kind FROM logs WHERE team = :team
    ON CONFLICT DO NOTHING
"""
_LOG_COUNT = "SELECT count(*) FROM logs WHERE team = :team"
# one look in the index of digests for each, also while PostgreSQL has no statistics of the team:
# where these tell of no row, it takes any index whose first columns fit, and reads a whole log
_KNOWN = """
    SELECT value FROM unnest(:digests) AS value WHERE (
        SELECT 1 FROM events WHERE team = :team AND log = :log AND digest = value
    ) = 1
"""
_ENTITLE = "UPDATE logs SET title = :title WHERE team = :team AND id = :log AND title = ''"
_COUNT = "UPDATE logs SET last = :last WHERE team = :team AND id = :log"
_PAGE = """
    SELECT number, chain, line FROM events
    WHERE team = :team AND log = :log AND number > :after ORDER BY number LIMIT :limit
"""
# in order, as the index of numbers has it and no other one
_CHAIN_AT = """
    SELECT chain FROM events
    WHERE team = :team AND log = :log AND number >= :number AND number <= :number ORDER BY number
"""
_LINES = """
    SELECT (SELECT line FROM events WHERE team = :team AND log = :log AND digest = value)
    FROM unnest(:digests) AS value
"""
_REDACTED = """
    SELECT value FROM unnest(:digests) AS value WHERE (
        SELECT 1 FROM redactions WHERE team = :team AND log = :log AND digest = value
    ) = 1
"""
_LOGS = """
    SELECT logs.team, logs.id, logs.name, logs.kind, logs.last, logs.revision, logs.title,
    final.chain, initial.pushed_by, final.pushed_by
    FROM logs JOIN teams ON teams.id = logs.team
    LEFT JOIN events AS initial
    ON initial.team = logs.team AND initial.log = logs.id AND initial.number = 1
    LEFT JOIN events AS final
    ON final.team = logs.team AND final.log = logs.id AND final.number = logs.last
    WHERE teams.slug = :team AND logs.name > :after ORDER BY logs.name LIMIT :limit
"""


class Ingested(NamedTuple):
    """The result of a push: D of the lines that the log had before, and the refused ones.

    `before` is the number of the log's last line before, `end` the place behind it afterwards.
    """

    known: set[bytes]
    refusals: dict[bytes, LineRefusal]
    before: int
    end: LogPlace


class ListedLog(NamedTuple):
    """A log, the place after its last line, and the logins that pushed its first and last line."""

    log: StoredLog
    end: LogPlace
    first_by: str
    last_by: str


class Store:
    """The logs in a database; safe from threads.

    `on_redacted` is called, after the commit, with the name of a log of which lines were redacted.
    """

    def __init__(
        self, database: Database, on_redacted: Callable[[str], None] = lambda log: None
    ) -> None:
        self._database = database
        self._on_redacted = on_redacted

    @property
    def epoch(self) -> str:
        """The name of this history of commits."""
        return self._database.epoch

    def log(self, team: str, name: str) -> StoredLog | None:
        """Returns a log of a team, None if there is none."""
        with self._database.reading() as connection:
            return _log(connection, team, name)

    def logs(self, team: str, after: str, limit: int) -> list[ListedLog]:
        """Returns logs of a team, in the order of their names, whose names come after one."""
        params = {"team": team, "after": after, "limit": limit}
        with self._database.reading() as connection:
            rows = connection.execute(_LOGS, params)
        columns = len(StoredLog._fields)
        return [
            ListedLog(log, LogPlace(log.last, chain or b""), first_by or "", last_by or "")
            for log, (chain, first_by, last_by) in (
                (StoredLog(*row[:columns]), row[columns:]) for row in rows
            )
        ]

    def ingest(
        self,
        team: str,
        name: str,
        kind: str,
        lines: Sequence[NewLine],
        login: str = "",
        nodes: Sequence[str] = (),
    ) -> Ingested:
        """Commits those lines that the log lacks; returns the others.

        No digest may stand twice among the lines. The log is made if it is missing. Those of the
        nodes that nobody has become the login's. What the lines redact is redacted. Raises
        NotALog if there is no such team, VocabularyMismatch if the log is of another kind,
        SyncRefused if the team has too many.
        """
        with self._database.writing() as connection:
            log = _locked_log(connection, team, name, kind)
            if not lines:
                return Ingested(set(), {}, log.last, _end(connection, log))
            stored = _digests_matching(connection, log, [line.digest for line in lines])
            new = [line for line in lines if line.digest not in stored] if stored else lines
            lacking = body_pieces.lacking(connection, log, new)
            if lacking:
                new = [line for line in new if line.digest not in lacking]
                lines = [line for line in lines if line.digest not in lacking]
            named = {*nodes, *(line.node for line in lines)}
            authority = Authority(connection, log.team, login, named)
            authority.claim(nodes)
            push = AppliedPush(connection, log, lines, new, authority)
            number, chain = _end(connection, log)
            rows = []
            for line in push.lines:
                number, chain = number + 1, chained(chain, line.digest)
                rows.append((log.team, log.id, number, *line, chain, login))
            if rows:
                connection.insert("events", EVENT_COLUMNS, rows)
                count = {"team": log.team, "log": log.id, "last": number}
                connection.execute(_COUNT, count)
            body_pieces.add_names(connection, log, push.lines)
            # a line that came whole, with its pieces, may be one that was redacted before
            whole = [line.digest for line in lines if BODIES_SIGN in line.line]
            has_redacted = push.has_redacted
            if has_redacted or _digests_matching(connection, log, whole, _REDACTED):
                has_redacted |= body_pieces.sweep(connection, log)
        if has_redacted:
            self._database.erased()
            self._on_redacted(name)
        end = LogPlace(number, chain)
        return Ingested(stored, push.refusals | lacking, log.last, end)

    def set_title(self, log: StoredLog, title: str) -> None:
        """Sets what the pages of a log call it, if nothing is set."""
        with self._database.writing() as connection:
            connection.execute(_ENTITLE, {"team": log.team, "log": log.id, "title": title})

    def keep_pieces(self, team: str, name: str, kind: str, pieces: Sequence[NewPiece]) -> int:
        """Keeps pieces of one large value in a log, which is made if it is missing.

        Returns what `body_pieces.keep_pieces` does; raises that too, and what `ingest` raises.
        """
        with self._database.writing() as connection:
            log = _locked_log(connection, team, name, kind)
            return body_pieces.keep_pieces(connection, log, pieces)

    def pieces(self, log: StoredLog, question: Callable[[Transaction, StoredLog], T]) -> T:
        """Returns what a function of `body_pieces` finds of a log in one committed state."""
        with self._database.reading(log.team) as connection:
            return question(connection, log)

    def page(self, log: StoredLog, after: int, limit: int) -> Generator[NumberedLine, None, None]:
        """Yields stored lines behind a number, in order; closed if not read to the end."""
        params = {"team": log.team, "log": log.id, "after": after, "limit": limit}
        with (
            self._database.reading(log.team) as connection,
            closing(connection.stream(_PAGE, params)) as rows,
        ):
            for row in rows:
                yield NumberedLine(*row)

    def place(self, log: StoredLog, number: int) -> LogPlace | None:
        """Returns the place behind the line of a number, 0 for the beginning; None without one."""
        with self._database.reading(log.team) as connection:
            return _place(connection, log, number)

    def known(self, log: StoredLog, digests: Sequence[bytes]) -> set[bytes]:
        """Returns those of some digests whose lines the log holds."""
        with self._database.reading(log.team) as connection:
            return _digests_matching(connection, log, digests)

    def lines(self, log: StoredLog, digests: Sequence[bytes]) -> Generator[bytes, None, None]:
        """Yields the lines that the log holds of these digests; to be closed like a page."""
        params = {"team": log.team, "log": log.id, "digests": list(digests)}
        if not digests:
            return
        with (
            self._database.reading(log.team) as connection,
            closing(connection.stream(_LINES, params)) as rows,
        ):
            for (line,) in rows:
                if line is not None:
                    yield line


def _log(connection: Transaction, team: str, name: str, query: str = _LOG) -> StoredLog | None:
    rows = connection.execute(query, {"team": team, "name": name})
    return StoredLog(*rows[0]) if rows else None


def _locked_log(connection: Transaction, team: str, name: str, kind: str) -> StoredLog:
    """Returns a log of a kind, made if it is missing, under its lock."""
    log = _log(connection, team, name, _LOCK_LOG)
    if log is None:
        number = first(connection.execute(_LOCK_TEAM, {"team": team}))
        if number is None:
            raise NotALog("could not find the team", place=team, cause="there is no such team")
        if first(connection.execute(_LOG_COUNT, {"team": number})) >= LOGS_MAX:
            cause = f"the team has {LOGS_MAX} logs, which is the limit"
            raise SyncRefused("could not create the log", place=name, cause=cause)
        connection.execute(_MAKE_LOG, {"team": number, "name": name, "kind": kind})
        log = _log(connection, team, name, _LOCK_LOG)
        assert log is not None
    if log.kind != kind:
        raise VocabularyMismatch(
            "could not add to the log",
            place=name,
            cause=f"it is of the kind {log.kind}, not {kind}",
        )
    return log


def _end(connection: Transaction, log: StoredLog) -> LogPlace:
    return _place(connection, log, log.last) or BEGINNING


def _place(connection: Transaction, log: StoredLog, number: int) -> LogPlace | None:
    if number == 0:
        return BEGINNING
    params = {"team": log.team, "log": log.id, "number": number}
    chain: bytes | None = first(connection.execute(_CHAIN_AT, params))
    return None if chain is None else LogPlace(number, chain)


def _digests_matching(
    connection: Transaction, log: StoredLog, digests: Sequence[bytes], query: str = _KNOWN
) -> set[bytes]:
    """Returns those of some digests that the log holds, or that a query of these finds."""
    if not digests:  # nothing says of which type none are
        return set()
    params = {"team": log.team, "log": log.id, "digests": list(digests)}
    return {digest for (digest,) in connection.execute(query, params)}
