"""Every error as a client receives it: never a page of the framework, never a traceback.

Bad content of a file or a request is never the server's failure: it has a code of its own. The
query API answers `{code, message}`, the wire `{error, problem}` as wire.md says; what differs is
how a refusal is spelled, not which one it is.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from sqlite3 import Error as SqliteError
from typing import Any, NamedTuple

import msgspec
from apsw import Error as ApswError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from thence.core.nearest import did_you_mean
from thence.errors import EventNotFound, NotALog, ThenceError
from thence.server.models import Problem
from thence.sync.wire.messages import BatchRefused

MESSAGE_CHARACTERS_MAX = 500
_NAME_CHARACTERS_MAX = 100
_PATH_CHARACTERS_MAX = 80

# of the errors of thence by their code, which is that of the wire: the status, and the code in the
# query API
_TABLE: Mapping[str, tuple[int, str]] = {
    "event_not_found": (404, "event_not_found"),
    "event_pruned": (404, "event_not_found"),
    "not_a_log": (404, "not_found"),
    "invalid_cursor": (422, "invalid_cursor"),
    "invalid_filter": (422, "invalid_parameter"),
    "ambiguous_id": (422, "invalid_parameter"),
    "not_logged_in": (401, "unauthorized"),
    "sync_refused": (403, "forbidden"),
    "cursor_unknown": (409, "unavailable"),
    "vocabulary_mismatch": (409, "unavailable"),
    "batch_refused": (400, "invalid_parameter"),
    "invalid_event": (400, "invalid_parameter"),
    "event_too_large": (400, "invalid_parameter"),
    "account_refused": (400, "invalid_parameter"),
    "server_busy": (429, "unavailable"),
}
# an error that may pass has the status 503, unless the table has another one
_PASSING = (ThenceError, OSError, SqliteError, ApswError)
# the codes of refusals that come from the framework, or have its class
_CODES: Mapping[int, str] = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    426: "upgrade_required",
    503: "unavailable",
}


class Refusal(NamedTuple):
    """What a client is told of an error; `details` is the reason of each event that is refused."""

    status: int
    code: str
    message: str
    hint: str = ""
    headers: Mapping[str, str] | None = None
    details: Mapping[str, str] | None = None

    @property
    def words(self) -> str:
        """The message, with the hint if there is one."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


def is_page(path: str) -> bool:
    """Reports whether a path is that of a page, whose errors are pages too."""
    return path == "/" or path == "/runs" or path.startswith("/runs/")


def add_error_handlers(app: FastAPI, page: Callable[[int, str], Response] | None = None) -> None:
    """Makes an app report all its errors, of the query API or else of the wire.

    `page` makes the page of the query API that tells of an error, of its status and its words.
    """
    app.state.problem_page = page
    app.add_exception_handler(ClientDisconnect, _unheard)
    for kind in (HTTPException, RequestValidationError, *_PASSING, Exception):
        app.add_exception_handler(kind, _report)


def too_large(message: str) -> HTTPException:
    """Returns the error for a body or a batch over its limit."""
    return HTTPException(413, message)


def refused(scope: Scope, error: Exception) -> Response:
    """Returns the response that reports the error of a request, as its path's clients read it."""
    page = scope["app"].state.problem_page
    if page is None:
        return wire_response(wire_refusal(error, scope["path"]))
    told = refusal(scope, error)
    if not is_page(scope["path"]):
        body = {"code": told.code, "message": _text(told.words)}
        return _json(body, told)
    response: Response = page(told.status, told.words)
    response.headers.update(told.headers or {})
    if "Retry-After" in response.headers:  # a browser comes back by itself
        response.headers["Refresh"] = response.headers["Retry-After"]
    return response


async def _report(request: Request, error: Exception) -> Response:
    return refused(request.scope, error)


async def _unheard(request: Request, error: Exception) -> Response:
    """Ends a request whose client has gone amid its body; nobody receives the answer."""
    return Response(status_code=400)


def wire_response(refusal: Refusal) -> Response:
    """Returns a refusal in the form of the wire."""
    text = _text(refusal.message)
    problem = {"code": refusal.code, "message": text, "hint": refusal.hint}
    body: dict[str, Any] = {"error": text, "problem": problem}
    if refusal.details is not None:
        pairs = refusal.details.items()
        body["details"] = [{"event_id": name, "error": reason} for name, reason in pairs]
    return _json(body, refusal)


def _json(body: object, refusal: Refusal) -> Response:
    return Response(msgspec.json.encode(body), refusal.status, refusal.headers, "application/json")


def _text(message: str) -> str:
    # an id may hold half a surrogate pair, which JSON can't
    return message[:MESSAGE_CHARACTERS_MAX].encode(errors="backslashreplace").decode()


