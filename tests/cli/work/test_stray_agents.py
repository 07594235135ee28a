"""An agent that leaves its branch loses nothing, and its package waits for a person."""

import json
import os

import pytest
from tests.cli.work.orchestra import APPROVE, DO, SLUG, orchestrate
from tests.git.repositories import git

from thence.work.journal.claims import drop, take
from thence.work.session.session import Session

BRANCH = f"{SLUG}-WP01"


def leave(*arguments):
    return ["run", "git", *arguments]


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ([leave("switch", "--quiet", "--detach"), *DO], "no branch"),
        ([leave("branch", "--quiet", "-m", "mine"), *DO], "mine"),
    ],
)
def test_agent_that_leaves_its_branch_strands_its_package_alone_and_loses_nothing(
    make, steps, place
):
    project = make({"WP01": [], "WP02": []}, retries=1)
    project.tell(WP01=[steps, DO])
    ended = orchestrate(project, "--json")
    assert ended.code == 1
    result = json.loads(ended.out.splitlines()[-1])
    assert result["done"] == ["WP02"]
    (stranded,) = result["stranded"]
    worktree = project.folder / ".worktrees" / BRANCH
    assert f"left its branch {BRANCH} for {place}; in {worktree}: git switch" in stranded["reason"]
    assert stranded["next"]
    assert git(worktree, "show", "HEAD:WP01.txt") == "done"
    is_there = BRANCH in git(project.folder, "branch", "--format=%(refname:short)").split()
    git(worktree, "switch", "--quiet", *([] if is_there else ["-c"]), BRANCH)
    assert orchestrate(project).code == 0
    assert project.lanes() == {"WP01": "done", "WP02": "done"}


def test_reviewer_that_looks_elsewhere_has_its_verdict_counted(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",))
    project.tell(WP01__review=[[leave("checkout", "--quiet", "--detach", "main"), *APPROVE]])
    ended = orchestrate(project).done()
    assert f"left its branch {BRANCH}" in ended.err
    assert not project.events("ErrorLogged")


def test_claim_that_somebody_holds_and_does_nothing_with_is_not_waited_for(make):
    project = make({"WP01": [], "WP02": []}, limits={"timeout": 2}, slots=1)
    with Session(project.folder) as session:
        session.refresh()
        package = session.board.features[SLUG].packages["WP01"]
        lease = take(session.project.home, package.subject)
    assert lease is not None
    try:
        ended = orchestrate(project, "--json")
    finally:
        drop(lease)
    assert ended.code == 1, ended.err
    result = json.loads(ended.out.splitlines()[-1])
    assert result["done"] == ["WP02"]
    (stranded,) = result["stranded"]
    assert f"process {os.getpid()}, or one that it started, is working" in stranded["reason"]
    assert "for 7 s, longer than any try may last" in stranded["reason"]
    assert stranded["next"]
