"""Writers who meet on one log, die and lose the power break none of its promises."""

import pytest
from tests.crash.storms import Process, run
from tests.tiers import seed, tenth

STORMS = tenth(5_000, 60)


@pytest.mark.promise("W13")
@pytest.mark.whole
@pytest.mark.parametrize("is_failing", [False, True], ids=["deaths", "failing calls"])
def test_no_storm_among_several_writers_breaks_a_promise(is_failing):
    first = seed("storms")
    for number in range(first, first + STORMS):
        storm, problems = run(number, is_failing=is_failing)
        assert not problems, "\n".join([*storm.course, *problems])


@pytest.mark.parametrize("number", [10_785, 11_011, 50_478])
def test_storm_that_broke_a_promise_breaks_none(number):
    storm, problems = run(number, is_failing=True)
    assert not problems, "\n".join([*storm.course, *problems])


def test_storm_of_a_seed_has_one_course():
    (one, _), (other, _) = run(7), run(7)
    assert one.course == other.course
    assert len(one.disk.moments) == len(other.disk.moments)


def test_harness_notices_writers_that_acknowledge_before_they_sync(monkeypatch):
    monkeypatch.setattr(Process, "sync_data", lambda self, descriptor: None)
    problems = [text for number in range(10) for text in run(number)[1]]
    assert any("acknowledged and lost" in text for text in problems)
    assert any("has lost its value" in text for text in problems)
