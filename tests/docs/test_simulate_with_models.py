"""The page about models: its scenario loads as it is written."""

import pytest
from tests.docs.test_pages import DOCS, followed

from thence.sim import SimulationConfig

PAGE = DOCS / "guides" / "simulations" / "simulate-with-models.md"


@pytest.mark.promise("O12")
@pytest.mark.rest
@pytest.mark.xdist_group("simulate-with-models")
def test_scenario_of_the_page_loads():
    scratch, _ = followed(PAGE)
    config = SimulationConfig.from_file(scratch / "shop" / "village.yaml")
    assert [agent.type for agent in config.agents] == ["llm_agent", "scripted"]
