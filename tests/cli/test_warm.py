"""A command that is forked does what the installed one does that a user starts."""

from pathlib import Path

import pytest
from tests.cli.installed import Ended, thence
from tests.cli.warm import warm


def both(*arguments: str, cwd: Path, **env: str) -> Ended:
    """Run a command in either way; return what both told."""
    started = thence(*arguments, cwd=cwd, env=env)
    assert warm(*arguments, cwd=cwd, env=env) == started
    return started


def test_what_is_told_and_the_exit_code_are_the_same(tmp_path, orders):
    assert both("work", "--help", cwd=tmp_path).code == 0
    events = both("log", "--log", "orders", "--json", cwd=tmp_path)
    assert len(events.lines) == len(orders)
    assert both("show", "nothing", "--log", "orders", cwd=tmp_path).code == 4
    assert both("nonsense", cwd=tmp_path).code == 2
    assert both("work", "status", "--json", cwd=tmp_path).json["error"]["code"] == "not_a_project"
    assert both("work", "implement", cwd=tmp_path, THENCE_ACTOR="a\nb").code == 2


@pytest.mark.parametrize("name", ["PYTHONIOENCODING", "LC_ALL", "LANG"])
def test_what_python_reads_at_its_start_is_not_taken_for_granted(tmp_path, name):
    with pytest.raises(AssertionError):
        warm("--version", cwd=tmp_path, env={name: "C"})
