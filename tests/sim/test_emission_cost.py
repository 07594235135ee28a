"""What its events cost a simulation, as the benchmark measures it."""

from pathlib import Path

import pytest
from bench.emission import cost

COST_US_MAX = 1_000


@pytest.mark.promise("O10")
def test_an_event_costs_a_simulation_less_than_a_millisecond(tmp_path: Path) -> None:
    assert cost(tmp_path, "async").wall_us < COST_US_MAX
