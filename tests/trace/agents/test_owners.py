"""The owners of what six sessions did at once, by the real program of the hooks."""

import pytest
from tests.trace.agents import driver


@pytest.mark.promise("A5e")
@pytest.mark.parametrize("is_one_worktree", [False, True])
@pytest.mark.whole
def test_owners_of_40_commits_and_200_lines_are_right_and_none_is_wrong(tmp_path, is_one_worktree):
    scores = driver.play(tmp_path / "world", is_one_worktree=is_one_worktree)
    assert (*scores.commits.faults, *scores.lines.faults) == ()
    assert scores.commits == driver.Score(driver.COMMITS, 0, 0, ())
    assert scores.lines == driver.Score(driver.LINES, 0, 0, ())
    # what stands beside it is measured on the same: most of it is wrong
    assert scores.commits_by_time.wrong > driver.COMMITS // 4
    assert scores.lines_by_time.wrong > driver.LINES // 4
