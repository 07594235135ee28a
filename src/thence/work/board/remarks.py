"""What is said of packages beside their lanes: remarks, orchestrators' attempts, next steps.

Remarks are sentences for people, equal on a terminal and on a page. Where a package's code is comes
in as the clone at hand sees it.

An orchestrator keeps no state but the log, so another one can replace one that was killed. An
attempt of an agent is a WPAssigned with its number. A failed one is an ErrorLogged that names the
agent. The feedback of a send-back is the reason of the move.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from textwrap import shorten
from typing import NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.work.board.move_request import FETCH, UNSHALLOW, LandingStatus, changed_since, is_closed
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)

IMPLEMENTATION, REVIEW = "implementation", "review"
TRY_FAILED = "orchestrate: "  # how the message of a failed attempt begins
_WORDS_MAX = 80  # characters of a reason or a note


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
    why = shorten(history.feedback.partition("\n")[0], _WORDS_MAX, placeholder=" …")
    what = f"times sent back: {package.times_sent_back}"
    if history.failed:
        what = f"tries that failed: {len(history.failed)}"
    return f"{what}: {why}"


def _is_tried(history: AttemptHistory, lane: str) -> bool:
    return bool(history.failed or (history.return_reason and lane == DOING))


def remarks(package: PackageState, code: LandingStatus | None) -> Iterator[str]:
    """Yields the remarks on one package; `code` is where its code is, if that was looked for."""
    if code is not None:
        # of a package in review it goes without saying that its code is on its branch
        usual = "landed" if package.lane == DONE else "missing"
        if code.kind != usual:
            yield code.sentence
        if code.changed_since is not None:
            yield changed_since(code.changed_since)
    if package.blocked:
        yield shorten(package.blocked, _WORDS_MAX, placeholder=" …")
    if package.is_approved:
        yield f"approved by {package.approved_by}"
    if package.overruled:
        yield f"forced past {', '.join(package.overruled)}"
    gates = [gate.gate_type for gate in package.gates.values() if not gate.is_passed]
    if gates:
        yield f"gates open: {', '.join(gates)}"


def waits_for(feature: FeatureState, actor: str) -> Iterator[tuple[PackageState, str]]:
    """Yields the packages of a feature that wait for an actor, each with what they wait for.

    That is the actor's own work, what is approved, and what nobody else is to review.
    """
    for package in feature.packages.values():
        is_reviewer = package.reviewer == actor
        is_free = package.reviewer is None and package.agent != actor
        if package.lane == DOING and package.agent == actor:
            yield package, "in doing"
        elif package.is_approved:
            yield package, "approved"
        elif package.lane == FOR_REVIEW and (is_reviewer or is_free):
            yield package, "in review"


def waiting_for(feature: FeatureState) -> dict[str, int]:
    """Returns how many packages wait for each open package, directly or not."""
    dependents: dict[str, set[str]] = defaultdict(set)
    for package in feature.packages.values():
        if package.lane not in (DONE, REJECTED):
            for dependency in package.dependencies:
                if dependency in feature.packages and not is_closed(feature, package, dependency):
                    dependents[dependency].add(package.wp_id)
    counts: dict[str, int] = {}
    for wp_id in dependents:
        waiting, remaining = set[str](), [wp_id]
        while remaining:
            further = dependents.get(remaining.pop(), set()) - waiting
            waiting |= further
            remaining += further
        counts[wp_id] = len(waiting - {wp_id})
    return counts
