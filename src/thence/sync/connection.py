"""A connection to one server over HTTP, bounded in time and size whatever comes back.

No redirect is followed. TLS certificates are verified, and plain HTTP reaches this machine alone.
"""

import ssl
import zlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2

from thence.errors import SyncRefused
from thence.sync.wire.messages import BODY_BYTES_MAX

CONNECT_S = 5.0
REQUEST_S = 15.0
_WRITE_BYTES = 65_536
_WORDS_CHARACTERS_MAX = 200
_HEADERS = {"User-Agent": "thence", "Accept": "application/json", "Accept-Encoding": "gzip"}
_PORTS = {"http": 80, "https": 443}
# the errors of a connection that the other side has ended
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
_CERTIFICATE = "for a server with a certificate of its own: thence sync login URL --ca FILE"
_LATER = "nothing is lost; check the address and the network, then try again"
_ADDRESS = "name it as https://HOST[:PORT]"
OTHER = "check the address: another program answers there, or a newer server"


class HttpAnswer(NamedTuple):
    """An answer's status, its headers in lower case, its unpacked body, and who gave it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    server: str


class Connection:
    """A connection to one server that is opened at the first request, and again after a failure.

    `ca_file` holds the certificates to trust; without it those of the system count, or those of
    SSL_CERT_FILE. No request lasts longer than `request_s`, however slowly a server sends; only the
    resolver of this system has its own time for the server's name.
    """

    def __init__(
        self, server: str, *, ca_file: str | None = None, request_s: float = REQUEST_S
    ) -> None:
        self.server = server_address(server)
        self._ca_file = ca_file
        self._request_s = request_s
        self._network = _Network()
        self._pool: httpcore2.ConnectionPool | None = None

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

        Raises SyncRefused: `server_unreachable`, and `bad_answer` for what is no answer of HTTP or
        too large. A server may end a connection that stood open just when it is used again: then
        the request is sent once more.
        """
        url = quote(f"{self.server}{path}", safe="/:[]%")
        url += f"?{urlencode(query)}" if query else ""
        named = {**_HEADERS, **(headers or {})}
        fields = [(name.encode(), text.encode()) for name, text in named.items()]
        was_used = self._pool is not None
        try:
            return self._sent(method, url, fields, body)
        except SyncRefused as error:
            if not was_used or not isinstance(error.__cause__, _ENDED):
                raise
        return self._sent(method, url, fields, body)

    def close(self) -> None:
        """Closes the connection; the next request opens it again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _sent(
        self, method: str, url: str, fields: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> HttpAnswer:
        self._network.end_s = monotonic() + self._request_s
        self._network.has_answered = False
        answer: HttpAnswer | None = None
        try:
            if self._pool is None:
                is_tls = self.server.startswith("https:")
                self._pool = httpcore2.ConnectionPool(
                    ssl_context=trusted_certificates(self._ca_file) if is_tls else None,
                    proxy=_proxy_to(self.server),
                    max_connections=1,
                    network_backend=self._network,
                )
            with self._pool.stream(method, url, headers=fields, content=body or None) as response:
                answer = _received(response, self.server)
            return answer
        except _FAILURES as error:
            raise self._meaning(error) from error
        finally:
            if answer is None:
                self.close()

    def _meaning(self, error: Exception) -> SyncRefused:
        """Returns the error of the house for one of a request."""
        if isinstance(error, httpcore2.TimeoutException):
            return self._unreachable(f"no whole answer within {self._request_s:g} s")
        text = words(str(error)) or type(error).__name__
        if isinstance(error, httpcore2.ProtocolError) and self._network.has_answered:
            return bad_answer(self.server, text, _LATER)
        if "CERTIFICATE" in text.upper():
            return self._unreachable(text, _CERTIFICATE)
        return self._unreachable(text)

    def _unreachable(self, cause: str, hint: str = _LATER) -> SyncRefused:
        code = "server_unreachable"
        return SyncRefused("could not reach", place=self.server, cause=cause, hint=hint, code=code)


class _Network(httpcore2.SyncBackend):
    """The network of a connection, where nothing is waited for beyond the end of the request.

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

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connects to a server or its proxy, to each address of it for 5 s at most."""
        wait_s = min(CONNECT_S, self.remaining_s())
        stream = super().connect_tcp(host, port, wait_s, local_address, socket_options)
        return _Stream(stream, self)


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

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        wait_s = self._network.remaining_s()  # of the whole handshake: a server may only begin
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, wait_s), self._network)

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
        code = "sync_error"
        raise SyncRefused("could not use", place=place, cause=cause, hint=_ADDRESS, code=code)
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


def trusted_certificates(ca_file: str | None) -> ssl.SSLContext:
    """Returns the certificates of a file, without one the system's; raises SyncRefused for none."""
    try:
        if ca_file:
            return ssl.create_default_context(cafile=ca_file)
        return httpcore2.default_ssl_context()
    except OSError as error:
        raise SyncRefused(
            "could not read the certificates in",
            place=ca_file or "SSL_CERT_FILE",
            cause=error.strerror or error,
            hint="name a file in PEM format: thence sync login URL --ca FILE",
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


def _received(response: httpcore2.Response, server: str) -> HttpAnswer:
    """Reads a response; no part is unpacked beyond the limit."""
    headers = {
        name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers
    }
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        raise bad_answer(server, f"it is packed as {coding[:20]!r}, which is not supported", _LATER)
    unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
    body, packed_bytes = bytearray(), 0
    for part in response.iter_stream():
        packed_bytes += len(part)
        try:
            body += unpack.decompress(part, BODY_BYTES_MAX + 1 - len(body)) if unpack else part
        except zlib.error:
            raise bad_answer(server, "it can't be unpacked", _LATER) from None
        if max(packed_bytes, len(body)) > BODY_BYTES_MAX:
            raise bad_answer(server, f"it is longer than {BODY_BYTES_MAX:,} bytes", _LATER)
    if unpack is not None and not unpack.eof:
        raise bad_answer(server, "it is cut short", _LATER)
    return HttpAnswer(response.status, headers, bytes(body), server)


def bad_answer(server: str, cause: str, hint: str = OTHER) -> SyncRefused:
    """Returns the error for an answer that no server of thence gives."""
    operation = "could not read the answer of"
    return SyncRefused(operation, place=server, cause=cause, hint=hint, code="bad_answer")


def words(text: str, *secrets: str) -> str:
    """Returns a server's text in few printable words, without anything secret."""
    # hidden before the text is cut, and again behind it: what is no letter may stand in a secret
    part = _hidden(text, secrets)[: 4 * _WORDS_CHARACTERS_MAX]
    part = " ".join("".join(c if c.isprintable() else " " for c in part).split())
    part = _hidden(part, secrets)
    return part if len(part) <= _WORDS_CHARACTERS_MAX else part[:_WORDS_CHARACTERS_MAX] + "…"


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return text
