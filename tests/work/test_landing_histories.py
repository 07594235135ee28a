"""`done` and `landed` are what an oracle says that knows nothing of how landed code is found."""

import random
from collections import Counter

import pytest
from tests.work.landing_histories import play, template

HISTORIES = 5


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return template(tmp_path_factory.mktemp("histories") / "project")


@pytest.mark.promise("L15")
@pytest.mark.parametrize("part", range(8))
def test_no_package_is_falsely_landed_in_random_histories(project, tmp_path, part):
    seed = random.randrange(1 << 32)
    tally: Counter[str] = Counter()
    for number in range(HISTORIES):
        one = play(project, tmp_path / str(number), seed + number)
        tally += one.tally
        assert not one.tally["FALSELY LANDED"], f"seed {seed + number}: {one.faults}"
    # what is not found a person names: --landed COMMIT
    assert tally["not found"] <= 2, f"seeds from {seed}: {tally}"
