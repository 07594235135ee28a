"""A storm from one seed ends with one history everywhere."""

import random

import pytest
from tests.sync.fleet.storm import played
from tests.tiers import tenth

REPLICAS, STORM_S = tenth((24, 10.0), (8, 3.0))

pytestmark = [pytest.mark.rest, pytest.mark.whole]


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
    counts, _, faults = played(tmp_path, engine, REPLICAS, seed, STORM_S)
    assert not faults, "\n".join(faults)
    assert set(counts) == {"program", "server", "lines"} | {"postgres"} & {engine}
