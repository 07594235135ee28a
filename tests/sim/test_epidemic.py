"""The epidemic spreads along edges alone, and caution slows it down."""

import asyncio
from itertools import pairwise

import msgspec
import pytest

from thence.sim.run.simulation import Simulation, make_components
from thence.sim.scenario.scenario import SimulationConfig


def history_of(seed=3, **params):
    """Returns the states of a run; params are of the engine, and `careless` of all people."""
    config = SimulationConfig.from_file("epidemic")
    careless = params.pop("careless", None)
    if careless is not None:
        people = [msgspec.structs.replace(a, params={"careless": careless}) for a in config.agents]
        config = msgspec.structs.replace(config, agents=tuple(people))
    engine = msgspec.structs.replace(config.engine, params={**config.engine.params, **params})
    settings = msgspec.structs.replace(config.simulation, seed=seed)
    config = msgspec.structs.replace(config, engine=engine, simulation=settings)
    simulation = Simulation(config, make_components(config), lambda event: None)
    asyncio.run(simulation.run())
    return config, list(simulation.history)


def ill(config, state):
    return {a.name for a in config.agents if state.agent(a.name)["health"] == "ill"}


@pytest.mark.promise("O2")
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_only_somebody_ill_infects_and_only_along_an_edge(seed):
    config, history = history_of(seed)
    near = {agent.name: set() for agent in config.agents}
    for edge in config.spatial.network.edges:
        near[edge.start].add(edge.goal)
        near[edge.goal].add(edge.start)
    order = ["healthy", "infected", "ill", "immune"]
    count = 0
    for before, after in pairwise(history):
        for name, others in near.items():
            was, now = before.agent(name)["health"], after.agent(name)["health"]
            assert (order.index(now) - order.index(was)) % 4 <= 1 or now == "infected"
            if now == "infected" and was != "infected":
                count += 1
                assert ill(config, after) & others
    assert count > 20


def test_caution_keeps_people_well():
    cautious, careless = (
        sum(len(ill(*pair)) for seed in range(6) for pair in _pairs(seed, careless))
        for careless in (False, True)
    )
    assert cautious < 0.95 * careless


def _pairs(seed, careless):
    config, history = history_of(seed, careless=careless)
    return [(config, state) for state in history]


def test_illness_that_nobody_passes_on_ends():
    config, history = history_of(transmission=0.0)
    assert not ill(config, history[-1]), "those at home have an edge of their own"
