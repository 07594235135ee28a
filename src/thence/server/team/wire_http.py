"""Requests and answers of the wire over ASGI: bounded bodies, gzip, one form of errors."""

import gzip
import zlib
from asyncio import timeout
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from apsw import Error as ApswError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from thence.errors import (
    BatchRefused,
    CursorUnknown,
    InvalidEvent,
    NotALog,
    NotLoggedIn,
    ServerBusy,
    SyncRefused,
    ThenceError,
    VocabularyMismatch,
)

BODY_S = 60.0
COMPRESSED_BYTES_MIN = 1_024
PARAMETERS_MAX = 20
_GZIP = 31  # zlib's name for a gzip header with the largest window
_LEVEL = 1


class TooLarge(Exception):
    """Raised for a body over its limit; the text says which."""


class ClientLeft(Exception):
    """Raised when a client has gone before its body was complete."""


class Asked(NamedTuple):
    """A request: its method and path, its parameters, its headers in lower case, its body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def token(self) -> str:
        """The access token, "" if there is none."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""


class Reply(NamedTuple):
    """An answer with a JSON body."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def asked(scope: Scope) -> Asked:
    """Returns a request without its body; raises InvalidEvent for parameters that can't be read."""
    try:
        given = scope["query_string"].decode("ascii")
        query = dict(parse_qsl(given, keep_blank_values=True, max_num_fields=PARAMETERS_MAX))
    except ValueError as error:
        raise InvalidEvent("could not read the request's parameters", cause=error) from error
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    return Asked(scope.get("method", "GET"), scope["path"].rstrip("/"), query, headers)


async def body_of(receive: Receive, bytes_max: int) -> bytes:
    """Returns the body of a request as it was sent; raises TooLarge, ClientLeft, InvalidEvent."""
    parts: list[bytes] = []
    size_bytes = 0
    try:
        async with timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                parts.append(message.get("body", b""))
                size_bytes += len(parts[-1])
                if size_bytes > bytes_max:
                    raise TooLarge(f"the body is larger than {bytes_max} bytes")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise InvalidEvent("could not read the body", cause="it did not come in time") from None


def unpacked(request: Asked, bytes_max: int) -> bytes:
    """Returns the body of a request uncompressed; it stops at its limit, and raises TooLarge."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return request.body
    if encoding != "gzip":
        raise InvalidEvent("could not read the body", cause=f"its encoding is {encoding:.40}")
    inflating = zlib.decompressobj(_GZIP)
    try:
        body = inflating.decompress(request.body, bytes_max + 1)
    except zlib.error as error:
        raise InvalidEvent("could not unpack the body", cause=error) from error
    if len(body) > bytes_max:
        raise TooLarge(f"the body is larger than {bytes_max} bytes when unpacked")
    if not inflating.eof or inflating.unused_data:
        raise InvalidEvent("could not unpack the body", cause="it is not one whole gzip member")
    return body


def decoded_as(body: bytes, form: Any) -> Any:
    """Returns a body as a message; raises InvalidEvent if it is none."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidEvent("could not read the body", cause=error) from error


def packed(request: Asked, reply: Reply) -> Reply:
    """Returns an answer, compressed if it is large and the client takes that."""
    accepted = request.headers.get("accept-encoding", "").lower()
    names = {part.partition(";")[0].strip() for part in accepted.split(",") if "q=0" not in part}
    if len(reply.body) < COMPRESSED_BYTES_MIN or not names & {"gzip", "*"}:
        return reply
    headers = (*reply.headers, ("content-encoding", "gzip"), ("vary", "accept-encoding"))
    return Reply(reply.status, gzip.compress(reply.body, _LEVEL, mtime=0), headers)


_STATUS: tuple[tuple[type[ThenceError], int], ...] = (
    (NotLoggedIn, 401),
    (SyncRefused, 403),
    (NotALog, 404),
    (CursorUnknown, 409),
    (VocabularyMismatch, 409),
    (BatchRefused, 400),
    (InvalidEvent, 400),
    (ServerBusy, 429),
)


def refusal(error: Exception) -> Reply:
    """Returns the answer that reports an error."""
    if isinstance(error, TooLarge):
        return problem(413, "too_large", str(error), "send less at once")
    if isinstance(error, HTTPException):
        retry = (("retry-after", (error.headers or {}).get("Retry-After", "1")),)
        return problem(error.status_code, "unavailable", str(error.detail), "", headers=retry)
    if isinstance(error, ThenceError):
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
        headers: tuple[tuple[str, str], ...] = ()
        if status == 401:
            headers = (("www-authenticate", "Bearer"),)
        elif status in (429, 503):
            seconds = getattr(error, "retry_after_s", 1.0)
            headers = (("retry-after", str(max(1, round(seconds + 0.5)))),)
        details = None
        if isinstance(error, BatchRefused):
            details = [{"event_id": name, "error": why} for name, why in error.bad.items()]
        return problem(status, error.code, str(error), error.hint, details, headers)
    if isinstance(error, ApswError | OSError):
        message = "the server could not use its database"
        return problem(503, "unavailable", message, "", headers=(("retry-after", "1"),))
    return problem(500, "failed", "the server failed; its log tells how", "")


def unknown_host() -> Reply:
    """Returns the answer under a host name that is not this server's."""
    return problem(403, "forbidden", "this server doesn't answer under that host name", "")


def problem(
    status: int,
    code: str,
    message: str,
    hint: str,
    details: list[dict[str, str]] | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    """Returns an answer in the form of errors."""
    text = message[:500].encode(errors="backslashreplace").decode()
    body: dict[str, Any] = {
        "error": text,
        "problem": {"code": code, "message": text, "hint": hint},
    }
    if details is not None:
        body["details"] = details
    return Reply(status, msgspec.json.encode(body), headers)


async def send_reply(send: Send, reply: Reply) -> None:
    """Sends an answer."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(reply.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *((key.encode(), value.encode()) for key, value in reply.headers),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
