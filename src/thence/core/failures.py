"""What a failure is: the one rule for `@last-error`, filters, the index, pages and steps.

A warning, a retry, a cancelled step and a refused action or move are no failures.
"""

from thence.core.event import Event

# the last parts of types that report a failure; what was lost is one in every log
FAILED_TYPES = (".failed", ".error", "log.events_dropped", "log.write_failed")
_SYSTEM = "SYSTEM"
_FAILED = frozenset(("events_dropped", "run_failed", "write_failed"))
# of the types that record what was refused, what their `error_type` is then
REJECTIONS = {_SYSTEM: "action_rejected", "ErrorLogged": "validation"}


def is_failure(event: Event) -> bool:
    """Reports whether an event records a failure.

    It does by its type, which ends in `.failed` or `.error`, by `status: failure` in its payload,
    and where a run failed or a log lost events. A rejected action is the agent's to answer for.
    """
    payload = event.cut_payload
    return is_failed(event.event_type, payload.get("status"), payload.get("error_type"))


def is_failed(event_type: str, status: object, error_type: object) -> bool:
    """Returns what `is_failure` does, by what its answer depends on."""
    if event_type.endswith(FAILED_TYPES):
        return True
    is_rejected = event_type in REJECTIONS and error_type == REJECTIONS[event_type]
    if is_rejected or event_type.endswith(".cancelled"):
        return False
    is_loss = event_type == _SYSTEM and isinstance(error_type, str) and error_type in _FAILED
    return is_loss or status == "failure"


def is_rejection(event: Event) -> bool:
    """Reports whether an event records a refused action or move, which is no failure."""
    kind = event.event_type
    return kind in REJECTIONS and event.cut_payload.get("error_type") == REJECTIONS[kind]
