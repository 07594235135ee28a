"""Who was slower, and who was killed: the same command again finds what it left, once."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from tests.cli.installed import THENCE, environment
from tests.cli.warm import warm
from tests.cli.work.other_git import with_git
from tests.cli.work.three_packages import begun, done, logged, plan, refused, work
from tests.git.repositories import commit, git
from tests.work.boards import NAMED

pytestmark = pytest.mark.xdist_group("races")


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A project with three packages, all planned."""
    return plan(tmp_path_factory.mktemp("races") / "sync", NAMED)


@pytest.fixture
def project(planned, tmp_path):
    return shutil.copytree(planned, tmp_path / "sync", symlinks=True)


@contextmanager
def stopped(folder, tmp_path, at, *arguments):
    """Run a command that stands still at the first git command of this name until the end."""
    os.mkfifo(tmp_path / "there")
    os.mkfifo(tmp_path / "go")
    wait = f"if mkdir {tmp_path}/once; then echo > {tmp_path}/there; cat {tmp_path}/go; fi 2>&-"
    process = subprocess.Popen(
        [THENCE, "work", *arguments, "--json"],
        cwd=folder,
        env=environment(PATH=with_git(tmp_path / "bin", at, wait)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    (tmp_path / "there").read_bytes()
    try:
        yield process
    finally:
        (tmp_path / "go").write_bytes(b"")
        process.wait(100)


@pytest.mark.promise("L14")
def test_board_that_changed_between_look_and_append_is_looked_at_again(project, tmp_path):
    slow = ("move-task", "WP01", "--to", "doing")
    with stopped(project, tmp_path, "config --get", *slow) as process:
        assert done(project, "implement", "--actor", "ada")["wp_id"] == "WP01"
        failures = logged(project)
    error = json.loads(process.communicate()[0])["error"]
    assert (process.returncode, error["guard"]) == (1, "moved_meanwhile")
    assert error["cause"] == "someone else was faster: WP01 went from planned to doing, with ada"
    *known, event = logged(project)
    assert known == failures
    last = done(project, "status")["here"]["refused"][0]
    assert (last["error_id"], last["error_type"]) == (event["event_id"], "moved_meanwhile")
    assert len(moves(project)) == 1


@pytest.mark.promise("L14")
def test_package_that_another_command_is_at_work_on_is_left_to_it(project, tmp_path):
    slow = ("implement", "WP01", "--actor", "ada")
    with stopped(project, tmp_path, "worktree add", *slow) as process:
        ended, told = work(project, "move-task", "WP01", "--to", "rejected", "--actor", "bob")
    assert (ended.code, told["error"]["guard"]) == (1, "moved_meanwhile")
    who = f"process {process.pid}, or one that it started,"
    assert told["error"]["cause"] == f"{who} is working on it right now"
    process.stdout.close()
    assert process.returncode == 0
    assert len(moves(project)) == 1


def moves(folder):
    lines = warm("log", "--type", "WPStatusChanged", "--json", cwd=folder).out.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.promise("L8")
def test_merge_is_refused_for_what_is_not_ready_and_merges_nothing(project):
    refused(project, "no_branch", "merge", "WP01")
    worktree = begun(project)
    commit(worktree, {"outbox.py": "kept\n"})
    begun(project, "WP03")
    told = done(project, "merge")
    assert (told["merged"], sorted(told["stays"])) == ([], ["WP01", "WP03"])
    refused(project, "not_its_agent", "merge", "WP03", "WP01")
    as_ada = ("--actor", "ada")
    refused(project, "subtasks_open", "merge", "WP03", "WP01", *as_ada)
    done(project, "mark-status", "T001")
    (worktree / "outbox.py").write_text("half done\n")
    refused(project, "worktree_dirty", "merge", "WP01", *as_ada)
    git(worktree, "checkout", "--quiet", ".")
    assert done(project, "merge", "WP01", *as_ada)["moved"] == ["WP01"]
