"""Gates: checks and reviews that a package must pass before it is done."""

from typing import get_args

from thence.work.board.move_attempt import Facts, FollowUp
from thence.work.board.state import PENDING, GateState, PackageState
from thence.work.events import GateStatus, GateType

GATE_TYPES: tuple[str, ...] = get_args(GateType)
GATE_STATUSES: tuple[str, ...] = get_args(GateStatus)
MANUAL_REVIEW = "MANUAL_REVIEW"
REVIEWS = frozenset((MANUAL_REVIEW, "ARCHITECTURE_REVIEW"))  # gates that a person approves


def open_gates(package: PackageState, facts: Facts) -> tuple[GateState, ...]:
    """Returns the gates that keep a package from being done, ordered by their ids.

    A gate that the configuration runs is passed only if this very process saw it pass. For an
    agent, configured gates that have not been created yet are open too.
    """
    created = {gate.gate_type for gate in package.gates.values()}
    missing = facts.gates_run - created if facts.is_agent else ()
    return (
        *(gate for gate in package.gates.values() if not _is_passed(gate, facts)),
        *(GateState("", gate_type) for gate_type in sorted(missing)),
    )


def passing_events(package: PackageState, facts: Facts) -> tuple[str, ...]:
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


def gate_change(gate: GateState, status: str, **result: str | float) -> FollowUp:
    """Returns the event that gives a gate a status, with the gate's type and `result`."""
    payload = {
        "gate_id": gate.gate_id,
        "old_status": gate.status or PENDING,
        "new_status": status,
        "result_data": {"gate_type": gate.gate_type, **result},
    }
    return FollowUp("GateResultChanged", payload)


def gate_results(package: PackageState) -> list[dict[str, str]]:
    """Returns type and status of each gate of a package, ordered by gate ids."""
    return [{"gate_type": gate.gate_type, "status": gate.status} for gate in package.gates.values()]
