"""The owners of what six sessions did at once, by the real program of the hooks."""

import pytest
from tests.trace.agents import driver


@pytest.mark.promise("A5e")
@pytest.mark.parametrize("is_one_worktree", [False, True])
@pytest.mark.whole
def test_of_40_commits_and_200_lines_none_is_wrong_and_few_unknown(tmp_path, is_one_worktree):
    commits, lines = driver.play(tmp_path / "world", is_one_worktree=is_one_worktree)
    assert commits == driver.Score(driver.COMMITS, 0, 0, ())
    assert (lines.right + lines.unknown, lines.wrong) == (driver.LINES, 0), lines.faults
    # two who write alike at once are not always told apart
    assert lines.unknown <= driver.LINES // 12, lines.faults
