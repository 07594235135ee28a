"""One request to a server at a time, bounded in time and size.

No server holds a request for longer than its limit: not by dripping bytes, not by an endless head,
nor does a name that can't be resolved. Each request therefore has a thread of its own, which the
caller leaves behind when the time is up; the request's socket is shut down then, and the thread
ends. Redirects are not followed. TLS certificates are verified, and plain HTTP reaches this machine
alone.
"""

import socket
import ssl
import zlib
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from thence.core.wire.messages import BODY_BYTES_MAX
from thence.errors import BadAnswer, ServerUnreachable, SyncError

CONNECT_S = 5.0
REQUEST_S = 15.0
_SEEN_CHARACTERS_MAX = 200
_PORTS = {"http": 80, "https": 443}
# the errors of a connection that the other side has ended
_ENDED = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
_CERTIFICATE_TIMES = ("has expired", "not yet valid")
_CLOCK = "if this machine's clock is right (date), the server needs a new certificate"
_CERTIFICATE = "for a server with a certificate of its own: thence sync login URL --ca FILE"
_LATER = "nothing is lost; check the address and the network, then try again"
_ADDRESS = "name it as https://HOST[:PORT]"


class HttpAnswer(NamedTuple):
    """An answer's status, its headers in lower case, and its unpacked body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def server_address(given: str) -> str:
    """Returns the one form of a server's address; raises SyncError, which shows no password."""
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    shown = f"{parts.scheme}://{host or ''}" if host else "that address"
    cause = ""
    if parts.scheme not in _PORTS or not host or not given.isprintable() or " " in given:
        cause = "it is no address of http or https"
    elif "@" in parts.netloc:
        cause = "it holds a user name or password, which belong to `thence sync login`"
    elif parts.query or parts.fragment:
        cause = "an address ends before ? and #"
    elif parts.scheme == "http" and not is_loopback(host):
        cause = "plain http would show your password to the network"
    if cause:
        raise SyncError("could not use", place=shown, cause=cause, hint=_ADDRESS)
    host = f"[{host}]" if host and ":" in host else host
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


def trusted_certificates(server: str, ca_file: str | None) -> ssl.SSLContext:
    """Returns the certificates that count for a server; raises SyncError for a file without any."""
    if server.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # none is needed
    try:
        if ca_file:
            return ssl.create_default_context(cafile=ca_file)
        return httpx2.create_ssl_context()
    except OSError as error:
        raise SyncError(
            "could not read the certificates in",
            place=ca_file or "SSL_CERT_FILE",
            cause=error.strerror or error,
            hint="name a file in PEM format: thence sync login URL --ca FILE",
        ) from error


def seen(body: bytes) -> str:
    """Returns what an answer holds in a few printable words."""
    text = body[: 4 * _SEEN_CHARACTERS_MAX].decode(errors="replace")
    words = "".join(c if c.isprintable() else " " for c in text).split()
    shown = " ".join(words)
    shortened = shown[:_SEEN_CHARACTERS_MAX]
    return repr(shortened + "…" if shortened != shown else shown)


class _Session:
    """A client with one socket at a time, which another thread can shut down."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        self._socket: socket.socket | None = None
        self._is_abandoned = False

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Keeps a duplicate of each new socket; TLS would take the socket itself away."""
        if name == "connection.connect_tcp.complete":
            new: socket.socket = info["return_value"].get_extra_info("socket")
            self._close_socket()
            self._socket = socket.fromfd(new.fileno(), new.family, new.type)
            if self._is_abandoned:
                self.abandon()

    def abandon(self) -> None:
        """Ends a request that is under way in another thread."""
        self._is_abandoned = True
        if self._socket is not None:
            with suppress(OSError):  # the server has ended it already
                self._socket.shutdown(socket.SHUT_RDWR)
        self._close_socket()

    def close(self) -> None:
        """Closes the client; nothing is under way."""
        self._close_socket()
        self.client.close()

    def answer_to(
        self, request: httpx2.Request, ended: "SimpleQueue[HttpAnswer | BaseException]"
    ) -> None:
        """Puts the answer to a request, or its error, into a queue."""
        try:
            response = self.client.send(request, stream=True)
            try:
                found = _received(response)
            finally:
                response.close()
            ended.put(found)
        except BaseException as error:  # door: the caller's thread raises it
            ended.put(error)
        if self._is_abandoned:
            self.close()

    def _close_socket(self) -> None:
        found, self._socket = self._socket, None
        if found is not None:
            found.close()


