"""Orchestrators' attempts at packages as the log has them: assignments, failures, reviews.

An orchestrator keeps no other state, so another orchestrator can replace one that was killed. An
attempt of an agent is a WPAssigned with its number. A failed one is an ErrorLogged that names the
agent. The feedback of a send-back is the reason of the move.
`next_steps` derives from a package's state what a person can do about it.
"""

from collections import Counter
from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.work.board.move_request import FETCH, UNSHALLOW, LandingStatus
from thence.work.board.state import DOING, DONE, FOR_REVIEW, PLANNED, PackageState

IMPLEMENTATION, REVIEW = "implementation", "review"
TRY_FAILED = "orchestrate: "  # how the message of a failed attempt begins
_WHY_CHARACTERS_MAX = 80


class FailedAttempt(NamedTuple):
    """An attempt that failed, by the id of its error."""

    phase: str
    agent: str
    event_id: str
    message: str


class AttemptHistory(msgspec.Struct):
    """The orchestrators' attempts at one package since it was last claimed afresh.

    `assigned` is the last WPAssigned, `failed` are the failed attempts that count, `return_reason`
    is the reason of the last send-back.
    """

    assigned: Event | None = None
    failed: list[FailedAttempt] = msgspec.field(default_factory=list)
    return_reason: str = ""

    @property
    def failures(self) -> Counter[tuple[str, str]]:
        """The number of failed attempts by phase and agent."""
        return Counter((one.phase, one.agent) for one in self.failed)

    @property
    def feedback(self) -> str:
        """The feedback for the next attempt."""
        messages = [self.return_reason, *(one.message for one in self.failed[-1:])]
        return "\n".join(filter(None, messages))

    def add(self, event: Event) -> None:
        """Adds an event on the package."""
        kind, payload = event.header.event_type, event.payload
        old, new = payload.get("previous_status"), payload.get("new_status")
        if kind == "WPAssigned" and payload.get("retry_count") is not None:
            self.assigned = event
        elif kind == "ErrorLogged":
            agent, message = payload.get("agent_id"), str(payload.get("error_message") or "")
            if isinstance(agent, str) and message.startswith(TRY_FAILED):
                phase = self.assigned.payload.get("phase") if self.assigned else None
                message = message.removeprefix(TRY_FAILED)
                self.failed.append(
                    FailedAttempt(str(phase or IMPLEMENTATION), agent, event.event_id, message)
                )
        elif new == FOR_REVIEW:
            self.return_reason, self.failed = "", []
        elif new == DOING and old == FOR_REVIEW:
            self.return_reason, self.failed = str(payload.get("reason") or ""), []
        elif new != DONE:  # it was given back, or somebody took it over
            self.assigned, self.return_reason, self.failed = None, "", []


def attempt_histories(events: Sequence[Event], slug: str) -> dict[str, AttemptHistory]:
    """Returns the attempts at each package of a feature that was ever assigned.

    Most projects have no orchestrator; their events are not sorted.
    """
    if not any(event.header.event_type == "WPAssigned" for event in events):
        return {}
    histories: dict[str, AttemptHistory] = {}
    of_feature = [one for one in events if one.header.feature_slug == slug]
    for event in totally_ordered([one for one in of_feature if one.header.event_type in _TYPES]):
        wp_id = event.payload.get("wp_id")
        if isinstance(wp_id, str):
            histories.setdefault(wp_id, AttemptHistory()).add(event)
    return {wp_id: one for wp_id, one in histories.items() if one.assigned is not None}


_TYPES = ("WPStatusChanged", "WPAssigned", "ErrorLogged")


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
    kind = code.kind if code else None
    implement = f"thence work implement {wp_id}{where}"
    accept, merge = f"thence work accept {wp_id}{where}", f"thence work merge {wp_id}{where}"
    orchestrate = f"thence work orchestrate{where}"
    back = f"thence work move-task {wp_id}{where} --to doing --reason TEXT"
    is_tried, is_done = history is not None and _is_tried(history, lane), lane == DONE
    if lane in (PLANNED, DOING) and is_tried:
        return orchestrate, f"{implement} --take-over" if lane == DOING else implement
    if lane not in (FOR_REVIEW, DONE):
        return (implement,) if lane == DOING and package.workspace is None else ()
    if kind == "shallow":
        return (UNSHALLOW,)
    if kind == "reverted" or (code is not None and code.changed_since is not None):
        return (back,)
    if kind == "unfetched":
        return FETCH, f"{accept} --landed COMMIT"
    # of what was never seen here nothing is advised
    if kind == "unknown" or (is_done and kind in (None, "landed", "no_code")):
        return ()
    if kind == "landed":
        return accept, back
    if kind == "local":
        push = (code.push,) if code and code.push else ()
        return push if is_done else (*push, f"{accept} --local")
    if kind == "no_code":
        return f"{accept} --no-code REASON", back
    if is_done and not has_branch:
        return (back,)
    return (orchestrate, merge, back) if is_tried and not is_done else (merge, back)


def trouble(package: PackageState, history: AttemptHistory | None) -> str:
    """Returns what failed in orchestrators' work on a package, empty if nothing did."""
    lane = package.lane
    if history is None or lane not in (PLANNED, DOING, FOR_REVIEW) or not _is_tried(history, lane):
        return ""
    why = shorten(history.feedback.partition("\n")[0], _WHY_CHARACTERS_MAX, placeholder=" …")
    what = f"times sent back: {package.times_sent_back}"
    if history.failed:
        what = f"tries that failed: {len(history.failed)}"
    return f"{what}: {why}"


def _is_tried(history: AttemptHistory, lane: str) -> bool:
    return bool(history.failed or (history.return_reason and lane == DOING))
