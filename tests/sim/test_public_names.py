"""What `thence.sim` offers, without loading what only a scenario needs."""

import subprocess
import sys

import pytest

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
]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("name", NAMES)
def test_name_is_public(name):
    assert name in thence.sim.__all__
    assert getattr(thence.sim, name).__doc__


@pytest.mark.promise("P2")
def test_slow_packages_are_loaded_only_when_needed():
    program = "import sys, thence.sim; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"structlog", "pydantic", "ruamel.yaml", "click", "rich"} & set(loaded)


@pytest.mark.promise("P7")
def test_scenario_is_read_without_the_models_of_the_server():
    program = "import sys, thence.sim as sim; sim.SimulationConfig.from_file('fishery')"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{program}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "ruamel.yaml" in loaded
    assert "pydantic" not in loaded
