"""Turn-based simulations whose events name their causes."""

from thence.sim.actions import Action, Rejection, Verdict
from thence.sim.again import Replay, branch, replay, resume
from thence.sim.agents import BaseAgent, Decision
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
from thence.sim.engine_views import View, Writes
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
from thence.sim.recorded.run import RecordedRun, open_run
from thence.sim.recorded.table import Table
from thence.sim.result import RunResult, RunWait, TurnProgress
from thence.sim.scenario import (
    AgentSettings,
    ComponentSettings,
    EventSettings,
    PlaceSettings,
    RoadSettings,
    RunSettings,
    SpatialSettings,
    TerminationSettings,
    VariableSettings,
)
from thence.sim.state import State
from thence.sim.validator import BaseValidator
from thence.sim.variables import Declaration
from thence.sim.verbosity import VerbosityLevel
from thence.sim.views import Observation, Owned, Reads, RecordedState
from thence.sim.writer import EventWriter, WriteMode

__all__ = [
    "Action",
    "ActionEvent",
    "AgentSettings",
    "BaseAgent",
    "BaseEngine",
    "BaseValidator",
    "ComponentSettings",
    "Decision",
    "DecisionEvent",
    "Declaration",
    "DetailEvent",
    "Event",
    "EventFilter",
    "EventSettings",
    "EventWriter",
    "MilestoneEvent",
    "Observation",
    "Orchestrator",
    "Owned",
    "PlaceSettings",
    "Reads",
    "RecordedRun",
    "RecordedState",
    "Rejection",
    "Replay",
    "RoadSettings",
    "RunResult",
    "RunSettings",
    "RunWait",
    "SimulationConfig",
    "SimulationOrchestrator",
    "SpatialSettings",
    "State",
    "StateEvent",
    "SystemEvent",
    "Table",
    "TerminationSettings",
    "TurnProgress",
    "VariableSettings",
    "VerbosityLevel",
    "Verdict",
    "View",
    "WriteMode",
    "Writes",
    "branch",
    "create_action_event",
    "create_decision_event",
    "create_detail_event",
    "create_milestone_event",
    "create_state_event",
    "create_system_event",
    "open_run",
    "replay",
    "resume",
]
