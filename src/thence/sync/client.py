"""The client of a team's server, by the wire that docs/reference/formats/wire.md describes.

Every answer ends in a value or in a SyncRefused, whatever a server, a proxy or a
captive portal sends. A refused access token is renewed once, and no error shows a token. A client
serves one caller at a time, and neither retries nor pauses.
"""

import gzip
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple, TypeVar

import msgspec

from thence.core.ready import ready
from thence.errors import NotLoggedIn, SuppressCodes, SyncRefused
from thence.sync.connection import (
    OTHER,
    REQUEST_S,
    Connection,
    HttpAnswer,
    bad_answer,
    words,
)
from thence.sync.credentials import CredentialStore, Login, not_logged_in
from thence.sync.target import SyncTarget
from thence.sync.wire.messages import (
    LOG_NAME,
    PROTOCOL,
    BatchFailed,
    BatchRefused,
    Credentials,
    Cursors,
    DigestsRequest,
    KeptPieces,
    Lines,
    LinesPage,
    LiveToken,
    LogsPage,
    Missing,
    NodeOwner,
    Pieces,
    Refresh,
    Results,
    ServerHealth,
    TeamLog,
    Tokens,
    joined,
)

RETRY_AFTER_S_MAX = 600.0
_RETRY_AFTER_S = 30.0
_BATCH, _PIECES = "events/batch/", "events/pieces/"
_PACKED_BYTES_MIN = 1_024
_LOGS_PAGES_MAX = 1_000
_CURSOR_CHARACTERS_MAX = 256  # two of them stand in the head of a request
_TOKEN = re.compile(r"[!-~]{1,4096}")
_ANEW = "the next round begins anew by itself"
_ASK = "ask an admin of the server; `thence sync status` shows the target"
# of a request for tokens that the server refuses
_UNWELCOME = (400, 401, 403)
_BEGINNING = Cursors()
_T = TypeVar("_T")


class PulledPage(NamedTuple):
    """A page of lines, without newlines; `next` is the cursor behind them."""

    lines: Sequence[bytes]
    next: str
    more: bool


