"""Orchestrators' attempts at packages as the log has them: assignments, failures, reviews.

An orchestrator keeps no other state, so another orchestrator can replace one that was killed. An
attempt of an agent is a WPAssigned with its number. A failed one is an ErrorLogged that names the
agent. The feedback of a send-back is the reason of the move.
`next_steps` derives from a package's state what a person can do about it.
"""

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.work.board.move_request import FETCH, UNSHALLOW, LandingStatus
from thence.work.board.state import DOING, DONE, FOR_REVIEW, PLANNED, PackageState

IMPLEMENTATION, REVIEW = "implementation", "review"
TRY_FAILED = "orchestrate: "  # how the message of a failed attempt begins
_WHY_CHARACTERS_MAX = 80


class AttemptHistory:
    """The orchestrators' attempts at one package since it was last claimed afresh.

    `assigned` is the last WPAssigned, `failures` counts failed attempts by (phase, agent).
    `return_reason` is the reason of the last send-back, `failure_message` that of the last failed
    attempt since then. `attempts` are the phases and ids of the failed attempts that count.
    """

    assigned: Event | None
    failures: dict[tuple[str, str], int]
    return_reason: str
    failure_message: str
    attempts: list[tuple[str, str]]

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Clears everything."""
        self.assigned = None
        self.failures = {}
        self.return_reason = ""
        self.failure_message = ""
        self.attempts = []

    @property
    def feedback(self) -> str:
        """The feedback for the next attempt."""
        return "\n".join(filter(None, (self.return_reason, self.failure_message)))

    @property
    def phase(self) -> str:
        """The phase of the last attempt."""
        return str(_payload(self.assigned).get("phase") or IMPLEMENTATION)


def attempt_histories(events: Sequence[Event], slug: str) -> dict[str, AttemptHistory]:
    """Returns the attempts at each package of a feature that was ever assigned.

    Most projects have no orchestrator; their events are not sorted.
    """
    if not any(event.header.event_type == "WPAssigned" for event in events):
        return {}
    histories: dict[str, AttemptHistory] = {}
    for event in totally_ordered([one for one in events if one.header.feature_slug == slug]):
        step = _STEPS.get(event.header.event_type)
        payload = _payload(event)
        wp_id = payload.get("wp_id")
        if step is not None and isinstance(wp_id, str):
            step(histories.setdefault(wp_id, AttemptHistory()), event, payload)
    return {wp_id: one for wp_id, one in histories.items() if one.assigned is not None}


def next_steps(
    package: PackageState,
    history: AttemptHistory | None,
    code: LandingStatus | None = None,
    *,
    where: str = "",
    has_branch: bool = True,
) -> tuple[str, ...]:
    """Returns the commands by which a person can go on with a package, the likeliest first.

    None of them where it waits for nobody. `history` is the state of orchestrators' work on the
    package, None where none worked on it; `code` the state of its code, if that was looked for,
    `has_branch` whether this clone has its branch. `where` is the option that names the feature,
    where a command needs it.
    """
    wp_id, lane = package.wp_id, package.lane
    back = f"thence work move-task {wp_id}{where} --to doing --reason TEXT"
    if lane == DONE:
        return _after_done(wp_id, code, where, has_branch=has_branch)
    if lane == FOR_REVIEW:
        return _after_review(wp_id, history, code, back, where)
    implement = f"thence work implement {wp_id}{where}"
    if lane in (PLANNED, DOING) and history is not None and _is_tried(history, lane):
        return (
            f"thence work orchestrate{where}",
            f"{implement} --take-over" if lane == DOING else implement,
        )
    if lane == DOING and package.workspace is None:
        return (implement,)
    return ()


def _after_review(
    wp_id: str, history: AttemptHistory | None, code: LandingStatus | None, back: str, where: str
) -> tuple[str, ...]:
    """Returns the commands for a package in review, by the place where its code is."""
    if code is not None and code.is_shallow:
        return (UNSHALLOW,)
    if code is not None and (code.kind == "reverted" or code.changed_since is not None):
        return (back,)
    if code is not None and code.kind == "unfetched":
        return (FETCH,)
    if code is not None and code.kind == "unknown":  # of what was never seen nothing is advised
        return ()
    accept = f"thence work accept {wp_id}{where}"
    if code is not None and code.kind == "landed":
        return accept, back
    if code is not None and code.kind == "local":
        return (*((code.push,) if code.push else ()), f"{accept} --local")
    if code is not None and code.kind == "no_code":
        return f"{accept} --no-code REASON", back
    merge = f"thence work merge {wp_id}{where}"
    orchestrate = f"thence work orchestrate{where}"
    is_tried = history is not None and _is_tried(history, FOR_REVIEW)
    return (orchestrate, merge, back) if is_tried else (merge, back)


def _after_done(
    wp_id: str, code: LandingStatus | None, where: str, *, has_branch: bool
) -> tuple[str, ...]:
    """Returns the commands for a package that is done and whose code is not in its target."""
    if code is None or (code.kind in ("landed", "no_code", "unknown") and not code.is_shallow):
        return ()  # of what was never seen here nothing is advised
    if code.is_shallow:
        return (UNSHALLOW,)
    if code.kind == "unfetched":
        return (FETCH,)
    if code.kind == "local":
        return (code.push,) if code.push else ()
    reopen = f"thence work move-task {wp_id}{where} --to doing --reason TEXT"
    is_on_branch = has_branch and code.kind in ("missing", "gone")
    return (f"thence work merge {wp_id}{where}", reopen) if is_on_branch else (reopen,)


def trouble(package: PackageState, history: AttemptHistory | None) -> str:
    """Returns what failed in orchestrators' work on a package, empty if nothing did."""
    lane = package.lane
    if history is None or lane not in (PLANNED, DOING, FOR_REVIEW) or not _is_tried(history, lane):
        return ""
    why = shorten(history.feedback.partition("\n")[0], _WHY_CHARACTERS_MAX, placeholder=" …")
    failure_count = sum(history.failures.values())
    what = (
        f"tries that failed: {failure_count}"
        if failure_count
        else f"times sent back: {package.times_sent_back}"
    )
    return f"{what}: {why}"


