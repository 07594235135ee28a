"""The client of a team's server, by the wire that docs/reference/formats/wire.md describes.

Every answer ends in a value or in a SyncRefused, whatever a server, a proxy or a
captive portal sends: bounded in time and size, and without a secret in its words. A refused access
token is renewed once, and what can't be read is asked for once more, since each request may come
twice. No redirect is followed. TLS certificates are verified, and plain HTTP reaches this machine
alone. A client serves one caller at a time, and never pauses.
"""

import gzip
import ssl
import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from ipaddress import ip_address
from time import monotonic
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import msgspec

from thence.core.ready import ready
from thence.errors import NotLoggedIn, SyncRefused
from thence.sync.credentials import CredentialStore, Login, not_logged_in
from thence.sync.target import SyncTarget
from thence.sync.wire.messages import (
    BODY_BYTES_MAX,
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
    PulledPage,
    Refresh,
    Results,
    Secret,
    TeamLog,
    Tokens,
    joined,
)

CONNECT_S = 5.0
REQUEST_S = 15.0
RETRY_AFTER_S_MAX = 600.0
_RETRY_AFTER_S = 30.0
_WRITE_BYTES = 65_536
_WORDS_CHARACTERS_MAX = 200
_HEADERS = {"User-Agent": "thence", "Accept": "application/json", "Accept-Encoding": "gzip"}
_PORTS = {"http": 80, "https": 443}
# the errors of a connection that the other side has ended, or in which it sends no HTTP
_ENDED = (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError)
_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
    ImportError,  # of a package that a proxy of another kind needs
    OSError,
    ValueError,
)
_CERTIFICATE = "for a certificate that this system does not know, name its file in SSL_CERT_FILE"
_LATER = "nothing is lost; check the address and the network, then try again"
_OTHER = "check the address: another program answers there, or a newer server"
_ASK = "ask a server admin; `thence sync status` shows the target"
_PACKED_BYTES_MIN = 1_024
_LOGS_PAGES_MAX = 1_000
# of a request for tokens that the server refuses
_UNWELCOME = (400, 401, 403)
_BEGINNING = Cursors()
_NO_PAGE = LinesPage((), "", False)
_T = TypeVar("_T")


class Refusal(msgspec.Struct, frozen=True):
    """An answer of 400 or more in the form of the protocol; without an error it had another.

    `problem` has a code, and a hint.
    """

    error: str = ""
    problem: dict[str, str] = {}


class HttpAnswer(NamedTuple):
    """An answer's status, its headers in lower case, its unpacked body, and who gave it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    server: str
    secrets: Collection[str] = ()

    @property
    def refusal(self) -> Refusal:
        """What the server says in the form of the protocol, empty in another form."""
        try:
            return msgspec.json.decode(self.body, type=ready(Refusal))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Refusal()

    @property
    def reason(self) -> str:
        """The server's own words for a refusal, else its status."""
        return self.words(self.refusal.error) or f"status {self.status}"

    def words(self, text: str) -> str:
        """Returns a text of the server in few printable words, without a secret."""
        return words(text, *self.secrets)

    def decoded(self, kind: type[_T]) -> _T:
        """Returns its value; raises `bad_answer` with what stands in place of one.

        Nothing is shown of an answer that may hold some tokens in vain.
        """
        content_type = self.headers.get("content-type", "")
        is_secret = issubclass(kind, Secret)
        text = "…" if is_secret else self.words(self.body.decode(errors="replace"))
        if content_type.split(";")[0].strip().lower() != "application/json":
            raise bad_answer(self.server, f"it is {content_type[:40]!r}, not JSON: {text!r}")
        try:
            return msgspec.json.decode(self.body, type=ready(kind))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            cause = f"it does not have the form of one: {text!r}"
            raise bad_answer(self.server, cause) from None

    def error(self, operation: str, kind: type[SyncRefused] = SyncRefused) -> SyncRefused:
        """Returns the error that an answer other than 200 means, by its status."""
        status, refusal, cause = self.status, self.refusal, self.reason
        code, hint, retry_after_s = "bad_answer", _OTHER, 0.0
        if 300 <= status < 400:
            location = self.words(self.headers.get("location", "")) or "nowhere"
            cause = f"it redirects to {location}, and no login is sent there"
            hint = "if that is your server, log in there: thence sync login URL"
        elif status in (429, 503):
            text = self.headers.get("retry-after", "")
            is_number = text.isascii() and text.isdigit()
            retry_after_s = min(float(text[:9]), RETRY_AFTER_S_MAX) if is_number else _RETRY_AFTER_S
            code = "server_busy"
            hint = f"nothing is lost; try again in {retry_after_s:g} s"
        elif status >= 500 or status == 408:
            code, hint = "server_unreachable", "nothing is lost; try again later"
        elif status == 401:
            kind, code, hint = NotLoggedIn, "not_logged_in", f"thence sync login {self.server}"
        elif status == 409 and refusal.problem.get("code") == "cursor_unknown":
            code, hint = "cursor_unknown", "the next round starts again by itself"
        elif status in (403, 409, 412, 413) or (404 != status >= 400 and refusal.error):
            code, hint = "sync_refused", self.words(refusal.problem.get("hint", "")) or _ASK
        else:
            text = self.words(self.body.decode(errors="replace"))
            cause = f"it is of status {status}: {text!r}"
        return kind(
            operation,
            place=self.server,
            cause=cause,
            hint=hint,
            code=code,
            retry_after_s=retry_after_s,
        )