def wire_refusal(error: Exception, path: str = "") -> Refusal:
    """Returns what a client of the wire is told of an error."""
    if isinstance(error, HTTPException):
        return _framework_refusal(error, path)
    status, _ = _judged(error)
    headers = {}
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    elif status in (429, 503):
        wait_s = getattr(error, "retry_after_s", 0.0)
        headers = {"Retry-After": str(max(1, round(wait_s + 0.5)))}
    if isinstance(error, ThenceError):
        details = error.bad if isinstance(error, BatchRefused) else None
        return Refusal(status, error.code, str(error), error.hint, headers, details)
    if status == 503:
        return Refusal(503, "unavailable", "the server could not use its database", "", headers)
    return Refusal(500, "failed", "the server failed; its log has the error")


def refusal(scope: Scope, error: Exception) -> Refusal:
    """Returns what a client of the query API is told of an error."""
    if isinstance(error, RequestValidationError):
        models = [field.field_info.annotation for field in scope["route"].dependant.query_params]
        names = [key for model in models for key in getattr(model, "model_fields", ())]
        return Refusal(422, "invalid_parameter", parameter_problem(error, names))
    told = wire_refusal(error, scope["path"])
    if isinstance(error, HTTPException):
        is_of_api = told.status in (404, 405) and not is_page(scope["path"])
        return told._replace(hint="see /openapi.json") if is_of_api else told
    told = told._replace(code=_judged(error)[1], details=None)
    if isinstance(error, EventNotFound):
        log_id = scope.get("path_params", {}).get("id", "")
        message = f"no event of {log_id} has the id {error.place}"
        if error.code == "event_pruned":
            message = f"event {error.place} of {log_id} was pruned"
        return told._replace(message=message, hint="")
    if isinstance(error, NotALog):
        is_simulation = scope["path"].startswith("/simulations")
        kind = "simulation" if is_simulation else "log"
        code = "simulation_not_found" if is_simulation else told.code
        return told._replace(code=code, message=f"there is no {kind} {error.place}", hint="")
    if told.status <= 500:
        return told
    operation = error.operation if isinstance(error, ThenceError) else "could not read the log"
    cause = getattr(error, "cause", "") or getattr(error, "strerror", None) or type(error).__name__
    return told._replace(message=f"{operation}: {cause}", hint="")


def _judged(error: Exception) -> tuple[int, str]:
    """Returns the status and the code of an error."""
    other = (503 if isinstance(error, _PASSING) else 500), "unavailable"
    return _TABLE.get(error.code, other) if isinstance(error, ThenceError) else other


def _framework_refusal(error: HTTPException, path: str) -> Refusal:
    """Returns what is told of a refusal of the framework: no such path, no such method."""
    status, message = error.status_code, str(error.detail)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        # each GET is answered without its body too
        methods = sorted({*headers["Allow"].split(", ")} - {"HEAD"})
        headers["Allow"] = ", ".join(methods).replace("GET", "GET, HEAD")
        message = f"use {' or '.join(methods)}"
    elif message == HTTPStatus(404).phrase:
        message = f"there is no {path[:_PATH_CHARACTERS_MAX]}"
    hint = "send less at a time" if status == 413 else ""
    return Refusal(status, _CODES.get(status, "invalid_parameter"), message, hint, headers)


def parameter_problem(error: RequestValidationError | ValidationError, names: Iterable[str]) -> str:
    """Returns what is told of the first parameter that can't be read, of those with some names."""
    first: Any = error.errors()[0]
    is_of_request = isinstance(error, RequestValidationError)  # there "query" comes first
    name = ".".join(str(part) for part in first["loc"][is_of_request:]) or "the request"
    reason = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = f"there is no such parameter{did_you_mean(name, [*names])}"
    return f"{name[:_NAME_CHARACTERS_MAX]}: {reason}"


RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one (`unauthorized`)."},
    403: {"model": Problem, "description": "A foreign host name (`forbidden`)."},
    404: {"model": Problem, "description": "There is no such log or event."},
    422: {"model": Problem, "description": "`invalid_parameter`, `invalid_cursor`."},
    503: {"model": Problem, "description": "It could not be read now (`unavailable`)."},
}


def _stream(description: str, media_type: str) -> dict[int | str, dict[str, Any]]:
    """Returns how an answer that is a text of its own kind is told in the OpenAPI document."""
    content = {media_type: {"schema": {"type": "string"}}}
    return {200: {"description": description, "content": content}}


LIVE_RESPONSE = _stream(
    "Server-sent events without end: `id:` is the event's id, `data:` its line.",
    "text/event-stream",
)
NDJSON_RESPONSE = _stream(
    "The events that match, in total order, a line each.", "application/x-ndjson"
)
