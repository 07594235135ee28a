"""Every error as a client receives it: `{code, message}`, never a page, never a traceback.

Bad content of a file or a request is never the server's failure: it has a code of its own.
"""

from collections.abc import Mapping
from http import HTTPStatus
from sqlite3 import Error as SqliteError
from typing import Any, cast

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from thence.core.nearest import did_you_mean
from thence.errors import (
    AmbiguousId,
    EventNotFound,
    InvalidCursor,
    InvalidFilter,
    NotALog,
    ThenceError,
    VocabularyMismatch,
)
from thence.server.models import Problem

MESSAGE_CHARACTERS_MAX = 500
_NAME_CHARACTERS_MAX = 100

_CODES: Mapping[int, str] = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    503: "unavailable",
}


def problem(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Returns the response that reports an error."""
    # an id may hold half a surrogate pair, which JSON can't
    text = message[:MESSAGE_CHARACTERS_MAX].encode(errors="backslashreplace").decode()
    body = {"code": code, "message": text}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def add_error_handlers(app: FastAPI) -> None:
    """Makes an app report all its errors in one form."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    for kind in (ThenceError, OSError, SqliteError):
        app.add_exception_handler(kind, _log_error)
    app.add_exception_handler(Exception, _unforeseen_error)


async def error_response(request: Request, error: Exception) -> Response:
    """Returns the response for the error of a request: a refusal, or a failure of a log."""
    handle = _http_error if isinstance(error, HTTPException) else _log_error
    return await handle(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Reports a refusal of the framework: no such path, no such method."""
    refusal = cast("HTTPException", error)
    code = _CODES.get(refusal.status_code, "invalid_parameter")
    message = str(refusal.detail)
    if message == HTTPStatus(refusal.status_code).phrase:
        message = f"{message}: {request.method} {request.url.path}; see /openapi.json"
    headers = dict(refusal.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"  # each GET is answered without its body too
    return problem(refusal.status_code, code, message, headers)


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    """Reports the first parameter that can't be read."""
    first: dict[str, Any] = cast("RequestValidationError", error).errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    reason = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = f"there is no such parameter{did_you_mean(name, _parameter_names(request))}"
    return problem(422, "invalid_parameter", f"{name[:_NAME_CHARACTERS_MAX]}: {reason}")


def _parameter_names(request: Request) -> list[str]:
    """Returns the names of the route's parameters."""
    models = [
        field.field_info.annotation for field in request.scope["route"].dependant.query_params
    ]
    return [key for model in models for key in getattr(model, "model_fields", ())]


async def _log_error(request: Request, error: Exception) -> Response:
    """Reports why a question to a log failed."""
    is_simulation = request.url.path.startswith("/simulations")
    if isinstance(error, EventNotFound):
        log_id = request.path_params.get("id", "")
        return problem(404, "event_not_found", f"no event of {log_id} has the id {error.place}")
    if isinstance(error, NotALog | VocabularyMismatch):
        code = "simulation_not_found" if is_simulation else "not_found"
        kind = "simulation" if is_simulation else "log"
        return problem(404, code, f"there is no {kind} {error.place}")
    if isinstance(error, InvalidFilter | InvalidCursor | AmbiguousId):
        code = "invalid_cursor" if isinstance(error, InvalidCursor) else "invalid_parameter"
        message = f"{error}; {error.hint}" if error.hint else str(error)
        return problem(422, code, message)
    operation = error.operation if isinstance(error, ThenceError) else "could not read the log"
    cause = getattr(error, "cause", "") or getattr(error, "strerror", None) or type(error).__name__
    return problem(503, "unavailable", f"{operation}: {cause}", {"Retry-After": "1"})


async def _unforeseen_error(request: Request, error: Exception) -> Response:
    """Reports a bug of the server without details; the server's own log gets those."""
    return problem(500, "unavailable", "the server failed; its log tells how")


RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one (`unauthorized`)."},
    403: {"model": Problem, "description": "A foreign host name (`forbidden`)."},
    404: {"model": Problem, "description": "There is no such log or event."},
    422: {"model": Problem, "description": "`invalid_parameter`, `invalid_cursor`."},
    503: {"model": Problem, "description": "It could not be read now (`unavailable`)."},
}
LIVE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events without end: `id:` is the event's id, `data:` its line.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
METRICS_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Counts and gauges.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
NDJSON_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events that match, in total order, a line each.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}
