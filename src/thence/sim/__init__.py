"""The workshop: turn-based simulations whose events say why they happened."""

from thence.sim.builders import (
    create_action_event,
    create_decision_event,
    create_detail_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)
from thence.sim.events import (
    ActionEvent,
    DecisionEvent,
    DetailEvent,
    Event,
    MilestoneEvent,
    StateEvent,
    SystemEvent,
    VerbosityLevel,
)
from thence.sim.writer import EventWriter, WriteMode

__all__ = [
    "ActionEvent",
    "DecisionEvent",
    "DetailEvent",
    "Event",
    "EventWriter",
    "MilestoneEvent",
    "StateEvent",
    "SystemEvent",
    "VerbosityLevel",
    "WriteMode",
    "create_action_event",
    "create_decision_event",
    "create_detail_event",
    "create_milestone_event",
    "create_state_event",
    "create_system_event",
]
