"""The log of a server as JSON, a line each: every request with its id, and the server's records.

A line names the path of a request without its parameters, which hold tokens and filters; nothing
of a body or of an event is in it. The id stands in the response too, as X-Request-Id.
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from secrets import token_hex
from sys import stderr
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ID_BYTES = 8
_PATH_CHARACTERS_MAX = 200
_UPGRADED = 101
_UNHEARD = 499  # the client went before an answer began, as nginx writes it
_logger = logging.getLogger("thence.requests")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


class RequestLog:
    """Middleware that logs each request when its answer has ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on with an id, and logs it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = token_hex(_ID_BYTES)
        status, start_s = _UNHEARD, monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"].endswith("response.start"):
                status = message["status"]
                pair = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message["headers"], pair]}
            elif message["type"] == "websocket.accept":
                status = _UPGRADED
            await send(message)

        reset = _request_id.set(request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            client = scope.get("client")
            fields = {
                "method": scope.get("method", "WEBSOCKET"),
                "path": scope["path"][:_PATH_CHARACTERS_MAX],
                "status": status,
                "ms": round((monotonic() - start_s) * 1000, 1),
                "address": client[0] if client else "",
            }
            _logger.info("request", extra={"fields": fields})
            _request_id.reset(reset)


class JsonLines(logging.Formatter):
    """Formatter that writes each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record with its time in UTC, and the id of the request that it belongs to."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "request_id": _request_id.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            members["error"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in members.items() if value != ""})


def log_as_json() -> None:
    """Has this process write its records to stderr as lines of JSON, from INFO up."""
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
