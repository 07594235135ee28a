"""The wire to a server over HTTP, as docs/formats/wire.md describes it.

Every answer ends in a value or in an error of the SyncError tree, whatever a server, a proxy or a
captive portal sends. A refused access token is renewed once. No error shows a token.
"""

import gzip
import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from thence.core.wire.authorship import SIGNATURE_HEADER, Signer, TeamKeys, signed_push
from thence.core.wire.blocks import DIGEST_BYTES, from_nodes
from thence.core.wire.messages import (
    PROTOCOL,
    BlocksAnswer,
    BlocksRequest,
    Credentials,
    DifferingBlock,
    DigestsRequest,
    EventVerdict,
    KeyRequest,
    Lines,
    LinesPage,
    LiveToken,
    Refresh,
    Results,
    ServerHealth,
    Tokens,
    joined,
)
from thence.errors import BadAnswer, BatchRefused, NotLoggedIn, SyncRefused
from thence.sync.credentials import CredentialStore, Login, not_logged_in
from thence.sync.http_answers import (
    bad_answer,
    decoded,
    error_of,
    is_log_unknown,
    refusal_of,
    text_of,
    words,
)
from thence.sync.http_connection import REQUEST_S, Connection, HttpAnswer
from thence.sync.target import SyncTarget
from thence.sync.transport import TakenPage

_T = TypeVar("_T")
_BATCH = "events/batch/"
_PACKED_BYTES_MIN = 1_024
_CURSOR_CHARACTERS_MAX = 4_096
_TOKEN = re.compile(r"[!-~]{1,4096}")


def log_in(
    server: str,
    username: str,
    password: str,
    *,
    ca_file: str | None = None,
    request_s: float = REQUEST_S,
) -> Login:
    """Returns a new login to a server; raises NotLoggedIn, and what a Transport raises."""
    connection = Connection(server, ca_file=ca_file, request_s=request_s)
    try:
        _check_protocol(connection)
        body = msgspec.json.encode(Credentials(username, password))
        answer = _post(connection, "/api/v1/token/", body)
        login = Login(connection.server, username, "", "", ca_file=ca_file)
        if answer.status in (400, 401, 403):
            raise NotLoggedIn(
                f"could not log in as {username} at",
                place=connection.server,
                cause=text_of(answer, password) or "the server takes neither name nor password",
                hint="check the name and the password, then try again",
            )
        return login.renewed(_tokens(answer, connection.server))
    finally:
        connection.close()


def revoke(login: Login, *, request_s: float = REQUEST_S) -> None:
    """Ends a login at its server; a login that has ended is no error. Raises SyncError."""
    connection = Connection(login.server, ca_file=login.ca_file, request_s=request_s)
    try:
        body = msgspec.json.encode(Refresh(login.refresh))
        answer = _post(connection, "/api/v1/token/revoke/", body)
        if answer.status not in (200, 204, 401, 403):
            raise error_of(answer, login.server, "could not end the login at", (login.refresh,))
    finally:
        connection.close()


