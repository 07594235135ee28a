"""The judgement of redactions as they arrive, and their effect on stored lines.

A redaction counts if the login that pushes it owns the node of the line that it names, or is an
admin's. One of a line that is not here yet waits for that line. A line without its body is taken
where a redaction of it counts, or from a login that may redact it, so that what the server holds
without a body is redacted.
Every function works on the writer's connection, in the transaction of its caller.
"""

from collections.abc import Sequence

import msgspec

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.ready import ready
from thence.core.redaction import REDACTED, Redaction, redacted, redaction_in
from thence.core.vocabulary import VOCABULARIES
from thence.errors import InvalidEvent
from thence.server.team.accounts import Authority
from thence.server.team.body_pieces import forget_names
from thence.server.team.database import LineRefusal, NewLine, StoredLog, Transaction, is_storable
from thence.sync.wire.messages import BODY_MISSING

_TARGET = """
    SELECT event_id, node, line FROM events
    WHERE team = :team AND log = :log AND digest = :digest
"""
_IS_REDACTED = "SELECT 1 FROM redactions WHERE team = :team AND log = :log AND digest = :digest"
_ANNOUNCE = """
    INSERT INTO announced (team, log, digest, pushed_by, event_id)
    VALUES (:team, :log, :digest, :login, :event_id) ON CONFLICT DO NOTHING
"""
_ANNOUNCED = """
    SELECT digest, pushed_by, event_id FROM announced
    WHERE team = :team AND log = :log AND digest = ANY(:digests)
"""
_END_ANNOUNCED = "DELETE FROM announced WHERE team = :team AND log = :log AND digest = :digest"
_KEEP_REDACTION = """
    INSERT INTO redactions (team, log, digest, event_id) VALUES (:team, :log, :digest, :event_id)
    ON CONFLICT DO NOTHING
"""
_REPLACE = """
    UPDATE events SET line = :line WHERE team = :team AND log = :log AND digest = :digest
"""
_REVISE = "UPDATE logs SET revision = revision + 1 WHERE team = :team AND id = :log"

_NOT_YOURS = LineRefusal(
    "only the login that owns the node of the line, or an admin's, may redact it",
    "redaction_refused",
)
_NOT_REDACTABLE = LineRefusal(
    "the line that it names is of another event, or none that can be redacted", "redaction_refused"
)
_BODY_MISSING = LineRefusal(
    "it came without its body, from a login that may not redact it", BODY_MISSING
)


class _Marks(msgspec.Struct, gc=False):
    event_type: msgspec.Raw = msgspec.Raw()
    body_sha256: msgspec.Raw = msgspec.Raw()


def is_redacted(line: bytes) -> bool:
    """Reports whether a checked line has a digest in place of its body."""
    try:
        return bool(bytes(msgspec.json.decode(line, type=ready(_Marks)).body_sha256))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


