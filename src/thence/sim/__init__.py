"""Turn-based simulations whose events name their causes."""

from typing import TYPE_CHECKING

from thence.sim.again.replay import Replay, branch, replay, resume
from thence.sim.again.sweep import sweep_table
from thence.sim.models.settings import EndpointSettings, ModelSettings
from thence.sim.record.event_filter import EventFilter
from thence.sim.record.events import (
    ActionEvent,
    DecisionEvent,
    DetailEvent,
    Event,
    MilestoneEvent,
    StateEvent,
    SystemEvent,
    VerbosityLevel,
    create_action_event,
    create_decision_event,
    create_detail_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)
from thence.sim.record.writer import EventWriter, WriteMode
from thence.sim.results.measure import Measurement, Weight, measure
from thence.sim.results.recorded import RecordedRun, open_run
from thence.sim.results.table import Table
from thence.sim.run.agents import (
    Action,
    BaseAgent,
    BaseValidator,
    Decision,
    Observation,
    Owned,
    RecordedState,
    RecordedView,
    Rejection,
    TurnOutcome,
    Verdict,
)
from thence.sim.run.calls import RunWait
from thence.sim.run.engine import BaseEngine, View, Writes
from thence.sim.run.run import (
    Orchestrator,
    RunResult,
    SimulationOrchestrator,
    collecting_rarely,
)
from thence.sim.run.simulation import TurnProgress
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.sections import (
    AgentSettings,
    ComponentSettings,
    EdgeSettings,
    EventSettings,
    GridSettings,
    NetworkSettings,
    PlaceSettings,
    RoadSettings,
    RunSettings,
    SightSettings,
    SpatialSettings,
    VariableSettings,
)
from thence.sim.scenario.state import Declaration, State
from thence.sim.space.worlds import WorldMap

if TYPE_CHECKING:
    from thence.sim.again.survey import survey
    from thence.sim.populations.population import Population
    from thence.sim.run.thinking import (
        DeclaredValidator,
        LLMAgent,
        LLMEngine,
        LLMValidator,
        PromptedAgent,
    )

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
    "DeclaredValidator",
    "DetailEvent",
    "EdgeSettings",
    "EndpointSettings",
    "Event",
    "EventFilter",
    "EventSettings",
    "EventWriter",
    "GridSettings",
    "LLMAgent",
    "LLMEngine",
    "LLMValidator",
    "Measurement",
    "MilestoneEvent",
    "ModelSettings",
    "NetworkSettings",
    "Observation",
    "Orchestrator",
    "Owned",
    "PlaceSettings",
    "Population",
    "PromptedAgent",
    "RecordedRun",
    "RecordedState",
    "RecordedView",
    "Rejection",
    "Replay",
    "RoadSettings",
    "RunResult",
    "RunSettings",
    "RunWait",
    "SightSettings",
    "SimulationConfig",
    "SimulationOrchestrator",
    "SpatialSettings",
    "State",
    "StateEvent",
    "SystemEvent",
    "Table",
    "TurnOutcome",
    "TurnProgress",
    "VariableSettings",
    "VerbosityLevel",
    "Verdict",
    "View",
    "Weight",
    "WorldMap",
    "WriteMode",
    "Writes",
    "branch",
    "collecting_rarely",
    "create_action_event",
    "create_decision_event",
    "create_detail_event",
    "create_milestone_event",
    "create_state_event",
    "create_system_event",
    "measure",
    "open_run",
    "replay",
    "resume",
    "survey",
    "sweep_table",
]


if not TYPE_CHECKING:  # what asks models is imported when it is first used

    def __getattr__(name: str) -> object:
        if name == "survey":
            from thence.sim.again.survey import survey

            return survey
        if name == "Population":
            from thence.sim.populations.population import Population

            return Population
        others = ("DeclaredValidator", "PromptedAgent")
        if (not name.startswith("LLM") and name not in others) or name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from thence.sim.run import thinking

        return getattr(thinking, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
