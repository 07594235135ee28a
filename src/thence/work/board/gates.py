"""Gates: what else must have been passed before a package is done."""

from typing import get_args

from thence.work.board.attempt import Facts, FollowUp
from thence.work.board.state import FAILED, PENDING, GateState, PackageState
from thence.work.events import GateStatus, GateType

GATE_TYPES: tuple[str, ...] = get_args(GateType)
GATE_STATUSES: tuple[str, ...] = get_args(GateStatus)
MANUAL_REVIEW = "MANUAL_REVIEW"
REVIEWS = frozenset((MANUAL_REVIEW, "ARCHITECTURE_REVIEW"))  # what somebody approves by hand


def open_gates(package: PackageState, facts: Facts) -> tuple[GateState, ...]:
    """Returns the gates that keep a package from being done, ordered by their ids.

    Of a gate that the configuration runs only what this very process saw counts. For an agent
    those that nobody has begun yet are open too.
    """
    begun = {gate.gate_type for gate in package.gates.values()}
    lacking = facts.gates_run - begun if facts.is_agent else ()
    return (
        *(gate for gate in package.gates.values() if not _is_passed(gate, facts)),
        *(GateState("", gate_type) for gate_type in sorted(lacking)),
    )


def passed_by(package: PackageState, facts: Facts) -> tuple[str, ...]:
    """Returns the ids of the events by which the gates of a package are passed."""
    return tuple(
        facts.gates_seen.get(gate.gate_type, gate.event_id)
        if gate.gate_type in facts.gates_run
        else gate.event_id
        for gate in package.gates.values()
    )


def _is_passed(gate: GateState, facts: Facts) -> bool:
    if gate.gate_type in facts.gates_run:
        return gate.gate_type in facts.gates_seen
    return gate.is_passed


def changed(gate: GateState, status: str, **result: str | float) -> FollowUp:
    """Returns the event that gives a gate a status; its type and `result` are kept with it."""
    payload = {
        "gate_id": gate.gate_id,
        "old_status": gate.status or PENDING,
        "new_status": status,
        "result_data": {"gate_type": gate.gate_type, **result},
    }
    return FollowUp("GateResultChanged", payload)


def results(package: PackageState) -> list[dict[str, str]]:
    """Returns how each gate of a package stands, ordered by their ids."""
    return [{"gate_type": gate.gate_type, "status": gate.status} for gate in package.gates.values()]


def verdicts(package: PackageState, reason: str) -> tuple[FollowUp, ...]:
    """Returns the results that a send-back gives: the reviews by hand have failed."""
    return tuple(
        changed(gate, FAILED, reason=reason)
        for gate in package.gates.values()
        if gate.gate_type == MANUAL_REVIEW and gate.status != FAILED
    )