def _is_tried(history: AttemptHistory, lane: str) -> bool:
    return bool(history.failures or (history.return_reason and lane == DOING))


def _apply_move(history: AttemptHistory, _: Event, payload: dict[str, Any]) -> None:
    old, new = payload.get("previous_status"), payload.get("new_status")
    if new == FOR_REVIEW:
        history.failures, history.attempts = {}, []
        history.return_reason = history.failure_message = ""
    elif new == DOING and old == FOR_REVIEW:
        history.return_reason, history.failure_message = str(payload.get("reason") or ""), ""
        history.failures, history.attempts = {}, []
    elif new != DONE:
        history.clear()


def _apply_assignment(history: AttemptHistory, event: Event, payload: dict[str, Any]) -> None:
    if payload.get("retry_count") is None:  # it is no attempt: somebody took the package over
        history.clear()
    else:
        history.assigned = event


def _apply_failure(history: AttemptHistory, event: Event, payload: dict[str, Any]) -> None:
    agent, message = payload.get("agent_id"), str(payload.get("error_message") or "")
    if isinstance(agent, str) and message.startswith(TRY_FAILED):
        key = (history.phase, agent)
        history.failures[key] = history.failures.get(key, 0) + 1
        history.attempts.append((history.phase, event.event_id))
        history.failure_message = message.removeprefix(TRY_FAILED)


_STEPS = {
    "WPStatusChanged": _apply_move,
    "WPAssigned": _apply_assignment,
    "ErrorLogged": _apply_failure,
}


def _payload(event: Event | None) -> dict[str, Any]:
    return dict(event.payload) if event is not None else {}
