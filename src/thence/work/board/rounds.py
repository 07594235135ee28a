"""The state of an orchestration as the log has it: assignments, failed tries, reviews.

An orchestrator keeps no other state, so another orchestrator can replace one that was killed. A
try of an agent is a WPAssigned with its number. A failed try is an ErrorLogged that names the
agent. A review is a HistoryAdded. The feedback of a send-back is the reason of the move.
`next_steps` derives from a package's state what a person can do about it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.work.board.move_attempt import UNSHALLOW, CodeState
from thence.work.board.state import DOING, DONE, FOR_REVIEW, PLANNED, PackageState

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


def rounds_of(events: Iterable[Event], slug: str) -> dict[str, Round]:
    """Returns the round of each package of a feature that was ever assigned."""
    rounds: dict[str, Round] = {}
    for event in totally_ordered([one for one in events if one.header.feature_slug == slug]):
        step = _STEPS.get(event.header.event_type)
        payload = _payload(event)
        wp_id = payload.get("wp_id")
        if step is not None and isinstance(wp_id, str):
            step(rounds.setdefault(wp_id, Round()), event, payload)
    return {wp_id: each for wp_id, each in rounds.items() if each.assigned is not None}


def rounds_in_feature(events: Sequence[Event], slug: str) -> dict[str, Round]:
    """Returns the state of orchestrators' work on the packages of a feature.

    Most projects have no orchestrator; their events need not be sorted.
    """
    is_any = any(event.header.event_type == "WPAssigned" for event in events)
    return rounds_of(events, slug) if is_any else {}


def next_steps(
    package: PackageState,
    round_: Round | None,
    code: CodeState | None = None,
    *,
    where: str = "",
    has_branch: bool = True,
) -> tuple[str, ...]:
    """Returns the commands by which a person can go on with a package, the likeliest first.

    None of them where it waits for nobody. `round_` is the state of orchestrators' work on the
    package, None where none worked on it; `code` the state of its code, if that was looked for,
    `has_branch` whether this clone has its branch. `where` is the option that names the feature,
    where a command needs it.
    """
    wp_id, lane = package.wp_id, package.lane
    back = f"thence work move-task {wp_id}{where} --to doing --reason TEXT"
    if lane == DONE:
        return _after_done(wp_id, code, where, has_branch=has_branch)
    if lane == FOR_REVIEW:
        return _after_review(wp_id, round_, code, back, where)
    implement = f"thence work implement {wp_id}{where}"
    if lane in (PLANNED, DOING) and round_ is not None and _is_tried(round_, lane):
        return (
            f"thence work orchestrate{where}",
            f"{implement} --take-over" if lane == DOING else implement,
        )
    if lane == DOING and package.workspace is None:
        return (implement,)
    return ()


def _after_review(
    wp_id: str, round_: Round | None, code: CodeState | None, back: str, where: str
) -> tuple[str, ...]:
    """Returns the commands for a package in review, by the place where its code is."""
    if code is not None and code.is_shallow:
        return (UNSHALLOW,)
    if code is not None and (code.kind == "reverted" or code.changed_since is not None):
        return (back,)
    accept = f"thence work accept {wp_id}{where}"
    if code is not None and code.kind == "landed":
        return accept, back
    if code is not None and code.kind == "local":
        return (*((code.push,) if code.push else ()), f"{accept} --local")
    if code is not None and code.kind == "no_code":
        return f"{accept} --no-code REASON", back
    merge = f"thence work merge {wp_id}{where}"
    orchestrate = f"thence work orchestrate{where}"
    is_tried = round_ is not None and _is_tried(round_, FOR_REVIEW)
    return (orchestrate, merge, back) if is_tried else (merge, back)


def _after_done(
    wp_id: str, code: CodeState | None, where: str, *, has_branch: bool
) -> tuple[str, ...]:
    """Returns the commands for a package that is done and whose code is not in its target."""
    if code is None or code.kind in ("landed", "no_code"):
        return ()
    if code.is_shallow:
        return (UNSHALLOW,)
    if code.kind == "local":
        return (code.push,) if code.push else ()
    reopen = f"thence work reopen {wp_id}{where} --reason TEXT"
    is_on_branch = has_branch and code.kind in ("missing", "gone")
    return (f"thence work merge {wp_id}{where}", reopen) if is_on_branch else (reopen,)


def trouble(package: PackageState, round_: Round | None) -> str:
    """Returns what failed in orchestrators' work on a package, empty if nothing did."""
    lane = package.lane
    if round_ is None or lane not in (PLANNED, DOING, FOR_REVIEW) or not _is_tried(round_, lane):
        return ""
    why = round_.feedback.partition("\n")[0][:_WHY_CHARACTERS_MAX]
    tries = sum(round_.failures.values())
    what = f"tries that failed: {tries}" if tries else f"times sent back: {round_.returns}"
    return f"{what}: {why}"


def _is_tried(round_: Round, lane: str) -> bool:
    return bool(round_.failures or (round_.return_reason and lane == DOING))


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
