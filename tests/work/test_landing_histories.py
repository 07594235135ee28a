"""What is told of a package is true of random histories, by a truth that asks no diff."""

from collections import Counter

import pytest
from tests.tiers import seed, tenth
from tests.work.landing_histories import GONE, LANDED, NEVER, NOT_FOUND, REVERTED, STANDS, played

HISTORIES = 10


@pytest.mark.promise("L15")
@pytest.mark.parametrize("part", range(tenth(8, 1)))
@pytest.mark.whole
def test_nothing_is_falsely_landed_or_reverted_in_random_histories(part):
    first, tally = seed(f"histories {part}"), Counter[str]()
    for number, one in played(first, HISTORIES):
        tally += one.tally
        assert not one.tally[NEVER] + one.tally[STANDS], f"seed {number}: {one.faults}"
    # what is wholly gone and told as landed is at most one in 500 answers, of one history
    assert tally[GONE] <= 4, f"seeds from {first}: {tally}"
    # what is not found a person names: --landed COMMIT
    assert tally[NOT_FOUND] <= tally[LANDED] + tally[REVERTED], f"seeds from {first}: {tally}"
