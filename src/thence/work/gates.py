"""Gates: what else must have been passed before a package is done."""

from thence.work.state import (
    FAILED,
    PASSED,
    PENDING,
    Board,
    FeatureState,
    GateState,
    PackageState,
)
from thence.work.verdict import FollowUp, Refusal

GATE_TYPES = ("CI_CHECK", "SECURITY_SCAN", "MANUAL_REVIEW", "ARCHITECTURE_REVIEW")
GATE_STATUSES = (PENDING, PASSED, FAILED)
MANUAL_REVIEW = "MANUAL_REVIEW"


def open_gates(package: PackageState) -> tuple[GateState, ...]:
    """Returns the gates that keep a package from being done, ordered by their ids."""
    return tuple(gate for gate in package.gates.values() if not gate.is_passed)


def holder(feature: FeatureState, gate_id: str) -> PackageState | None:
    """Returns the package that a gate stands before."""
    held = (each for each in feature.packages.values() if gate_id in each.gates)
    return next(held, None)


def change(board: Board, feature_slug: str, gate_id: str, status: str) -> FollowUp | Refusal:
    """Returns the event that gives a gate a new status, or why there is none.

    A result may come again and change: a check is run again, a review taken back.
    """
    feature = board.features.get(feature_slug)
    package = holder(feature, gate_id) if feature else None
    if package is None:
        return Refusal(
            "unknown_gate",
            f"no package of {feature_slug} has a gate {gate_id}",
            f"look for its id in `thence work status --feature {feature_slug} --json`",
            may_be_forced=False,
        )
    return changed(package.gates[gate_id], status)


def changed(gate: GateState, status: str, **result: str) -> FollowUp:
    """Returns the event that gives a gate a status; `result` is kept with it."""
    payload = {"gate_id": gate.gate_id, "old_status": gate.status, "new_status": status}
    return FollowUp("GateResultChanged", payload | ({"result_data": result} if result else {}))


def results(package: PackageState) -> dict[str, str]:
    """Returns how each gate of a package stands, by its id."""
    return {gate.gate_id: gate.status for gate in package.gates.values()}


def verdicts(package: PackageState, reason: str) -> tuple[FollowUp, ...]:
    """Returns the results that a send-back gives: the reviews by hand have failed."""
    return tuple(
        changed(gate, FAILED, reason=reason)
        for gate in package.gates.values()
        if gate.gate_type == MANUAL_REVIEW and gate.status != FAILED
    )
