"""A command that moves many packages replays the journal as often as for one."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.work.projects import done, finalized_project
from tests.git.repositories import commit

from thence.cli.commands.work.merging import accept, merge
from thence.work.board import board
from thence.work.session.session import CommandResult, Session

PACKAGES = 5


@pytest.fixture(params=[1, PACKAGES])
def begun(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, int]:
    """Make a project with so many packages in doing, each with a commit."""
    numbers = range(1, request.param + 1)
    after = "### Dependencies\n- Depends on WP{0:02}\n"
    cut = "".join(
        f"## Work Package WP{n:02}: No {n}\n{after.format(n - 1) if n > 1 else ''}" for n in numbers
    )
    repo = finalized_project(tmp_path / "r", cut)
    for number in numbers:
        forced = ("--force", "--reason", "all at once")
        ended = done(repo, "implement", f"WP{number:02}", *forced, "--json")
        commit(Path(ended.json["worktree"]), {f"f{number}": "new\n"})
    return repo, request.param


def replays(repo: Path, command: Callable[[Session], CommandResult]) -> tuple[int, CommandResult]:
    """Run a command; return how often the journal was folded to a board, and the result."""
    count = 0

    def profile(frame: object, event: str, _: object) -> None:
        nonlocal count
        is_fold = getattr(frame, "f_code", None) is board.fold.__code__
        count += is_fold and event == "call"

    with Session(repo) as session:
        sys.setprofile(profile)
        try:
            result = command(session)
        finally:
            sys.setprofile(None)
    return count, result


def test_merge_and_accept_replay_the_journal_once(begun: tuple[Path, int]) -> None:
    repo, count = begun
    once, merged = replays(repo, lambda session: merge(session, ()))
    assert (once, len(merged.data["moved"])) == (1, count)
    once, accepted = replays(repo, lambda session: accept(session, ()))
    assert (once, len(accepted.data["accepted"])) == (1, count)
    lanes = done(repo, "status", "--json").json["features"][0]["lanes"]
    assert len(lanes["done"]) == count
