"""`thence work gate`: creates a gate of a package, and sets its result."""

from thence.core.values.new_event import Unchanged
from thence.errors import HeadsMoved, Refused
from thence.replica import new_id
from thence.work.board.gates import REVIEWS, gate_change
from thence.work.board.state import PASSED, FeatureState, GateState, PackageState
from thence.work.journal.store import WorkEvent
from thence.work.naming import wp_id_of
from thence.work.project.agents import gates_run
from thence.work.project.options import read_options
from thence.work.result import CommandResult
from thence.work.session.lane_moves import check_written, package_of, refuse_agents
from thence.work.session.session import ATTEMPTS_MAX, Session, moved_meanwhile

_DECIDING = ("GateCreated", "GateResultChanged")


def gate(
    session: Session,
    given: str,
    gate_type: str,
    result: str | None = None,
    *,
    feature: str | None = None,
    reason: str = "",
) -> CommandResult:
    """Creates a package's gate of a type if it has none, and sets its result if one is given.

    A package is done only when all its gates are passed. A result stated for a gate that the
    configuration runs is recorded, and does not pass the gate. Raises Refused, PlanningError, and
    what the append raises.
    """
    if result is not None:
        place = f"{gate_type} of {given}"
        refuse_agents("could not set the gate", place, "set_by_an_agent", "sets a gate")
    is_run = gate_type in gates_run(session.project)
    for _ in range(ATTEMPTS_MAX):
        session.look()
        state = session.feature(feature, given)
        package = package_of(state, wp_id_of(given))
        if result == PASSED and gate_type in REVIEWS:
            _refuse_author(session, f"{gate_type} of {state.slug}/{package.wp_id}", package)
        present = next(
            (each for each in package.gates.values() if each.gate_type == gate_type), None
        )
        events, after = _new_events(
            state, package, present, gate_type, result, reason, session.current_actor()
        )
        watched = {
            package.subject,
            *(session.store.subject(state.slug, name) for name in package.gates),
        }
        try:
            if events:
                session.append(*events, guard=Unchanged(session.position, watched, _DECIDING))
            break
        except HeadsMoved:
            continue
    else:
        raise moved_meanwhile(
            "could not set the gate",
            f"{gate_type} of {state.slug}/{package.wp_id}",
            f"its gates changed {ATTEMPTS_MAX} times meanwhile",
        )
    check_written(session)
    data = {
        "feature_slug": state.slug,
        "wp_id": package.wp_id,
        "gate_id": after.gate_id,
        "gate_type": gate_type,
        "status": after.status,
        "is_run": is_run,
    }
    return session.result(data, [_line(package.wp_id, after, is_run)])


def _refuse_author(session: Session, place: str, package: PackageState) -> None:
    if (
        session.store.actor == package.agent
        and not read_options(session.project).author_may_approve
    ):
        raise Refused(
            "could not set the gate",
            guard="author_approves",
            place=place,
            cause=f"it is the work of {package.agent}, and here nobody approves their own",
            hint="have somebody else look at it",
        )


def _line(wp_id: str, gate: GateState, is_run: bool) -> str:
    text = f"gate {gate.gate_type} of {wp_id}: {gate.status}"
    if not is_run:
        return text
    stated = f", as {gate.stated_by} states" if gate.stated_by else ""
    return f"{text}{stated}; thence work orchestrate runs it, and goes by what it saw"


def _new_events(
    feature: FeatureState,
    package: PackageState,
    gate: GateState | None,
    gate_type: str,
    result: str | None,
    reason: str,
    actor: str,
) -> tuple[list[WorkEvent], GateState]:
    events = []
    causes: tuple[str, ...] = ()
    if gate is None:
        gate = GateState(new_id(), gate_type)
        payload = {
            "work_package_id": package.wp_id,
            "gate_type": gate_type,
            "gate_id": gate.gate_id,
        }
        rests_on = package.events_of("lane") or package.events_of("package")
        created = WorkEvent("GateCreated", payload, feature.slug, rests_on)
        causes = (created.event_id,)
        events.append(created)
    if result is not None and result != gate.status:
        text = gate_change(gate, result, **({"reason": reason} if reason else {}))
        events.append(WorkEvent(text.event_type, text.payload, feature.slug, causes))
        gate = GateState(gate.gate_id, gate_type, result, actor)
    return events, gate
