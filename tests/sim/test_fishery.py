"""The fishery is a commons: without a quota it collapses, with one all earn more."""

import asyncio
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tests.sim.truth import Run

from thence.sim.run.simulation import Simulation, make_components
from thence.sim.scenario.component_classes import load
from thence.sim.scenario.scenario import SimulationConfig

QUOTA = 11.0
SCENARIOS = Path(__file__).parents[2] / "scenarios"


def scenario(quota=None, seed=3):
    config = SimulationConfig.from_file("fishery")
    validator = msgspec.structs.replace(config.validator, params={"quota": quota})
    settings = msgspec.structs.replace(config.simulation, seed=seed)
    return msgspec.structs.replace(config, validator=validator, simulation=settings)


def history_of(config):
    simulation = Simulation(config, make_components(config), lambda event: None)
    asyncio.run(simulation.run())
    return simulation.history


@pytest.mark.promise("O2")
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_stock_collapses_without_a_quota_and_stays_with_one(seed):
    open_access = history_of(scenario(seed=seed))
    regulated = history_of(scenario(QUOTA, seed=seed))
    assert 15 < len(open_access) - 1 < 30
    assert open_access[-1].world["fish"] < 100
    assert min(state.world["fish"] for state in regulated) > 600
    for agent in scenario().agents:
        name = agent.name
        assert regulated[-1].agent(name)["money"] > open_access[-1].agent(name)["money"]


def test_fish_that_are_not_caught_grow():
    ground = load("fishery.py", "FishingGround", SCENARIOS)(
        capacity=1000, growth=0.35, catchability=0.008, price=2, hour_cost=1, fishers=7
    )
    history = history_of(scenario())
    for before, after in pairwise(history):
        caught = sum(after.agent(agent.name)["catch"] for agent in scenario().agents)
        left = before.world["fish"] - caught
        assert after.world["fish"] == pytest.approx(left + ground.surplus(left), abs=0.01)
    assert ground.surplus(500) > max(ground.surplus(300), ground.surplus(700))
    assert ground.surplus(1000) == 0


def test_fisher_over_the_quota_is_refused_and_goes_out_for_as_long_as_allowed():
    run = Run(scenario(QUOTA), 3)
    kinds = [each.details["error_type"] for each in run.events if each.event_type == "SYSTEM"]
    assert kinds.count("action_rejected") == kinds.count("action_retried") > 20
    most = max(e.new_value for e in run.events if e.details.get("variable_name") == "catch")
    assert QUOTA * 0.9 < most <= QUOTA * 1.2


def test_collapse_has_the_decisions_of_many_turns_among_its_causes():
    run = Run(scenario(), 3)
    last = run.events[-1]
    assert last.details["milestone_type"] == "simulation_end"
    causes = [run.by_id[each] for each in run.cone(last)]
    decided = [each for each in causes if each.event_type == "DECISION"]
    assert {each.agent_id for each in decided} == {agent.name for agent in scenario().agents}
    assert len({each.turn_number for each in decided}) > 10