class SyncClient:
    """The client of a target's log with one login. Close it after the last call.

    `store` keeps renewed tokens, by default in this user's folder; `request_s` bounds each request
    as a whole. Each call raises NotLoggedIn, and SyncRefused with the codes `server_unreachable`,
    `server_busy`, `bad_answer`; `page` and `batch` also `cursor_unknown`, `batch` BatchRefused
    and BatchFailed.
    """

    def __init__(
        self,
        target: SyncTarget,
        login: Login,
        store: CredentialStore | None = None,
        *,
        request_s: float = REQUEST_S,
    ) -> None:
        self._target = target
        self._login = login
        self._store = store or CredentialStore()
        self._connection = Connection(target.server, ca_file=login.ca_file, request_s=request_s)
        self._is_checked = False

    def check(self) -> None:
        """Asks the server for its protocol, once; raises SyncRefused for another one."""
        if not self._is_checked:
            _check_protocol(self._connection)
            self._is_checked = True

    def page(self, after: str, seen: str = "") -> PulledPage:
        """Returns the lines behind a cursor, "" for the beginning; an unknown log is empty.

        Raises `cursor_unknown`, for the place `seen` too.
        """
        query = {"limit": "1000", "after": after, "seen": seen}
        answer = self._ask("GET", "events", query=query)
        if _is_log_unknown(answer):
            if after or seen:
                raise SyncRefused(
                    "could not go on with the log at",
                    place=self._target.server,
                    cause="the server has no such log any more",
                    hint=_ANEW,
                    code="cursor_unknown",
                )
            return PulledPage((), "", False)
        page = self._decoded(answer, LinesPage)
        self._check_cursors(page.next)
        return PulledPage(self._lines_of(page.events), page.next, page.more)

    def logs(self) -> list[TeamLog]:
        """Returns the logs of the target's team that the login may read, by their names."""
        logs: list[TeamLog] = []
        for _ in range(_LOGS_PAGES_MAX):
            after = logs[-1].log if logs else ""
            page = self._decoded(self._ask("GET", "logs/", query={"after": after}), LogsPage)
            names = [after, *(one.log for one in page.logs)]
            is_in_order = all(one < other for one, other in pairwise(names))
            if not is_in_order or not all(map(LOG_NAME.fullmatch, names[1:])):
                raise self._bad_answer("its logs have no names, or are in no order")
            logs += page.logs
            if not page.more:
                return logs
        raise self._bad_answer("its list of logs has no end")

    def batch(
        self,
        lines: Sequence[bytes],
        nodes: Sequence[str] = (),
        cursors: Cursors = _BEGINNING,
    ) -> Results:
        """Pushes lines, packed; the verdicts may be fewer, more, or of other ids.

        `nodes` are those under which the log wrote: the login's, if nobody else has them.
        """
        query = {**cursors._asdict(), "title": self._target.title}
        answer = self._ask("POST", _BATCH, query=query, body=joined(lines, nodes=nodes))
        results = self._decoded(answer, Results)
        self._check_cursors(results.after, results.seen)
        return results

    def missing(self, digests: Sequence[bytes]) -> Missing:
        """Returns the digests (D) that are not at the server, and the number of its lines."""
        texts = tuple(digest.hex() for digest in digests)
        return self._about("missing", texts, Missing(texts, 0))

    def lines(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those lines that the server holds of these digests (D)."""
        texts = tuple(digest.hex() for digest in digests)
        return self._lines_of(self._about("lines", texts, Lines(())).events)

    def lacking_pieces(self, digests: Sequence[str]) -> Sequence[str]:
        """Returns those of some digests, in hex, of which the server has no value and no piece."""
        names = tuple(digests)
        return self._about("pieces/missing", names, DigestsRequest(names)).digests

    def push_pieces(self, lines: Sequence[bytes]) -> int:
        """Brings lines of pieces; returns how many, from the first one on, the server holds now.

        Raises BatchRefused where one of them is not what it says.
        """
        answer = self._ask("POST", _PIECES, body=joined(lines, "pieces"))
        return self._decoded(answer, KeptPieces).count

    def pieces(self, digests: Sequence[str]) -> Sequence[bytes]:
        """Returns lines of pieces by their digests, in hex."""
        given = self._about("values", tuple(digests), Pieces(()))
        return [bytes(raw) for raw in given.pieces]

    def _about(self, question: str, digests: tuple[str, ...], unknown: _T) -> _T:
        """Asks about digests, in hex; returns `unknown` for a log that the server lacks."""
        body = msgspec.json.encode(DigestsRequest(digests))
        answer = self._ask("POST", f"events/{question}/", body=body)
        return unknown if _is_log_unknown(answer) else self._decoded(answer, type(unknown))

    def node_owner(self, node: str) -> NodeOwner:
        """Returns which login owns a node, and whether this one may redact its lines."""
        return self._decoded(self._ask("GET", "nodes/", query={"node": node}), NodeOwner)

    def live_token(self) -> str:
        """Returns a token for one live connection.

        Raises `bad_answer` where the server knows no such connections.
        """
        token = self._decoded(self._ask("POST", "ws-token/", body=b"{}"), LiveToken).token
        if not _TOKEN.fullmatch(token):
            raise self._bad_answer("it holds no token")
        return token

    def close(self) -> None:
        """Closes the connection; the client can be used again."""
        self._connection.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> HttpAnswer:
        """Returns an answer of 200, or of 404 for a log that the server lacks."""
        self.check()
        query = {"log": self._target.log, "kind": self._target.kind, **(query or {})}
        query = {name: text for name, text in query.items() if text}
        headers = {"X-Team-Slug": self._target.team}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        if len(body) >= _PACKED_BYTES_MIN:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 5, mtime=0)
        for is_renewed in (False, True):
            headers["Authorization"] = f"Bearer {self._login.access}"
            answer = self._connection.ask(
                method, f"/api/v1/{path}", query=query, headers=headers, body=body
            )
            if answer.status != 401:
                break
            if is_renewed:
                raise not_logged_in(self._login, "the server refuses even a new token")
            self._login = self._store.refreshed(self._login, self._exchange)
        if answer.status == 200 or _is_log_unknown(answer):
            return answer
        access, refusal = self._login.access, _refusal_of(answer)
        is_push = path in (_BATCH, _PIECES)
        if is_push and (answer.status == 413 or (answer.status == 400 and refusal.error)):
            raise BatchRefused(
                "could not push a batch to",
                place=self._target.server,
                cause=_text_of(answer, access) or f"status {answer.status}",
                hint="the line that is refused is parked: thence sync parked",
                bad={one.event_id: words(one.error, access) for one in refusal.details},
            )
        has_failed = is_push and answer.status >= 500 and answer.status != 503
        error = BatchFailed if has_failed else SyncRefused
        raise _error_of(answer, "could not sync with", access, error=error)

    def _exchange(self, refresh: str) -> Tokens:
        answer = _post(self._connection, "token/refresh/", Refresh(refresh))
        if answer.status in _UNWELCOME:
            raise not_logged_in(self._login, "the server does not accept the login any more")
        return _tokens(answer, refresh)

    def _decoded(self, answer: HttpAnswer, kind: type[_T]) -> _T:
        return _decoded(answer, kind, self._login.access)

    def _lines_of(self, events: Sequence[msgspec.Raw]) -> list[bytes]:
        lines = [bytes(event) for event in events]
        if any(b"\n" in line or not line.startswith(b"{") for line in lines):
            raise self._bad_answer("one of its events is not a line")
        return lines

    def _check_cursors(self, *cursors: str) -> None:
        if any(len(cursor) > _CURSOR_CHARACTERS_MAX for cursor in cursors):
            raise self._bad_answer("its cursor is too long")

    def _bad_answer(self, cause: str) -> SyncRefused:
        return bad_answer(self._target.server, cause)


def client_to(target: SyncTarget, store: CredentialStore) -> SyncClient:
    """Returns the client of a target with the login of its user; raises NotLoggedIn."""
    login = store.login(target.server, target.user)
    if login.has_ended:
        raise not_logged_in(login, "the server did not accept the login any more")
    return SyncClient(target, login, store)


def log_in(
    server: str,
    username: str,
    password: str,
    *,
    new_password: str = "",
    ca_file: str | None = None,
    request_s: float = REQUEST_S,
) -> Login:
    """Returns a new login to a server, which takes a new password in place of the right one.

    Raises NotLoggedIn, and what a SyncClient raises.
    """
    secrets = password, new_password
    with closing(Connection(server, ca_file=ca_file, request_s=request_s)) as connection:
        _check_protocol(connection)
        try:
            answer = _post(connection, "token/", Credentials(username, *secrets))
            if answer.status in _UNWELCOME:
                raise NotLoggedIn(
                    f"could not log in as {username} at",
                    place=connection.server,
                    cause=_text_of(answer, *secrets) or f"status {answer.status}",
                    hint="check the name and the passwords, then try again",
                )
            tokens = _tokens(answer, *secrets)
        except SyncRefused as error:
            if new_password and error.code in ("server_unreachable", "bad_answer"):
                error.hint = "the server may have the new password or the former one: log in to see"
            raise
        return Login(connection.server, username, "", "", ca_file=ca_file).renewed(tokens)


def revoke(login: Login) -> None:
    """Ends a login at its server; a login that has ended is no error. Raises SyncRefused."""
    with closing(Connection(login.server, ca_file=login.ca_file)) as connection:
        answer = _post(connection, "token/revoke/", Refresh(login.refresh))
        if answer.status not in (200, 204, 401, 403):
            raise _error_of(answer, "could not end the login at", login.refresh)


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""
    hint: str = ""


class _Detail(msgspec.Struct, frozen=True):
    event_id: str = ""
    error: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    """An answer of 400 or more in the form of the protocol; without an error it had another."""

    error: str
    problem: _Problem = _Problem()
    details: tuple[_Detail, ...] = ()


def _decoded(answer: HttpAnswer, kind: type[_T], *secrets: str) -> _T:
    """Returns the value of an answer; raises `bad_answer` with what stood in its place."""
    content_type = answer.headers.get("content-type", "")
    text = words(answer.body.decode(errors="replace"), *secrets)
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise bad_answer(answer.server, f"it is {content_type[:40]!r}, no JSON: {text!r}")
    try:
        return msgspec.json.decode(answer.body, type=ready(kind))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise bad_answer(answer.server, f"it does not have the form of one: {text!r}") from None


def _error_of(
    answer: HttpAnswer, operation: str, *secrets: str, error: type[SyncRefused] = SyncRefused
) -> SyncRefused:
    """Returns the error for an answer by its status."""
    status, refusal = answer.status, _refusal_of(answer)
    cause = _text_of(answer, *secrets) or f"status {status}"
    code, hint, retry_after_s = "bad_answer", OTHER, 0.0
    if 300 <= status < 400:
        location = words(answer.headers.get("location", ""), *secrets) or "nowhere"
        cause = f"it redirects to {location}, and no login is sent there"
        hint = "if that is your server, log in there: thence sync login URL"
    elif status in (429, 503):
        text = answer.headers.get("retry-after", "")
        is_number = text.isascii() and text.isdigit()
        retry_after_s = min(float(text[:9]), RETRY_AFTER_S_MAX) if is_number else _RETRY_AFTER_S
        code = "server_busy"
        hint = f"nothing is lost; try again in {retry_after_s:g} s"
    elif status >= 500 or status == 408:
        code, hint = "server_unreachable", "nothing is lost; try again later"
    elif status == 401:
        code, hint = "not_logged_in", f"thence sync login {answer.server}"
    elif status == 409 and refusal.problem.code == "cursor_unknown":
        code, hint = "cursor_unknown", _ANEW
    elif status in (403, 409, 412, 413) or (400 <= status < 500 and refusal.error):
        code, hint = "sync_refused", words(refusal.problem.hint, *secrets)
    else:
        text = words(answer.body.decode(errors="replace"), *secrets)
        cause = f"it is of status {status}: {text!r}"
    refused = error if status != 401 else NotLoggedIn
    return refused(
        operation,
        place=answer.server,
        cause=cause,
        hint=hint or _ASK,
        code=code,
        retry_after_s=retry_after_s,
    )


def _refusal_of(answer: HttpAnswer) -> _Refusal:
    try:
        return msgspec.json.decode(answer.body, type=ready(_Refusal))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Refusal("")


def _is_log_unknown(answer: HttpAnswer) -> bool:
    """Reports whether a server of this protocol answers that it has no such log."""
    return answer.status == 404 and bool(_refusal_of(answer).problem.code)


def _text_of(answer: HttpAnswer, *secrets: str) -> str:
    """Returns the server's own words for a refusal, without anything secret; else nothing."""
    refusal = _refusal_of(answer)
    return words(refusal.problem.message or refusal.error, *secrets)


def _post(connection: Connection, path: str, value: msgspec.Struct) -> HttpAnswer:
    body = msgspec.json.encode(value)
    headers = {"Content-Type": "application/json"}
    return connection.ask("POST", f"/api/v1/{path}", headers=headers, body=body)


def _check_protocol(connection: Connection) -> None:
    """Raises SyncRefused for a server that does not speak this protocol."""
    answer = connection.ask("GET", "/api/v1/sync/health/")
    if answer.status != 200:
        raise _error_of(answer, "could not sync with")
    spoken = _decoded(answer, ServerHealth).protocol
    if PROTOCOL not in spoken:
        versions = ", ".join(map(str, spoken[:8])) or "none"
        raise SyncRefused(
            "could not sync with",
            place=connection.server,
            cause=f"it speaks {versions} of the protocol's versions, and this thence {PROTOCOL}",
            hint="update thence here, or on the server",
        )


def _tokens(answer: HttpAnswer, *secrets: str) -> Tokens:
    """Returns the tokens of an answer; it may hold some in vain, so that none of it is shown."""
    if answer.status != 200:
        raise _error_of(answer, "could not log in at", *secrets)
    with SuppressCodes("bad_answer"):
        tokens = _decoded(answer, Tokens)
        if _TOKEN.fullmatch(tokens.access) and _TOKEN.fullmatch(tokens.refresh):
            return tokens
    raise bad_answer(answer.server, "it holds no tokens")