class Connection:
    """A connection to one server that is opened at the first request, and again after a failure.

    `ca_file` holds the certificates to trust; without it those of the system count, or those of
    SSL_CERT_FILE. It serves one caller at a time.
    """

    def __init__(
        self, server: str, *, ca_file: str | None = None, request_s: float = REQUEST_S
    ) -> None:
        self.server = server_address(server)
        self._ca_file = ca_file
        self._request_s = request_s
        self._session: _Session | None = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> HttpAnswer:
        """Sends a request and returns its answer, of any status.

        Raises ServerUnreachable, and BadAnswer for what is no answer of HTTP or too large. A server
        may end a connection that stood open just when it is used again: then the request is sent
        once more.
        """
        was_used = self._session is not None
        try:
            return self._sent(method, path, query, headers, body)
        except SyncError as error:
            if not was_used or not isinstance(error.__cause__, _ENDED):
                raise
        return self._sent(method, path, query, headers, body)

    def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes,
    ) -> HttpAnswer:
        session = self._open()
        request = session.client.build_request(
            method,
            f"{self.server}{path}",
            params=query,
            headers=headers,
            content=body or None,
            timeout=httpx2.Timeout(self._request_s, connect=CONNECT_S),
            extensions={"trace": session.trace},
        )
        ended: SimpleQueue[HttpAnswer | BaseException] = SimpleQueue()
        Thread(
            target=session.answer_to, args=(request, ended), name="thence-sync-http", daemon=True
        ).start()
        found: HttpAnswer | BaseException | None = None
        try:
            found = ended.get(timeout=self._request_s)
        except Empty:
            raise self._unreachable(f"no whole answer within {self._request_s:g} s") from None
        finally:
            if found is None:
                self._session = None
                session.abandon()
        if isinstance(found, BaseException):
            self.close()
            raise self._meaning(found) from found
        return found

    def close(self) -> None:
        """Closes the connection; the next request opens it again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _open(self) -> _Session:
        if self._session is None:
            client = httpx2.Client(
                verify=trusted_certificates(self.server, self._ca_file),
                # a proxy would see what is for this machine alone
                trust_env=not is_loopback_server(self.server),
                headers={
                    "User-Agent": "thence",
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",
                },
                limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            )
            self._session = _Session(client)
        return self._session

    def _meaning(self, error: BaseException) -> BaseException:
        """Returns the error of the house for one of a request."""
        if isinstance(error, SyncError):
            return type(error)(
                error.operation, place=self.server, cause=error.cause, hint=error.hint
            )
        if isinstance(error, httpx2.TimeoutException):
            return self._unreachable("no answer in time")
        text = seen(str(error).encode(errors="replace"))[1:-1] or type(error).__name__
        if isinstance(error, (httpx2.ProtocolError, httpx2.DecodingError)):
            return BadAnswer(
                "could not read the answer of", place=self.server, cause=text, hint=_LATER
            )
        if "CERTIFICATE" in text.upper():
            is_time = any(words in text for words in _CERTIFICATE_TIMES)
            return self._unreachable(text, _CLOCK if is_time else _CERTIFICATE)
        if isinstance(error, (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError)):
            return self._unreachable(text)
        return error

    def _unreachable(self, cause: str, hint: str = _LATER) -> ServerUnreachable:
        return ServerUnreachable("could not reach", place=self.server, cause=cause, hint=hint)


def _received(response: httpx2.Response) -> HttpAnswer:
    """Reads a response; no part is unpacked beyond the limit."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        raise _bad(f"it is packed as {coding[:20]!r}, which nobody asked for")
    unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
    body, packed_bytes = bytearray(), 0
    for part in response.iter_raw():
        packed_bytes += len(part)
        if unpack is None:
            body += part
        else:
            try:
                body += unpack.decompress(part, BODY_BYTES_MAX + 1 - len(body))
            except zlib.error:
                raise _bad("it can't be unpacked") from None
        if max(packed_bytes, len(body)) > BODY_BYTES_MAX:
            raise _bad(f"it is longer than {BODY_BYTES_MAX:,} bytes")
    if unpack is not None and not unpack.eof:
        raise _bad("it ends before its end")
    return HttpAnswer(response.status_code, response.headers, bytes(body))


def _bad(cause: str) -> BadAnswer:
    return BadAnswer("could not read the answer of", cause=cause, hint=_LATER)
