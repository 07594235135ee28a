"""The taking back of stored lines: what seals prove, redactions ask for, and withheld lines lack.

Every function works on the writer's connection, in the transaction of its caller. A redaction is
carried out as soon as all that it needs is stored, in whatever order that came.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw
import msgspec

from thence.core.clock import CLOCK_MAX
from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.digests import redacted
from thence.core.values.vocabulary import VOCABULARIES
from thence.core.wire.seals import (
    REDACTED,
    SEAL,
    LinePlace,
    Redaction,
    Seal,
    TeamKeys,
    redaction_in,
    seal_in,
)
from thence.errors import InvalidEvent
from thence.server.team.proofs import REACH, Proofs, claim_of
from thence.server.team.rows import PRESENT_LINE, NewLine, StoredLog
from thence.signing import is_signed

# so many redactions are tried at once; the others wait for the next line or key that concerns them
TRIED_MAX = 10_000

_KEEP_SEAL = """
    INSERT INTO seals (team, log, node, public_key, first, last, count, lines_sha256)
    VALUES (:team, :log, :node, :key, :first, :last, :count, :lines) ON CONFLICT DO NOTHING
"""
_KEEP_PENDING = """
    INSERT INTO pending (team, log, digest, event_id, node, seq, notice)
    SELECT :team, :log, :digest, :event_id, :node, :seq, :notice
    WHERE NOT EXISTS (
        SELECT 1 FROM redactions WHERE team = :team AND log = :log AND digest = :digest
    )
    ON CONFLICT DO NOTHING
"""
_HAS_PENDING = "SELECT 1 FROM pending WHERE team = :team AND log = :log LIMIT 1"
_PENDING_NEAR = """
    SELECT digest, event_id, node, seq, notice FROM pending
    WHERE team = :team AND log = :log AND node = :node AND seq BETWEEN :first AND :last
    ORDER BY seq LIMIT :most
"""
_PENDING_FOR = """
    SELECT digest, event_id, node, seq, notice FROM pending
    WHERE team = :team AND log = :log AND digest IN carray(:digests) LIMIT :most
"""
_PENDING_BY_KEY = """
    SELECT DISTINCT logs.team, logs.id, logs.name, logs.kind, logs.last, logs.revision,
        pending.digest, pending.event_id, pending.node, pending.seq, pending.notice
    FROM pending
    JOIN seals ON seals.team = pending.team AND seals.log = pending.log
        AND seals.node = pending.node AND seals.public_key = :key
        AND seals.first BETWEEN pending.seq - :reach AND pending.seq AND seals.last >= pending.seq
    JOIN logs ON logs.team = pending.team AND logs.id = pending.log
    WHERE pending.team = :team LIMIT :most
"""
_TARGET = f"""
    SELECT event_id, node, {PRESENT_LINE} FROM events
    WHERE team = :team AND log = :log AND digest = :digest
"""
_ADMIN_KEYS = """
    SELECT DISTINCT keys.public_key
    FROM keys JOIN members ON members.team = keys.team AND members.user = keys.user
    WHERE keys.team = :team AND members.role = 'admin' ORDER BY keys.public_key
"""
# zeros of the same length are written where the line stands, and no row moves
_ERASE = tuple(
    f"""
    UPDATE {table} SET line = zeroblob(length(line))
    WHERE team = :team AND log = :log AND digest = :digest AND substr(line, 1, 1) <> x'00'
    """
    for table in ("events", "forms")
)
_KEEP_FORM = """
    INSERT INTO forms (team, log, digest, line) VALUES (:team, :log, :digest, :line)
"""
_REVISE = "UPDATE logs SET revision = revision + 1 WHERE team = :team AND id = :log"
_KEEP_REDACTION = """
    INSERT INTO redactions (team, log, digest, event_id) VALUES (:team, :log, :digest, :event_id)
    ON CONFLICT DO NOTHING
"""
_END_PENDING = "DELETE FROM pending WHERE team = :team AND log = :log AND digest = :digest"
_WITHHOLD = "INSERT INTO withheld (team, log, digest) VALUES (:team, :log, :digest)"
_IS_WITHHELD = """
    SELECT digest FROM withheld WHERE team = :team AND log = :log AND digest IN carray(:digests)
