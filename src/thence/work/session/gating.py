"""The gates before a package, as a person states their results."""

from collections.abc import Mapping

from msgspec.structs import replace

from thence.core.new_event import Unchanged
from thence.errors import Refused
from thence.log.open import new_id
from thence.work.board.move_request import REVIEWS, MoveContext, gate_change
from thence.work.board.state import PASSED, GateState, PackageState
from thence.work.journal.store import WorkEvent
from thence.work.project.configuration import read_rules
from thence.work.session.lane_changes import decide_move, package_of, refuse_agents
from thence.work.session.package_code import with_code
from thence.work.session.session import Decision, Session

_DECIDING = ("GateCreated", "GateResultChanged")


def set_gates(
    session: Session,
    package: PackageState,
    slug: str,
    results: Mapping[str, str],
    reason: str,
    to: str,
    context: MoveContext | None,
) -> list[GateState]:
    """Records the results of gates, and returns the gates.

    With a `context` it records nothing if the move to `to` would be refused, and raises Refused. A
    result stated for a gate that the configuration runs does not pass it.
    """
    place = f"{', '.join(results)} of {slug}/{package.wp_id}"
    refuse_agents("could not set the gate", place, "set_by_an_agent", "sets a gate")
    if any(results.get(gate_type) == PASSED for gate_type in REVIEWS):
        refuse_author(session, package, "could not set the gate", place)
    gates: dict[str, GateState] = {}

    def decided() -> Decision:
        state = session.board.features[slug]
        about = package_of(state, package.wp_id)
        gates.clear()
        gates.update(about.gates)
        events = list[WorkEvent]()
        for gate_type, result in results.items():
            present = (gate for gate in about.gates.values() if gate.gate_type == gate_type)
            gate, causes = next(present, None), tuple[str, ...]()
            if gate is None:
                gate = GateState(new_id(), gate_type)
                payload = {
                    "work_package_id": about.wp_id,
                    "gate_type": gate_type,
                    "gate_id": gate.gate_id,
                }
                rests_on = about.events_of("lane") or about.events_of("package")
                created = WorkEvent("GateCreated", payload, slug, rests_on)
                events.append(created)
                causes = (created.event_id,)
            if result != gate.status:
                change = gate_change(gate, result, **({"reason": reason} if reason else {}))
                events.append(WorkEvent(change.event_type, change.payload, slug, causes))
                gate = GateState(gate.gate_id, gate_type, result, session.current_actor())
            gates[gate.gate_id] = gate
        if context is not None:
            moving = with_code(session, state, about.wp_id, to, context)
            after = {**state.packages, about.wp_id: replace(about, gates=gates)}
            features = {**session.board.features, slug: replace(state, packages=after)}
            board = replace(session.board, features=features)
            decide_move(session, slug, about.wp_id, to, moving, board)
        watched = {about.subject, *(session.store.subject(slug, name) for name in gates)}
        return events, Unchanged(session.position, watched, _DECIDING)

    if session.run(decided, "could not set the gate", place):
        session.refresh()
    return [gate for gate in gates.values() if gate.gate_type in results]


def refuse_author(session: Session, package: PackageState, operation: str, place: str) -> None:
    """Raises Refused if the actor did the package, and no one here may approve their own."""
    is_own = session.current_actor() == package.agent
    if is_own and not read_rules(session.project).author_may_approve:
        raise Refused(
            operation,
            guard="author_approves",
            place=place,
            cause=f"it is the work of {package.agent}, and nobody here may approve their own",
            hint="have somebody else look at it",
        )
