"""Bodies of requests and answers: bounded in size, gzip both ways."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from thence.core.ready import ready
from thence.errors import InvalidEvent
from thence.server.errors import too_large
from thence.server.http.workers import Workers

COMPRESSED_BYTES_MIN = 1_024
_GZIP = 31  # zlib's name for a gzip header with the largest window
_LEVEL = 1


def token_of(connection: HTTPConnection) -> str:
    """Returns the access token that a request shows as its bearer, "" if there is none."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def address_of(connection: HTTPConnection) -> str:
    """Returns the address of who asks, "" where the server does not tell."""
    return connection.client.host if connection.client else ""


async def body_of(request: Request, bytes_max: int) -> bytes:
    """Returns the body of a request as it was sent.

    Raises HTTPException with status 413 for one that is too large, ClientDisconnect.
    """
    parts: list[bytes] = []
    size_bytes = 0
    async for part in request.stream():
        parts.append(part)
        size_bytes += len(part)
        if size_bytes > bytes_max:
            raise too_large(f"the body is larger than {bytes_max} bytes")
    return b"".join(parts)


def unpacked(request: Request, body: bytes, bytes_max: int) -> bytes:
    """Returns a request's body uncompressed, up to a limit; raises as `body_of`, and status 415."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise HTTPException(415, f"send gzip, not {encoding:.40}", {"Accept-Encoding": "gzip"})
    inflating = zlib.decompressobj(_GZIP)
    try:
        plain = inflating.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise InvalidEvent("could not unpack the body", cause=error) from error
    if len(plain) > bytes_max:
        raise too_large(f"the body is larger than {bytes_max} bytes when unpacked")
    if not inflating.eof or inflating.unused_data:
        raise InvalidEvent("could not unpack the body", cause="it is not one whole gzip member")
    return plain


def decoded_as(body: bytes, form: Any) -> Any:
    """Returns a body as a message; raises InvalidEvent if it is none."""
    try:
        return msgspec.json.decode(body, type=ready(form))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidEvent("could not read the body", cause=error) from error


def packed(request: Request, value: object, status: int = 200) -> Response:
    """Returns an answer in JSON, compressed if it is large and the client takes that.

    Bytes are JSON already.
    """
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    accepted = request.headers.get("accept-encoding", "").lower()
    names = {part.partition(";")[0].strip() for part in accepted.split(",") if "q=0" not in part}
    if len(body) < COMPRESSED_BYTES_MIN or not names & {"gzip", "*"}:
        return Response(body, status, media_type="application/json")
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    compressed = gzip.compress(body, _LEVEL, mtime=0)
    return Response(compressed, status, headers, "application/json")


async def answered(
    request: Request,
    workers: Workers,
    work: Callable[[bytes], object],
    bytes_max: int = 0,
    body: bytes | None = None,
) -> Response:
    """Answers a request with what a work in a thread returns of its body: a value, or a response.

    The body is read here unless it was before; without `bytes_max` there is none. Raises what
    `body_of`, `unpacked` and the work raise.
    """
    packed_body = await body_of(request, bytes_max) if bytes_max and body is None else body or b""

    def answer() -> Response:
        value = work(unpacked(request, packed_body, bytes_max) if bytes_max else b"")
        return value if isinstance(value, Response) else packed(request, value)

    return await workers.run(answer)
