"""What `thence.sim` offers, without loading what only a scenario needs."""

import pytest
from tests.log.processes import ran

import thence.sim

NAMES = [
    "EventWriter",
    "WriteMode",
    "VerbosityLevel",
    "Event",
    "EventFilter",
    "MilestoneEvent",
    "DecisionEvent",
    "ActionEvent",
    "StateEvent",
    "DetailEvent",
    "SystemEvent",
    "SimulationOrchestrator",
    "Orchestrator",
    "SimulationConfig",
    "RunResult",
    "BaseAgent",
    "BaseEngine",
    "BaseValidator",
    "Action",
    "Verdict",
    "create_milestone_event",
    "create_decision_event",
    "create_action_event",
    "create_state_event",
    "create_detail_event",
    "create_system_event",
    "collecting_rarely",
]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("name", NAMES)
def test_name_is_public(name):
    assert name in thence.sim.__all__
    assert getattr(thence.sim, name).__doc__


@pytest.mark.promise("P2", "P7")
@pytest.mark.parametrize(
    ("program", "needed"),
    [("", set()), ("thence.sim.SimulationConfig.from_file('fishery')", {"ruamel.yaml"})],
    ids=["import", "scenario"],
)
def test_slow_packages_are_loaded_only_when_needed(program, needed):
    code = f"import sys, thence.sim; {program}\nprint(*sys.modules)"
    slow = {"structlog", "pydantic", "ruamel.yaml", "click", "rich", "difflib"}
    assert slow & set(ran(code).stdout.split()) == needed
