"""A storm from one seed ends with one history everywhere."""

import random

import pytest
from tests.sync.fleet.storm import played

REPLICAS, STORM_S = 24, 10.0

pytestmark = pytest.mark.rest


@pytest.mark.promise("S12", "S5")
@pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))]
)
@pytest.mark.both_engines
def test_whoever_is_killed_over_a_bad_network_nothing_acknowledged_is_lost_or_unheard(
    tmp_path, engine
):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    counts, rounds, faults = played(tmp_path, engine, REPLICAS, seed, STORM_S)
    assert not faults, "\n".join(faults)
    assert set(counts) == {"program", "server", "lines"} | {"postgres"} & {engine}
    assert rounds["well"]  # how many of them depends on the machine: the campaign tells the share
