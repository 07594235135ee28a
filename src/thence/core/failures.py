"""What a failure is: the one rule for `@last-error`, filters, the index, pages and steps.

A warning, a retry, a cancelled step and a refused action or move are no failures.
"""

from collections.abc import Mapping
from typing import Any, Protocol

# the last parts of types that report a failure; what was lost is one in every log
FAILED_TYPES = (".failed", ".error", "log.events_dropped", "log.write_failed")
# one of these bytes is in each other line of a failure: any text may stand as escapes of its
# characters
FAILURE_SIGNS = (b'"failure"', b'"run_failed"', b'"events_dropped"', b'"write_failed"', b"\\u")
_SYSTEM = "SYSTEM"
_FAILED = frozenset(("events_dropped", "run_failed", "write_failed"))
# of the types that record what was refused, what their `error_type` is then
REJECTIONS = {_SYSTEM: "action_rejected", "ErrorLogged": "validation"}


class _Recorded(Protocol):
    @property
    def event_type(self) -> str:
        """The event's type."""

    @property
    def cut_payload(self) -> Mapping[str, Any]:
        """The event's content, where a large value may stand cut."""


def is_failure(event: _Recorded) -> bool:
    """Reports whether an event records a failure.

    It does by its type, which ends in `.failed` or `.error`, by `status: failure` in its payload,
    and where a run failed or a log lost events. A rejected action is the agent's to answer for.
    """
    if event.event_type.endswith(FAILED_TYPES):
        return True
    if event.event_type.endswith(".cancelled") or is_rejection(event):
        return False
    payload = event.cut_payload
    if payload.get("status") == "failure":
        return True
    error_type = payload.get("error_type")
    return event.event_type == _SYSTEM and isinstance(error_type, str) and error_type in _FAILED


def is_rejection(event: _Recorded) -> bool:
    """Reports whether an event records a refused action or move, which is no failure."""
    refused = REJECTIONS.get(event.event_type)
    return refused is not None and event.cut_payload.get("error_type") == refused