"""
_END_WITHHELD = "DELETE FROM withheld WHERE team = :team AND log = :log AND digest = :digest"


class _Pending(NamedTuple):
    """A redaction that was not carried out; `node` and `seq` are those of its notice."""

    digest: bytes
    event_id: str
    node: str
    seq: int
    notice: bytes


class _Range(NamedTuple):
    """Numbers of a node, both ends included."""

    node: str
    first: int
    last: int


class _Marks(msgspec.Struct, gc=False):
    event_type: msgspec.Raw = msgspec.Raw()
    body_sha256: msgspec.Raw = msgspec.Raw()


def is_redacted(line: bytes) -> bool:
    """Reports whether a checked line has a digest in place of its body."""
    return bool(bytes(_marks(line).body_sha256))


def admin_keys(connection: apsw.Connection, team: int) -> tuple[str, ...]:
    """Returns the keys of those who are admins of a team now."""
    return tuple(key for (key,) in connection.execute(_ADMIN_KEYS, {"team": team}))


def completed(
    connection: apsw.Connection, log: StoredLog, lines: Iterable[NewLine]
) -> list[NewLine]:
    """Replaces withheld lines by the whole ones among `lines`; returns those."""
    whole = {row.digest: row for row in lines}
    given = {**_names(log), "digests": apsw.carray(tuple(whole))}
    lacking = [digest for (digest,) in connection.execute(_IS_WITHHELD, given)] if whole else []
    found = [whole[digest] for digest in lacking if not is_redacted(whole[digest].line)]
    for row in found:
        named = {**_names(log), "digest": row.digest, "line": row.line}
        _replace(connection, named)
        connection.execute(_END_WITHHELD, named)
    if found:
        connection.execute(_REVISE, _names(log))
    return found


def carried_out(connection: apsw.Connection, log: StoredLog, lines: Sequence[NewLine]) -> int:
    """Notes what lines that were just stored mean, and carries out what became valid by them.

    Returns how many lines were taken back. Ordinary lines cost three searches of their bytes.
    """
    ranges = [noted for row in _marked(log, lines) for noted in _noted(connection, log, row)]
    if not connection.execute(_HAS_PENDING, _names(log)).get:
        return 0
    numbers: dict[str, list[int]] = {}
    for row in lines:
        if row.seq:
            numbers.setdefault(row.node, []).append(row.seq)
    # a line may complete the range of a seal that spans both it and a notice
    ranges += [_Range(node, min(seqs) - REACH, max(seqs) + REACH) for node, seqs in numbers.items()]
    found: dict[_Pending, None] = {}
    for node, first, last in ranges:
        given = {**_names(log), "node": node, "first": first, "last": last, "most": TRIED_MAX}
        found |= dict.fromkeys(_Pending(*row) for row in connection.execute(_PENDING_NEAR, given))
    digests = apsw.carray(tuple(row.digest for row in lines))
    given = {**_names(log), "digests": digests, "most": TRIED_MAX}
    found |= dict.fromkeys(_Pending(*row) for row in connection.execute(_PENDING_FOR, given))
    return _tried(connection, log, list(found)[:TRIED_MAX])


def carried_out_by(connection: apsw.Connection, team: int, key: str) -> list[StoredLog]:
    """Carries out what became valid by what a key may do now; returns the logs that changed."""
    given = {"team": team, "key": key, "reach": REACH, "most": TRIED_MAX}
    found: dict[StoredLog, list[_Pending]] = {}
    rows: list[tuple[Any, ...]] = connection.execute(_PENDING_BY_KEY, given).fetchall()
    for row in rows:
        found.setdefault(StoredLog(*row[:6]), []).append(_Pending(*row[6:]))
    return [log for log, pending in found.items() if _tried(connection, log, pending)]


def _names(log: StoredLog) -> dict[str, int]:
    return {"team": log.team, "log": log.id}


def _marked(log: StoredLog, lines: Sequence[NewLine]) -> list[NewLine]:
    """Returns the lines that may be seals, redactions or redacted; a word may be escaped."""
    is_plain = VOCABULARIES[log.kind].notice_type is None
    whole = b"".join([row.line for row in lines])
    words = [b'"log.' if is_plain else b'"log_', b'body_sha256"', b"\\u"]
    if b"\\" not in whole:  # a search for one byte takes next to no time
        del words[-1]
    words = [word for word in words if word in whole]
    if not words:
        return []
    return [row for row in lines if row.seq and any(word in row.line for word in words)]


def _marks(line: bytes) -> _Marks:
    try:
        return msgspec.json.decode(line, type=_Marks)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Marks()


def _noted(connection: apsw.Connection, log: StoredLog, row: NewLine) -> list[_Range]:
    """Keeps what a line is; returns the numbers that a seal covers."""
    if is_redacted(row.line):
        connection.execute(_WITHHOLD, {**_names(log), "digest": row.digest})
        return []
    event, kind = _notice(log, row.line)
    if kind == SEAL and event is not None:
        seal = seal_in(event)
        if seal is not None and seal.last <= CLOCK_MAX and is_signed(seal):
            _keep_seal(connection, log, seal)
            return [_Range(seal.node_id, seal.first, seal.last)]
    elif kind == REDACTED and event is not None:
        redaction = redaction_in(event)
        if redaction is not None:
            _keep_pending(connection, log, row, redaction)
    return []


def _notice(log: StoredLog, line: bytes) -> tuple[Event | None, str | None]:
    """Returns the event of a line and the kind of notice that it is, None for no notice."""
    vocabulary = VOCABULARIES[log.kind]
    event = parse(line, vocabulary)
    if not isinstance(event, Event):
        return None, None
    return event, vocabulary.notice_kind(event)


def _keep_seal(connection: apsw.Connection, log: StoredLog, seal: Seal) -> None:
    given = {
        **_names(log),
        "node": seal.node_id,
        "key": seal.public_key,
        "first": seal.first,
        "last": seal.last,
        "count": seal.count,
        "lines": seal.lines_sha256,
    }
    connection.execute(_KEEP_SEAL, given)


def _keep_pending(
    connection: apsw.Connection, log: StoredLog, row: NewLine, redaction: Redaction
) -> None:
    given = {
        **_names(log),
        "digest": redaction.digest,
        "event_id": redaction.event_id,
        "node": row.node,
        "seq": row.seq,
        "notice": row.digest,
    }
    connection.execute(_KEEP_PENDING, given)


def _tried(connection: apsw.Connection, log: StoredLog, pending: Sequence[_Pending]) -> int:
    """Carries out those of some redactions that are valid; returns how many."""
    admins = admin_keys(connection, log.team) if pending else ()
    count = 0
    proofs = Proofs(connection, log)
    for each in pending:
        count += _is_carried_out(connection, log, each, admins, proofs)
    if count:
        connection.execute(_REVISE, _names(log))
    return count


def _is_carried_out(
    connection: apsw.Connection,
    log: StoredLog,
    pending: _Pending,
    admins: tuple[str, ...],
    proofs: Proofs,
) -> bool:
    """Carries out a redaction if it is valid; reports whether it did."""
    named = {**_names(log), "digest": pending.digest, "event_id": pending.event_id}
    row = connection.execute(_TARGET, named).fetchone()
    if row is None:
        return False
    event_id, node, line = row
    if event_id != pending.event_id or not node or _notice(log, line)[1] in (SEAL, REDACTED):
        return False
    claim = claim_of(connection, log.team, node)
    keys = TeamKeys({node: claim} if claim else {}, admins)
    able = tuple(key for key in {*keys.claims.values(), *keys.admins} if keys.may_redact(key, node))
    notice = LinePlace(pending.node, pending.seq, pending.notice)
    if not (able and proofs.sealed([notice], able)):
        return False
    try:
        line = redacted(line)
    except InvalidEvent:  # the line would be too long
        return False
    _replace(connection, {**named, "line": line})
    for statement in (_KEEP_REDACTION, _END_PENDING, _END_WITHHELD):
        connection.execute(statement, named)
    return True


def _replace(connection: apsw.Connection, named: dict[str, Any]) -> None:
    """Replaces a stored line by another form of it."""
    for statement in (*_ERASE, _KEEP_FORM):
        connection.execute(statement, named)
