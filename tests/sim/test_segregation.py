"""People who want few of their own kind around them end up among many."""

import asyncio
from itertools import pairwise

import pytest

from thence.sim.run.simulation import Simulation, make_components
from thence.sim.scenario.scenario import SimulationConfig


def history_of(seed=1, like=0.4):
    settings = {"simulation.seed": seed, "agents.blue.like": like, "agents.orange.like": like}
    config = SimulationConfig.from_file("segregation", settings)
    simulation = Simulation(config, make_components(config), lambda event: None)
    asyncio.run(simulation.run())
    return simulation, list(simulation.history)


def positions(state):
    return {
        name: values["position"]
        for name, values in state.as_dict().items()
        if name.startswith("agent/")
    }


def shares_alike(state):
    """Returns for each agent with neighbours the share of its own group, counted by hand."""
    people = [
        (values["group"], *map(int, values["position"].split(",")))
        for name, values in state.as_dict().items()
        if name.startswith("agent/")
    ]
    shares = []
    for number, (group, x, y) in enumerate(people):
        near = [
            other == group
            for at, (other, a, b) in enumerate(people)
            if at != number and (a - x + 1) % 10 <= 2 and (b - y + 1) % 10 <= 2
        ]
        shares += [sum(near) / len(near)] if near else []
    return shares


@pytest.mark.promise("O2")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nobody_wants_what_comes_of_it(seed):
    _, history = history_of(seed)
    first, last = shares_alike(history[0]), shares_alike(history[-1])
    assert min(first) < 0.4 <= min(last)
    assert sum(first) / len(first) < 0.6 < 0.7 < sum(last) / len(last)
    for state in history[1:]:
        counted = shares_alike(state)
        assert state.world["alike"] == pytest.approx(sum(counted) / len(counted))


def test_who_is_content_stays_and_who_leaves_goes_to_a_free_cell():
    _, history = history_of()
    left = 0
    for before, after in pairwise(history):
        was, now = positions(before), positions(after)
        left += sum(was[name] != now[name] for name in was)
        for name in was:
            if was[name] != now[name]:
                assert [*now.values()].count(now[name]) == 1
    assert left > 20
    _, still = history_of(like=0.0)
    assert positions(still[0]) == positions(still[-1])
