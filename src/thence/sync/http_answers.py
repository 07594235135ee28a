"""The meaning of a server's answer: a value of the protocol, or an error for its status."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec

from thence.errors import (
    BadAnswer,
    CursorUnknown,
    NotLoggedIn,
    ServerBusy,
    ServerUnreachable,
    SyncError,
    SyncRefused,
)
from thence.sync.http_connection import HttpAnswer, seen

_T = TypeVar("_T")
RETRY_AFTER_S_MAX = 600.0
_RETRY_AFTER_S = 30.0
_OTHER = "check the address: another program answers there, or a newer server"
_ASK = "ask whoever keeps the server; `thence sync status` shows the target"


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""
    hint: str = ""


class _Detail(msgspec.Struct, frozen=True):
    event_id: str = ""
    error: str = ""


class ErrorAnswer(msgspec.Struct, frozen=True):
    """An answer of 400 or more, in the form of the protocol."""

    error: str
    problem: _Problem | None = None
    details: tuple[_Detail, ...] = ()


def decoded(answer: HttpAnswer, kind: type[_T], server: str, *secrets: str) -> _T:
    """Returns the value of an answer; raises BadAnswer with what was seen in its place."""
    content_type = answer.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise bad_answer(server, f"it is {content_type[:40]!r}, no JSON: {_seen(answer, *secrets)}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        cause = f"it does not have the form of one: {_seen(answer, *secrets)}"
        raise bad_answer(server, cause) from None


def bad_answer(server: str, cause: str) -> BadAnswer:
    """Returns the error for an answer that no server of thence gives."""
    return BadAnswer("could not read the answer of", place=server, cause=cause, hint=_OTHER)


def error_of(
    answer: HttpAnswer, server: str, operation: str, secrets: Sequence[str] = ()
) -> SyncError:
    """Returns the error for an answer by its status."""
    status, refusal = answer.status, refusal_of(answer)
    cause = text_of(answer, *secrets) or f"status {status}"
    if 300 <= status < 400:
        target = words(answer.headers.get("location", ""), secrets) or "nowhere"
        return BadAnswer(
            operation,
            place=server,
            cause=f"it redirects to {target}, and no login is sent there",
            hint="if that is your server, log in there: thence sync login URL",
        )
    if status in (429, 503):
        retry_after_s = _retry_after_s(answer)
        return ServerBusy(
            operation,
            place=server,
            cause=cause,
            hint=f"nothing is lost; try again in {retry_after_s:g} s",
            retry_after_s=retry_after_s,
        )
    if status >= 500 or status == 408:
        hint = "nothing is lost; try again later"
        return ServerUnreachable(operation, place=server, cause=cause, hint=hint)
    if status == 401:
        return NotLoggedIn(operation, place=server, cause=cause, hint=f"thence sync login {server}")
    if status == 409 and refusal and refusal.problem and refusal.problem.code == "cursor_unknown":
        return CursorUnknown(
            operation, place=server, cause=cause, hint="the next round begins anew by itself"
        )
    if status in (403, 409, 412, 413) or (400 <= status < 500 and refusal):
        hint = words(refusal.problem.hint, secrets) if refusal and refusal.problem else ""
        return SyncRefused(operation, place=server, cause=cause, hint=hint or _ASK)
    shown = f"it is of status {status}: {_seen(answer, *secrets)}"
    return BadAnswer(operation, place=server, cause=shown, hint=_OTHER)


def refusal_of(answer: HttpAnswer) -> ErrorAnswer | None:
    """Returns the error that an answer holds in the form of the protocol, if it does."""
    try:
        return msgspec.json.decode(answer.body, type=ErrorAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def is_log_unknown(answer: HttpAnswer) -> bool:
    """Reports whether a server of this protocol answers that it has no such log."""
    refusal = refusal_of(answer) if answer.status == 404 else None
    return refusal is not None and refusal.problem is not None


def text_of(answer: HttpAnswer, *secrets: str) -> str:
    """Returns the server's own words for a refusal, without anything secret; else nothing."""
    refusal = refusal_of(answer)
    if refusal is None:
        return ""
    said = (refusal.problem.message if refusal.problem else "") or refusal.error
    return words(said, secrets)


def _seen(answer: HttpAnswer, *secrets: str) -> str:
    return _hidden(seen(_hidden(answer.body.decode(errors="replace"), secrets).encode()), secrets)


def words(text: str, secrets: Sequence[str]) -> str:
    """Returns a server's text in few printable words, without anything secret."""
    return seen(_hidden(text, secrets).encode(errors="replace"))[1:-1]


def _hidden(text: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return text


def _retry_after_s(answer: HttpAnswer) -> float:
    """Returns the seconds that a server asks to wait, at most ten minutes.

    A date counts from the answer's own date, so that no clock of this machine matters.
    """
    given = answer.headers.get("retry-after", "")
    if given.isascii() and given.isdigit():
        return min(float(given[:9]), RETRY_AFTER_S_MAX)
    until, now = _date(given), _date(answer.headers.get("date", ""))
    if until is None or now is None:
        return _RETRY_AFTER_S
    return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).replace(tzinfo=None)
    except (ValueError, TypeError, IndexError):
        return None
