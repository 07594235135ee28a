"""`done` and `landed` are what an oracle says that knows nothing of how landed code is found."""

from collections import Counter

import pytest
from tests.tiers import seed, tenth
from tests.work.landing_histories import play, template

HISTORIES = 5


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return template(tmp_path_factory.mktemp("histories") / "project")


@pytest.mark.promise("L15")
@pytest.mark.parametrize("part", range(tenth(8, 1)))
@pytest.mark.whole
def test_no_package_is_falsely_landed_in_random_histories(project, tmp_path, part):
    first = seed(f"histories {part}")
    tally: Counter[str] = Counter()
    for number in range(HISTORIES):
        one = play(project, tmp_path / str(number), first + number)
        tally += one.tally
        assert not one.tally["FALSELY LANDED"], f"seed {first + number}: {one.faults}"
    # what is not found a person names: --landed COMMIT
    assert tally["not found"] <= 2, f"seeds from {first}: {tally}"