class HttpTransport:
    """The Transport to a target's server, with one login. Close it after the last call.

    `store` keeps renewed tokens, by default in this user's folder; `request_s` bounds each request
    as a whole.
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
        """Asks the server for its protocol, once; raises SyncRefused for one that is too new."""
        if not self._is_checked:
            _check_protocol(self._connection)
            self._is_checked = True

    def page(self, after: str) -> TakenPage:
        """Returns the lines behind a cursor; a log that the server lacks is empty."""
        query = {"limit": "1000"} | ({"after": after} if after else {})
        answer = self._ask("GET", "events", query=query)
        if is_log_unknown(answer):
            return TakenPage((), after, False)
        found = self._decoded(answer, LinesPage)
        if len(found.next) > _CURSOR_CHARACTERS_MAX:
            raise self._bad_answer("its cursor is longer than any")
        return TakenPage(self._lines_of(found.events), found.next, found.more)

    def blocks(self, request: BlocksRequest) -> BlocksAnswer:
        """Returns the blocks that differ; all of them for a log that the server lacks."""
        answer = self._ask("POST", "events/blocks/", body=msgspec.json.encode(request))
        if is_log_unknown(answer):
            places = sorted(from_nodes(request.nodes))
            return BlocksAnswer(
                tuple(DifferingBlock(each.node, each.block, b"") for each in places)
            )
        found = self._decoded(answer, BlocksAnswer)
        for each in found.differing:
            if len(each.digests) % DIGEST_BYTES or each.block < 0:
                raise self._bad_answer("a block in it can't be one")
        return found

    def batch(
        self, lines: Sequence[bytes], digests: Sequence[bytes] = (), signer: Signer | None = None
    ) -> Sequence[EventVerdict]:
        """Brings lines to the server, packed; returns its verdicts as they are."""
        headers = {}
        if signer is not None:
            push = signed_push(signer, self._target.team, self._target.log, digests)
            headers = {SIGNATURE_HEADER: push.header}
        answer = self._ask("POST", _BATCH, body=joined(lines), headers=headers)
        return self._decoded(answer, Results).results

    def lines(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns the lines of digests that the server holds."""
        answer = self._ask("POST", "events/lines/", body=_digests_message(digests))
        if is_log_unknown(answer):
            return ()
        return self._lines_of(self._decoded(answer, Lines).events)

    def signed(self, digests: Sequence[bytes]) -> Sequence[bytes]:
        """Returns those of some digests whose lines the owners of their nodes pushed."""
        answer = self._ask("POST", "events/signed/", body=_digests_message(digests))
        if is_log_unknown(answer):
            return ()
        texts = set(self._decoded(answer, DigestsRequest).digests)
        return [digest for digest in digests if digest.hex() in texts]

    def keys(self) -> TeamKeys:
        """Returns the keys of the team."""
        return self._decoded(self._ask("GET", "keys/"), TeamKeys)

    def claim(self, public_key: str, nodes: Sequence[str]) -> TeamKeys:
        """Claims nodes for a key, those that nobody has claimed; returns the keys of the team."""
        body = msgspec.json.encode(KeyRequest(public_key, tuple(nodes)))
        return self._decoded(self._ask("POST", "keys/", body=body), TeamKeys)

    def live_token(self) -> str:
        """Returns a token for one live connection.

        Raises BadAnswer where the server knows no such connections.
        """
        found = self._decoded(self._ask("POST", "ws-token/", body=b"{}"), LiveToken).token
        if not _TOKEN.fullmatch(found):
            raise self._bad_answer("it holds no token")
        return found

    def close(self) -> None:
        """Closes the connection; the transport can be used again."""
        self._connection.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> HttpAnswer:
        """Returns an answer of 200, or of 404 for a log that the server lacks."""
        self.check()
        answer = self._sent(method, path, query or {}, headers or {}, body)
        if answer.status == 401:
            self._login = self._store.refreshed(self._login, self._exchange)
            answer = self._sent(method, path, query or {}, headers or {}, body)
            if answer.status == 401:
                raise not_logged_in(self._login, "the server takes not even a new token")
        if answer.status == 200 or is_log_unknown(answer):
            return answer
        if path == _BATCH and (
            answer.status == 413 or (answer.status == 400 and refusal_of(answer))
        ):
            raise self._batch_refused(answer)
        raise error_of(answer, self._target.server, "could not sync with", (self._login.access,))

    def _sent(
        self, method: str, path: str, query: dict[str, str], given: dict[str, str], body: bytes
    ) -> HttpAnswer:
        headers = {
            **given,
            "Authorization": f"Bearer {self._login.access}",
            "X-Team-Slug": self._target.team,
        }
        named = {"log": self._target.log, "kind": self._target.kind, **query}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        if len(body) >= _PACKED_BYTES_MIN:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 5, mtime=0)
        return self._connection.ask(
            method, f"/api/v1/{path}", query=named, headers=headers, body=body
        )

    def _exchange(self, refresh: str) -> Tokens:
        body = msgspec.json.encode(Refresh(refresh))
        answer = _post(self._connection, "/api/v1/token/refresh/", body)
        if answer.status in (400, 401, 403):
            raise not_logged_in(self._login, "the server takes the login no more")
        return _tokens(answer, self._target.server, refresh)

    def _batch_refused(self, answer: HttpAnswer) -> BatchRefused:
        refusal = refusal_of(answer)
        secrets = (self._login.access,)
        bad = {
            each.event_id: words(each.error, secrets)
            for each in (refusal.details if refusal else ())
            if each.event_id
        }
        return BatchRefused(
            "could not push a batch to",
            place=self._target.server,
            cause=text_of(answer, *secrets) or f"status {answer.status}",
            hint="the line that is refused is parked: thence sync parked",
            bad=bad,
        )

    def _decoded(self, answer: HttpAnswer, kind: type[_T]) -> _T:
        return decoded(answer, kind, self._target.server, self._login.access)

    def _lines_of(self, events: Sequence[msgspec.Raw]) -> list[bytes]:
        lines = [bytes(each) for each in events]
        if any(b"\n" in line or not line.startswith(b"{") for line in lines):
            raise self._bad_answer("one of its events is no line")
        return lines

    def _bad_answer(self, cause: str) -> BadAnswer:
        return bad_answer(self._target.server, cause)


def transport_to(
    target: SyncTarget, store: CredentialStore, *, request_s: float = REQUEST_S
) -> HttpTransport:
    """Returns the transport to a target with the login of its user; raises NotLoggedIn."""
    login = store.login(target.server, target.user)
    if login.has_ended:
        raise not_logged_in(login, "the server took the login no more")
    return HttpTransport(target, login, store, request_s=request_s)


def _digests_message(digests: Sequence[bytes]) -> bytes:
    return msgspec.json.encode(DigestsRequest(tuple(digest.hex() for digest in digests)))


def _post(connection: Connection, path: str, body: bytes) -> HttpAnswer:
    return connection.ask("POST", path, headers={"Content-Type": "application/json"}, body=body)


def _check_protocol(connection: Connection) -> None:
    answer = connection.ask("GET", "/api/v1/sync/health/")
    if answer.status != 200:
        raise error_of(answer, connection.server, "could not sync with")
    spoken = decoded(answer, ServerHealth, connection.server).protocol
    if PROTOCOL not in spoken:
        is_later = bool(spoken) and min(spoken) > PROTOCOL
        versions = ", ".join(map(str, spoken[:8])) or "none"
        raise SyncRefused(
            "could not sync with",
            place=connection.server,
            cause=f"it speaks {versions} of the protocol's versions, and this thence {PROTOCOL}",
            hint="update thence here" if is_later else "the server must be updated first",
        )


def _tokens(answer: HttpAnswer, server: str, *secrets: str) -> Tokens:
    if answer.status != 200:
        raise error_of(answer, server, "could not log in at", secrets)
    if "json" in answer.headers.get("content-type", ""):
        try:
            found = msgspec.json.decode(answer.body, type=Tokens)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = None
        if found and _TOKEN.fullmatch(found.access) and _TOKEN.fullmatch(found.refresh):
            return found
    # the answer may hold tokens: none of it is shown
    raise bad_answer(server, "it holds no tokens")
