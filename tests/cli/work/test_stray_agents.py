"""An agent that leaves its branch loses nothing, and its package goes on."""

import json
import os
import signal

import pytest
from tests.cli.work.orchestra import APPROVE, DO, SLUG, WAIT_S, begun, orchestrate
from tests.git.repositories import git
from tests.log.committers import until

from thence.work.journal.claims import take
from thence.work.session.session import Session

BRANCH = f"{SLUG}-WP01"
SAVED = f"refs/thence/saved/{SLUG}/WP01/1"


def leave(*arguments):
    return ["run", "git", *arguments]


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ([leave("checkout", "--quiet", "-b", "mine"), *DO], "mine"),
        ([leave("switch", "--quiet", "--detach"), *DO], "no branch"),
        ([leave("switch", "--quiet", "-c", "mine"), ["write", "WP01.txt", "done\n"]], "mine"),
        ([leave("branch", "--quiet", "-m", "mine"), *DO], "mine"),
    ],
)
@pytest.mark.whole(rows=2)
def test_commits_elsewhere_are_saved_and_named_and_the_next_try_goes_on(make, steps, place):
    project = make({"WP01": []})
    over = [["prompt", "seen"], leave("merge", "--quiet", SAVED), ["commit", "Take it over"]]
    project.tell(WP01=[steps, over])
    ended = orchestrate(project)
    assert ended.code == 0, ended.err
    (error,) = project.events("ErrorLogged")
    assert f"left its branch {BRANCH} for {place}" in error["payload"]["error_message"]
    assert SAVED in error["payload"]["error_message"]
    assert SAVED in (project.folder / "seen").read_text()
    assert (project.folder / "WP01.txt").read_text() == "done\n"
    assert project.lanes() == {"WP01": "done"}
    worktree = project.folder / ".worktrees" / BRANCH
    assert git(worktree, "symbolic-ref", "--short", "HEAD") == BRANCH


def test_files_half_merged_elsewhere_are_saved_too(make):
    project = make({"WP01": []})
    one = [["write", "shared", "one\n"], ["commit", "One"]]
    two = [["write", "shared", "two\n"], ["commit", "Two"]]
    steps = [
        leave("checkout", "--quiet", "-b", "one"),
        *one,
        leave("checkout", "--quiet", "-b", "two", BRANCH),
        *two,
        leave("merge", "one"),
    ]
    project.tell(WP01=[steps, DO])
    ended = orchestrate(project)
    assert ended.code == 0, ended.err
    assert "<<<<<<<" in git(project.folder, "show", f"{SAVED}:shared")
    assert not (project.folder / "shared").exists()


def test_agent_that_leaves_its_branch_each_time_strands_its_package_alone(make):
    project = make({"WP01": [], "WP02": []}, retries=1)
    project.tell(WP01=[[leave("checkout", "--quiet", "--detach"), *DO]])
    ended = orchestrate(project, "--json")
    assert ended.code == 1
    result = json.loads(ended.out.splitlines()[-1])
    assert result["done"] == ["WP02"]
    (stranded,) = result["stranded"]
    assert f"left its branch {BRANCH}" in stranded["reason"]
    assert stranded["next"]
    assert len(git(project.folder, "for-each-ref", "refs/thence/saved").splitlines()) == 2


def test_reviewer_that_looks_elsewhere_has_its_verdict_counted(make):
    project = make({"WP01": []}, agents=("coder", "critic"), review=("critic",))
    project.tell(WP01__review=[[leave("checkout", "--quiet", "--detach", "main"), *APPROVE]])
    ended = orchestrate(project)
    assert ended.code == 0, ended.err
    assert f"left its branch {BRANCH}" in ended.err
    assert not project.events("ErrorLogged")


def test_worktree_that_a_killed_run_left_elsewhere_is_brought_back_by_the_next(make):
    project = make({"WP01": []})
    ready = project.folder.parent / "ready"
    steps = [leave("checkout", "--quiet", "-b", "mine"), *DO, ["note", str(ready)], ["hang"]]
    project.tell(WP01=[steps, DO])
    process = begun(project)
    until(ready.exists)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    ended = orchestrate(project)
    assert ended.code == 0, ended.err
    assert SAVED in ended.err
    assert project.lanes() == {"WP01": "done"}


def test_claim_that_somebody_holds_and_does_nothing_with_is_not_waited_for(make):
    project = make({"WP01": [], "WP02": []}, limits={"timeout": 2})
    with Session(project.folder) as session:
        session.refresh()
        package = session.board.features[SLUG].packages["WP01"]
        lease = take(session.project.home, package.subject)
    assert lease is not None
    try:
        ended = orchestrate(project, "--json")
    finally:
        os.close(lease)
    assert ended.code == 1, ended.err
    result = json.loads(ended.out.splitlines()[-1])
    assert result["done"] == ["WP02"]
    (stranded,) = result["stranded"]
    assert "another command holds its claim" in stranded["reason"]
    assert stranded["next"]
