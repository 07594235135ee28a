"""A run, its replay, and the run that was killed and resumed are one history, in any world."""

import random

import pytest
from tests.sim.worlds import faults
from tests.tiers import examples

pytestmark = pytest.mark.promise("O11")


@pytest.mark.parametrize("part", range(4))
def test_run_replay_and_resumed_run_are_the_same_in_any_world(tmp_path, part):
    first = random.SystemRandom().getrandbits(32)
    for seed in range(first, first + examples(50)):
        root = tmp_path / str(seed)
        root.mkdir()
        assert not faults(seed, root), f"world {seed}"
