"""The workshop: turn-based simulations whose events say why they happened."""

from thence.sim.actions import Action, Verdict
from thence.sim.agents import BaseAgent
from thence.sim.builders import (
    create_action_event,
    create_decision_event,
    create_detail_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)
from thence.sim.config import SimulationConfig
from thence.sim.engine import BaseEngine
from thence.sim.event_filter import EventFilter
from thence.sim.events import (
    ActionEvent,
    DecisionEvent,
    DetailEvent,
    Event,
    MilestoneEvent,
    StateEvent,
    SystemEvent,
)
from thence.sim.orchestrator import Orchestrator, SimulationOrchestrator
from thence.sim.result import RunResult
from thence.sim.validator import BaseValidator
from thence.sim.verbosity import VerbosityLevel
from thence.sim.writer import EventWriter, WriteMode

__all__ = [
    "Action",
    "ActionEvent",
    "BaseAgent",
    "BaseEngine",
    "BaseValidator",
    "DecisionEvent",
    "DetailEvent",
    "Event",
    "EventFilter",
    "EventWriter",
    "MilestoneEvent",
    "Orchestrator",
    "RunResult",
    "SimulationConfig",
    "SimulationOrchestrator",
    "StateEvent",
    "SystemEvent",
    "VerbosityLevel",
    "Verdict",
    "WriteMode",
    "create_action_event",
    "create_decision_event",
    "create_detail_event",
    "create_milestone_event",
    "create_state_event",
    "create_system_event",
]