class AppliedPush:
    """A push whose redactions are applied, within the transaction of its connection.

    `fresh` are those of its lines that the log lacks. `lines` are those to store, in their form,
    and `refusals` the reasons of the refused ones, by D. `has_redacted` is whether stored lines
    were replaced. Ordinary lines cost three searches of their bytes.
    """

    def __init__(
        self,
        connection: Transaction,
        log: StoredLog,
        lines: Sequence[NewLine],
        fresh: Sequence[NewLine],
        authority: Authority,
    ) -> None:
        self._connection = connection
        self._log = log
        self._fresh = {row.digest: row for row in fresh}
        self._authority = authority
        self.lines: list[NewLine] = []
        self.refusals: dict[bytes, LineRefusal] = {}
        self.has_redacted = False
        # the lines that may be redactions or redacted; a word may be escaped
        is_plain = VOCABULARIES[log.kind].notice_type is None
        whole = b"".join([row.line for row in lines])
        words = [b'"log.' if is_plain else b'"log_', b'body_sha256"', b"\\u"]
        if b"\\" not in whole:  # a search for one byte takes next to no time
            del words[-1]
        words = [word for word in words if word in whole]
        rows = lines if words else ()
        marked = [row for row in rows if row.seq and any(word in row.line for word in words)]
        for row in marked:
            event, kind = _notice(log, row.line)
            if event is not None and kind == REDACTED:
                self._redact(row, redaction_in(event))
        self._store(frozenset(row.digest for row in marked if is_redacted(row.line)))

    def _redact(self, row: NewLine, redaction: Redaction | None) -> None:
        """Carries out a redaction, or keeps it for a line to come, or refuses it.

        None is one that is broken.
        """
        if redaction is None:
            self._refuse(row, _NOT_REDACTABLE)
            return
        names = self._names(redaction.digest)
        if self._connection.execute(_IS_REDACTED, names):
            return
        rows = self._connection.execute(_TARGET, names)
        stored = rows[0] if rows else None
        new = self._fresh.get(redaction.digest)
        refusal = None
        if stored is not None:
            refusal = self._judged(redaction, *stored) or self._replace(redaction, stored[2])
        elif new is not None:
            refusal = self._judged(redaction, new.event_id, new.node, new.line)
        elif not is_storable(redaction.event_id):
            refusal = _NOT_REDACTABLE
        if refusal is not None:
            self._refuse(row, refusal)
        elif stored is None:
            params = {**names, "login": self._authority.login, "event_id": redaction.event_id}
            self._connection.execute(_ANNOUNCE, params)

    def _refuse(self, row: NewLine, refusal: LineRefusal) -> None:
        if row.digest in self._fresh:
            self.refusals[row.digest] = refusal

    def _replace(self, redaction: Redaction, line: bytes) -> LineRefusal | None:
        """Replaces a stored line by its redacted form, unless that is too long."""
        try:
            form = redacted(line)
        except InvalidEvent:
            return _NOT_REDACTABLE
        names = {**self._names(redaction.digest), "event_id": redaction.event_id}
        for content in (bytes(len(line)), form):  # the row may move, once nothing is left in it
            self._connection.execute(_REPLACE, {**names, "line": content})
        self._connection.execute(_KEEP_REDACTION, names)
        forget_names(self._connection, self._log, redaction.digest)
        if not self.has_redacted:
            self._connection.execute(_REVISE, names)
        self.has_redacted = True
        return None

    def _judged(
        self, redaction: Redaction, event_id: str, node: str, line: bytes
    ) -> LineRefusal | None:
        if event_id != redaction.event_id or not _can_be_redacted(self._log, node, line):
            return _NOT_REDACTABLE
        return None if self._authority.may_redact(node) else _NOT_YOURS

    def _store(self, bodiless: frozenset[bytes]) -> None:
        """Decides in which form each new line is stored; `bodiless` came without their bodies."""
        params = {**self._names(b""), "digests": list(self._fresh)}
        announced: dict[bytes, list[tuple[str, str]]] = {}
        for digest, login, event_id in self._connection.execute(_ANNOUNCED, params):
            announced.setdefault(digest, []).append((login, event_id))
        for row in self._fresh.values():
            if row.digest in self.refusals:
                continue
            counts = any(
                event_id == row.event_id and self._authority.may_redact(row.node, login)
                for login, event_id in announced.get(row.digest, ())
            )
            if counts and _can_be_redacted(self._log, row.node, row.line):
                self._store_redacted(row)
            elif row.digest not in bodiless:
                self.lines.append(row)
            elif self._authority.may_redact(row.node):
                self._store_redacted(row)
            else:
                self.refusals[row.digest] = _BODY_MISSING

    def _store_redacted(self, row: NewLine) -> None:
        names = {**self._names(row.digest), "event_id": row.event_id}
        try:
            self.lines.append(row._replace(line=redacted(row.line)))
        except InvalidEvent:  # the line would be too long
            self.refusals[row.digest] = _NOT_REDACTABLE
            return
        for statement in (_KEEP_REDACTION, _END_ANNOUNCED):
            self._connection.execute(statement, names)

    def _names(self, digest: bytes) -> dict[str, object]:
        return {"team": self._log.team, "log": self._log.id, "digest": digest}


def _notice(log: StoredLog, line: bytes) -> tuple[Event | None, str | None]:
    """Returns the event of a line and the kind of notice that it is, None for no notice."""
    vocabulary = VOCABULARIES[log.kind]
    event = parse(line, vocabulary)
    if not isinstance(event, Event):
        return None, None
    return event, vocabulary.notice_kind(event)


def _can_be_redacted(log: StoredLog, node: str, line: bytes) -> bool:
    return bool(node) and _notice(log, line)[1] != REDACTED
