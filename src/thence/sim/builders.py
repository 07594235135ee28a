"""Functions that build typed events with a new id and the present time.

`caused_by` is an event, an event's id, an iterable of these, or None.
"""

from typing import Any

from thence.core.values.new_event import Causes
from thence.sim.events import (
    ActionEvent,
    DecisionEvent,
    DetailEvent,
    MilestoneEvent,
    StateEvent,
    SystemEvent,
)


def create_milestone_event(
    simulation_id: str,
    turn_number: int,
    milestone_type: str,
    *,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> MilestoneEvent:
    """Returns a milestone event, for a point in a run, with a new id and the present time."""
    return MilestoneEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        milestone_type=milestone_type,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_decision_event(
    simulation_id: str,
    turn_number: int,
    agent_id: str,
    decision_type: str,
    old_value: Any = None,
    new_value: Any = None,
    *,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> DecisionEvent:
    """Returns a decision event, for an agent's choice, with a new id and the present time."""
    return DecisionEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        agent_id=agent_id,
        decision_type=decision_type,
        old_value=old_value,
        new_value=new_value,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_action_event(
    simulation_id: str,
    turn_number: int,
    agent_id: str,
    action_type: str,
    action_payload: dict[str, Any] | None = None,
    *,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> ActionEvent:
    """Returns an action event, for an agent's action, with a new id and the present time."""
    return ActionEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        agent_id=agent_id,
        action_type=action_type,
        action_payload=action_payload or {},
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_state_event(
    simulation_id: str,
    turn_number: int,
    variable_name: str,
    old_value: Any = None,
    new_value: Any = None,
    scope: str = "global",
    *,
    agent_id: str | None = None,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> StateEvent:
    """Returns a state event, for a changed variable, with a new id and the present time."""
    return StateEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        variable_name=variable_name,
        old_value=old_value,
        new_value=new_value,
        scope=scope,
        agent_id=agent_id,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_detail_event(
    simulation_id: str,
    turn_number: int,
    calculation_type: str,
    intermediate_values: dict[str, Any] | None = None,
    *,
    agent_id: str | None = None,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> DetailEvent:
    """Returns a detail event, for a calculation, with a new id and the present time."""
    return DetailEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        calculation_type=calculation_type,
        intermediate_values=intermediate_values or {},
        agent_id=agent_id,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_system_event(
    simulation_id: str,
    turn_number: int,
    error_type: str,
    status: str,
    retry_count: int = 0,
    *,
    agent_id: str | None = None,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> SystemEvent:
    """Returns a system event, for an error or retry, with a new id and the present time."""
    return SystemEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        error_type=error_type,
        status=status,
        retry_count=retry_count,
        agent_id=agent_id,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )
