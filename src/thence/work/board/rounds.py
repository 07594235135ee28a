"""The state of an orchestration as the log has it: assignments, failed tries, reviews.

An orchestrator keeps no other state, so another orchestrator can replace one that was killed. A
try of an agent is a WPAssigned with its number. A failed try is an ErrorLogged that names the
agent. A review is a HistoryAdded. The feedback of a send-back is the reason of the move.
`next_step` derives from a package's state what a person can do about it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.work.board.move_attempt import is_closed
from thence.work.board.state import DOING, DONE, FOR_REVIEW, PLANNED, FeatureState, PackageState

IMPLEMENTATION, REVIEW = "implementation", "review"
TRY_FAILED = "orchestrate: "  # how the message of a failed try begins
APPROVED = "approved"
_WHY_CHARACTERS_MAX = 80


class Round:
    """The orchestration of one package since it was last claimed afresh.

    `assigned` is the last WPAssigned, `failures` counts failed tries by (phase, agent).
    `return_reason` is the reason of the last send-back, `failure_message` that of the last failed
    try since then. `is_approved` is whether a review approved the code in review, `approval` the id
    of the event that records it. `tries` are the phases and ids of the failed tries that count.
    `returns` counts the send-backs.
    """

    assigned: Event | None
    failures: dict[tuple[str, str], int]
    return_reason: str
    failure_message: str
    approval: str | None
    tries: list[tuple[str, str]]

    def __init__(self) -> None:
        self.returns = 0
        self.clear()

    def clear(self) -> None:
        """Clears everything except the number of send-backs."""
        self.assigned = None
        self.failures = {}
        self.return_reason = ""
        self.failure_message = ""
        self.approval = None
        self.tries = []

    @property
    def is_approved(self) -> bool:
        """True if a review approved the code in review."""
        return self.approval is not None

    @property
    def feedback(self) -> str:
        """The feedback for the next try."""
        return "\n".join(filter(None, (self.return_reason, self.failure_message)))

    @property
    def phase(self) -> str:
        """The phase of the last try."""
        return str(_payload(self.assigned).get("phase") or IMPLEMENTATION)

    def retries(self, phase: str) -> int:
        """Returns the number of failed tries of a phase."""
        return sum(count for (each, _), count in self.failures.items() if each == phase)


def rounds_of(
    events: Iterable[Event], slug: str, forgiven: Collection[str] = ()
) -> dict[str, Round]:
    """Returns the round of each package of a feature that was ever assigned.

    Failures and send-backs whose ids are `forgiven` do not count; their messages are kept.
    """
    rounds: dict[str, Round] = {}
    for event in totally_ordered([one for one in events if one.header.feature_slug == slug]):
        step = _STEPS.get(event.header.event_type)
        payload = _payload(event)
        wp_id = payload.get("wp_id")
        if step is not None and isinstance(wp_id, str):
            round_ = rounds.setdefault(wp_id, Round())
            known, returns = dict(round_.failures), round_.returns
            step(round_, event, payload)
            if event.event_id in forgiven:
                round_.returns = returns
                if event.header.event_type == "ErrorLogged":
                    round_.failures = known
    return {wp_id: each for wp_id, each in rounds.items() if each.assigned is not None}


def rounds_in_feature(events: Sequence[Event], slug: str) -> dict[str, Round]:
    """Returns the state of orchestrators' work on the packages of a feature.

    Most projects have no orchestrator; their events need not be sorted.
    """
    is_any = any(event.header.event_type == "WPAssigned" for event in events)
    return rounds_of(events, slug) if is_any else {}


def next_step(feature: FeatureState, package: PackageState, round_: Round | None) -> str | None:
    """Returns what a person can do about a package; None where nothing blocks it.

    `round_` is the state of orchestrators' work on the package, None where none worked on it.
    """
    wp_id, lane = package.wp_id, package.lane
    if lane not in (PLANNED, DOING, FOR_REVIEW):
        return None
    if round_ is not None and (round_.failures or (round_.return_reason and lane == DOING)):
        retry = f"thence work orchestrate; or go on yourself: thence work implement {wp_id}"
        if lane == DOING:
            retry += " --take-over"
        elif lane == FOR_REVIEW:
            retry = f"thence work orchestrate; or review it, then thence work merge {wp_id}"
        why = round_.feedback.partition("\n")[0][:_WHY_CHARACTERS_MAX]
        tries = sum(round_.failures.values())
        what = f"tries that failed: {tries}" if tries else f"times sent back: {round_.returns}"
        return f"{retry} ({what}; {why})"
    if lane == DOING and package.workspace is None:
        return f"thence work implement {wp_id} makes its worktree"
    if lane == FOR_REVIEW:
        back = f"thence work move-task {wp_id} --to doing --reason TEXT"
        return f"review it, then thence work merge {wp_id}, or send it back: {back}"
    missing = [each for each in package.dependencies if not is_closed(feature, package, each)]
    return f"finish {', '.join(missing)} first" if missing else None


def _apply_move(round_: Round, _: Event, payload: dict[str, Any]) -> None:
    old, new = payload.get("previous_status"), payload.get("new_status")
    if new == FOR_REVIEW:
        round_.approval = None
        round_.tries = [each for each in round_.tries if each[0] != REVIEW]
        round_.failures = {key: n for key, n in round_.failures.items() if key[0] != REVIEW}
        round_.return_reason = round_.failure_message = ""
    elif new == DOING and old == FOR_REVIEW:
        round_.returns += 1
        round_.return_reason, round_.failure_message = str(payload.get("reason") or ""), ""
        round_.failures, round_.tries = {}, []
    elif new != DONE:
        round_.clear()


def _apply_assignment(round_: Round, event: Event, payload: dict[str, Any]) -> None:
    if payload.get("retry_count") is None:  # it is no try: somebody took the package over
        round_.clear()
    else:
        round_.assigned = event


def _apply_failure(round_: Round, event: Event, payload: dict[str, Any]) -> None:
    agent, message = payload.get("agent_id"), str(payload.get("error_message") or "")
    if isinstance(agent, str) and message.startswith(TRY_FAILED):
        key = (round_.phase, agent)
        round_.failures[key] = round_.failures.get(key, 0) + 1
        round_.tries.append((round_.phase, event.event_id))
        round_.failure_message = message.removeprefix(TRY_FAILED)


def _apply_review(round_: Round, event: Event, payload: dict[str, Any]) -> None:
    if payload.get("entry_type") == REVIEW and payload.get("entry_content") == APPROVED:
        round_.approval = event.event_id


_STEPS = {
    "WPStatusChanged": _apply_move,
    "WPAssigned": _apply_assignment,
    "ErrorLogged": _apply_failure,
    "HistoryAdded": _apply_review,
}


def _payload(event: Event | None) -> dict[str, Any]:
    return dict(event.payload) if event is not None else {}