class Connection:
    """A session with one server; it connects at the first request, and again after a failure.

    It trusts the certificates of the system, or those of SSL_CERT_FILE. No request lasts longer
    than `request_s`, however slowly a server sends; only the resolver of this system has its own
    time for the server's name. No error shows `secrets`.
    """

    def __init__(
        self,
        server: str,
        *,
        request_s: float = REQUEST_S,
        secrets: Collection[str] = (),
    ) -> None:
        self.server = server_address(server)
        self.secrets = secrets
        self._request_s = request_s
        self._network = _Network()
        self._pool: httpcore2.ConnectionPool | None = None

    def ask(
        self,
        path: str,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """Sends a request of the wire, a POST where it has a body; returns an answer of any status.

        A request whose connection ends is sent again over another one, once. Raises
        SyncRefused: `server_unreachable`, `bad_answer` for what is no answer of HTTP or too large.
        """
        url = quote(f"{self.server}/api/v1/{path}", safe="/:[]%")
        url += f"?{urlencode(query)}" if query else ""
        named = {**_HEADERS, **(headers or {})}
        if body:
            named["Content-Type"] = "application/json"
        if len(body) >= _PACKED_BYTES_MIN:
            named["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 5, mtime=0)
        fields = [(name.encode(), text.encode()) for name, text in named.items()]
        self._network.end_s = monotonic() + self._request_s
        for is_again in (False, True):
            self._network.has_answered = False
            try:
                if self._pool is None:
                    is_tls = self.server.startswith("https:")
                    self._pool = httpcore2.ConnectionPool(
                        ssl_context=trusted_certificates() if is_tls else None,
                        proxy=_proxy_to(self.server),
                        max_connections=1,
                        network_backend=self._network,
                    )
                method = "POST" if body else "GET"
                with self._pool.stream(
                    method, url, headers=fields, content=body or None
                ) as response:
                    return self._received(response)
            except _FAILURES as error:
                self.close()
                if not is_again and isinstance(error, _ENDED):
                    continue
                text = words(str(error)) or type(error).__name__
                if isinstance(error, httpcore2.TimeoutException):
                    text = f"no complete response within {self._request_s:g} s"
                elif isinstance(error, httpcore2.ProtocolError) and self._network.has_answered:
                    raise bad_answer(self.server, text, _LATER) from error
                raise SyncRefused(
                    "could not reach",
                    place=self.server,
                    cause=text,
                    hint=_CERTIFICATE if "CERTIFICATE" in text.upper() else _LATER,
                    code="server_unreachable",
                ) from error
            except BaseException:
                self.close()
                raise
        raise AssertionError  # it was returned, or raised

    def close(self) -> None:
        """Closes the connection; the next request opens it again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _received(self, response: httpcore2.Response) -> HttpAnswer:
        """Reads a response; no part is unpacked beyond the limit."""
        headers = {
            name.decode("latin-1").lower(): text.decode("latin-1")
            for name, text in response.headers
        }
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("gzip", "identity"):
            cause = f"it is packed as {coding[:20]!r}, which is not supported"
            raise bad_answer(self.server, cause, _LATER)
        unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        body, packed_bytes = bytearray(), 0
        for part in response.iter_stream():
            packed_bytes += len(part)
            try:
                body += unpack.decompress(part, BODY_BYTES_MAX + 1 - len(body)) if unpack else part
            except zlib.error:
                raise bad_answer(self.server, "it can't be unpacked", _LATER) from None
            if max(packed_bytes, len(body)) > BODY_BYTES_MAX:
                cause = f"it is longer than {BODY_BYTES_MAX:,} bytes"
                raise bad_answer(self.server, cause, _LATER)
        if unpack is not None and not unpack.eof:
            raise bad_answer(self.server, "it is cut short", _LATER)
        return HttpAnswer(response.status, headers, bytes(body), self.server, self.secrets)


class _Network(httpcore2.SyncBackend):
    """The network of a session, where nothing is waited for beyond the end of the request.

    The timeouts of httpcore2 count from byte to byte: a head that drips would never end by them.
    """

    end_s = 0.0
    # a server that ends a connection without a word was killed, and has given no bad answer
    has_answered = False

    def remaining_s(self) -> float:
        """Returns the seconds that the request has yet; raises ReadTimeout behind its end."""
        remaining_s = self.end_s - monotonic()
        if remaining_s <= 0:
            raise httpcore2.ReadTimeout
        return remaining_s

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        """Connects to a server or its proxy, to each address of it for 5 s at most."""
        options["timeout"] = min(CONNECT_S, self.remaining_s())
        return _Stream(super().connect_tcp(*arguments, **options), self)


class _Stream(httpcore2.NetworkStream):
    """A stream of bytes that ends with the request."""

    def __init__(self, stream: httpcore2.NetworkStream, network: _Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._network.remaining_s())
        self._network.has_answered |= bool(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):  # the time counts for each
            part = buffer[start : start + _WRITE_BYTES]
            self._stream.write(part, self._network.remaining_s())

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        options["timeout"] = self._network.remaining_s()  # of the whole handshake
        return _Stream(self._stream.start_tls(*arguments, **options), self._network)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def server_address(address: str) -> str:
    """Returns the one form of a server's address; raises SyncRefused, which shows no password."""
    try:
        parts = urlsplit(address)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    cause = ""
    if parts.scheme not in _PORTS or not host or not address.isprintable() or " " in address:
        cause = "it is not an address of http or https"
    elif "@" in parts.netloc:
        cause = "it holds a user name or password, which belong to `thence sync login`"
    elif parts.query or parts.fragment:
        cause = "an address ends before ? and #"
    elif parts.scheme == "http" and not is_loopback(host):
        cause = "plain http would show your password to the network"
    if cause:
        place = f"{parts.scheme}://{host}" if host else "that address"
        hint, code = "name it as https://HOST[:PORT]", "bad_settings"
        raise SyncRefused("could not use", place=place, cause=cause, hint=hint, code=code)
    host = f"[{host}]" if ":" in host else host
    port_text = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{port_text}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Reports whether a host's name or number is that of this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_loopback_server(server: str) -> bool:
    """Reports whether a server's address is on this machine."""
    return is_loopback(urlsplit(server).hostname or "")


def trusted_certificates() -> ssl.SSLContext:
    """Returns the certificates of SSL_CERT_FILE, else the system's; raises SyncRefused for none."""
    try:
        return httpcore2.default_ssl_context()
    except OSError as error:
        raise SyncRefused(
            "could not read the certificates in",
            place="SSL_CERT_FILE",
            cause=error.strerror or error,
            hint="name a file in PEM format by it, or unset it",
            code="sync_error",
        ) from error


def _proxy_to(server: str) -> httpcore2.Proxy | None:
    """Returns the proxy that the environment names for a server.

    There is none to this machine: it would see what is for this machine alone.
    """
    parts = urlsplit(server)
    if is_loopback_server(server) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address:
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    user = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
    host = proxy.netloc.rpartition("@")[2]
    return httpcore2.Proxy(f"{proxy.scheme}://{host}", auth=user)


def bad_answer(server: str, cause: str, hint: str = _OTHER) -> SyncRefused:
    """Returns the error for an answer that no server of thence gives."""
    operation = "could not read the response of"
    return SyncRefused(operation, place=server, cause=cause, hint=hint, code="bad_answer")


def words(text: str, *secrets: str) -> str:
    """Returns a server's text in few printable words, without anything secret."""

    def hidden(text: str) -> str:
        for secret in filter(None, secrets):
            text = text.replace(secret, "…")
        return text

    # hidden before the text is cut, and again behind it: what is no letter may stand in a secret
    part = hidden(text)[: 4 * _WORDS_CHARACTERS_MAX]
    part = hidden(" ".join("".join(c if c.isprintable() else " " for c in part).split()))
    return part if len(part) <= _WORDS_CHARACTERS_MAX else part[:_WORDS_CHARACTERS_MAX] + "…"


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
        self._connection = Connection(target.server, request_s=request_s)

    def page(self, after: str, seen: str = "") -> PulledPage:
        """Returns the lines behind a cursor, "" for the beginning; an unknown log is empty.

        Raises `cursor_unknown`, for the place `seen` too.
        """
        query = {"limit": "1000", "after": after, "seen": seen}
        page = self._ask(LinesPage, "events", query=query, unknown=_NO_PAGE)
        if page is _NO_PAGE and not (after or seen):
            return PulledPage((), "", False)
        if page is _NO_PAGE:
            raise SyncRefused(
                "could not continue with the log on",
                place=self._target.server,
                cause="the server no longer has this log",
                hint="the next round starts again by itself",
                code="cursor_unknown",
            )
        return PulledPage(self._lines_of(page.events), page.next, page.more)

    def logs(self) -> list[TeamLog]:
        """Returns the logs of the target's team that the login may read, by their names."""
        logs: list[TeamLog] = []
        for _ in range(_LOGS_PAGES_MAX):
            after = logs[-1].log if logs else ""
            page = self._ask(LogsPage, "logs/", query={"after": after})
            names = [after, *(one.log for one in page.logs)]
            if names != sorted(set(names)):
                raise bad_answer(self._target.server, "its logs are not in order")
            logs += page.logs
            if not page.more:
                return logs
        raise bad_answer(self._target.server, "its list of logs has no end")

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
        body = joined(lines, nodes=nodes)
        return self._ask(Results, "events/batch/", body, query, is_push=True)

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
        body = joined(lines, "pieces")
        return self._ask(KeptPieces, "events/pieces/", body, is_push=True).count

    def pieces(self, digests: Sequence[str]) -> Sequence[bytes]:
        """Returns lines of pieces by their digests, in hex."""
        given = self._about("values", tuple(digests), Pieces(()))
        return [bytes(raw) for raw in given.pieces]

    def node_owner(self, node: str) -> NodeOwner:
        """Returns which login owns a node, and whether this one may redact its lines."""
        return self._ask(NodeOwner, "nodes/", query={"node": node})

    def live_token(self) -> str:
        """Returns a token for one live connection.

        Raises `bad_answer` where the server knows no such connections.
        """
        return self._ask(LiveToken, "ws-token/", b"{}").token

    def close(self) -> None:
        """Closes the connection; the client can be used again."""
        self._connection.close()

    def _about(self, question: str, digests: tuple[str, ...], unknown: _T) -> _T:
        """Asks about digests, in hex; returns `unknown` for a log that the server lacks."""
        body = msgspec.json.encode(DigestsRequest(digests))
        return self._ask(type(unknown), f"events/{question}/", body, unknown=unknown)

    def _ask(
        self,
        kind: type[_T],
        path: str,
        body: bytes = b"",
        query: Mapping[str, str] | None = None,
        *,
        unknown: _T | None = None,
        is_push: bool = False,
    ) -> _T:
        """Returns the value of an answer, or `unknown` for a log that the server lacks.

        A push raises BatchRefused and BatchFailed for what the batch alone may be the reason of.
        """
        for is_again in (False, True):
            try:
                answer = self._answer(path, body, query or {})
                if answer.status == 200:
                    return answer.decoded(kind)
                refusal, status = answer.refusal, answer.status
                if unknown is not None and status == 404 and refusal.problem.get("code"):
                    return unknown
                if is_push and (status == 413 or (status == 400 and refusal.error)):
                    raise BatchRefused(
                        "could not push a batch to",
                        place=answer.server,
                        cause=answer.reason,
                        hint="the line that is refused is parked: thence sync parked",
                    )
                has_failed = is_push and status >= 500 and status != 503
                raise answer.error(
                    "could not sync with", BatchFailed if has_failed else SyncRefused
                )
            except SyncRefused as error:  # request or answer may have been spoilt on its way
                if is_again or error.code != "bad_answer":
                    raise
                self._connection.close()
        raise AssertionError  # it was returned, or raised

    def _answer(self, path: str, body: bytes, query: Mapping[str, str]) -> HttpAnswer:
        """Asks with the login's access token, and with another one if that is refused."""
        query = {"log": self._target.log, "kind": self._target.kind, **query}
        query = {name: text for name, text in query.items() if text}
        for is_renewed in (False, True):
            access = self._login.access
            self._connection.secrets = (access, self._login.refresh)
            headers = {"X-Team-Slug": self._target.team, "Authorization": f"Bearer {access}"}
            answer = self._connection.ask(path, body, query, headers)
            if answer.status != 401:
                return answer
            if not is_renewed:
                self._login = self._store.refreshed(self._login, self._exchange)
        raise not_logged_in(self._login, "the server refuses even a new token")

    def _exchange(self, refresh: str) -> Tokens:
        answer = self._connection.ask("token/refresh/", msgspec.json.encode(Refresh(refresh)))
        if answer.status in _UNWELCOME:
            raise not_logged_in(self._login, "the server no longer accepts the login")
        return _tokens(answer)

    def _lines_of(self, events: Sequence[msgspec.Raw]) -> list[bytes]:
        lines = [bytes(event) for event in events]
        if any(b"\n" in line or not line.startswith(b"{") for line in lines):
            raise bad_answer(self._target.server, "one of its events is not a line")
        return lines


def client_to(target: SyncTarget, store: CredentialStore) -> SyncClient:
    """Returns the client of a target with the login of its user; raises NotLoggedIn."""
    login = store.login(target.server, target.user)
    if login.has_ended:
        raise not_logged_in(login, "the server no longer accepted the login")
    return SyncClient(target, login, store)


def log_in(server: str, username: str, password: str, request_s: float = REQUEST_S) -> Login:
    """Returns a new login to a server; raises NotLoggedIn, and what a SyncClient raises."""
    secrets = (password,)
    with closing(Connection(server, request_s=request_s, secrets=secrets)) as connection:
        body = msgspec.json.encode(Credentials(username, password))
        answer = connection.ask("token/", body)
        if answer.status in _UNWELCOME:
            raise NotLoggedIn(
                f"could not log in as {username} at",
                place=connection.server,
                cause=answer.reason,
                hint="check the name and the password, then try again",
            )
        return Login(connection.server, username, "", "").renewed(_tokens(answer))


def revoke(login: Login) -> None:
    """Ends a login at its server; a login that has ended is no error. Raises SyncRefused."""
    secrets = (login.refresh,)
    with closing(Connection(login.server, secrets=secrets)) as connection:
        answer = connection.ask("token/revoke/", msgspec.json.encode(Refresh(login.refresh)))
        if answer.status not in (200, 204, 401, 403):
            raise answer.error("could not end the login at")


def _tokens(answer: HttpAnswer) -> Tokens:
    if answer.status != 200:
        raise answer.error("could not log in at")
    return answer.decoded(Tokens)
