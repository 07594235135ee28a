"""A disk without room, git that refuses, branches that are gone: told, and nothing is lost."""

import os
import random
import re
import resource
import shlex
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.installed import THENCE, environment, is_three_lines, ran, thence
from tests.cli.warm import warm
from tests.cli.work.orchestra import WAIT_S
from tests.cli.work.three_packages import SLUG, copied, done
from tests.cli.work.three_packages import begun as begin
from tests.git.repositories import commit, git, make_repository
from tests.tiers import seed, tenth
from tests.work.boards import hook, on_remote

pytestmark = [pytest.mark.promise("P6"), pytest.mark.xdist_group("bad_places")]
BRANCH = f"{SLUG}-WP03"
REFUSING = "#!/bin/sh\necho 'the rule of this house' >&2\nexit 1\n"
# a file of these has more bytes than the journal of a state or its code, or fewer
SIZES_BYTES = range(2_048, 24_576)
# without it the system ends a git that writes too much; git goes on, as on a full disk
LIMITED_GIT = """#!/bin/sh
trap '' XFSZ
exec {git} "$@"
"""
STASH = re.compile(r"git stash push [^;]*")


class Case(NamedTuple):
    """A command, the state before it, and the lane in which it leaves WP03."""

    state: str
    command: tuple[str, ...]
    lane: str


HAND_IN = ("move-task", "WP03", "--to", "for_review")
CASES = {
    "add": Case("planned", ("finalize-tasks", "--add", "Second"), "planned"),
    "implement": Case("planned", ("implement", "WP03"), "doing"),
    "move": Case("begun", (*HAND_IN, "--actor", "ada"), "for_review"),
    "merge": Case("review", ("merge", "WP03"), "for_review"),
    "accept": Case("merged", ("accept", "WP03", "--local"), "done"),
    "sync": Case("review", ("sync", "now"), "for_review"),
    "adopt": Case("kitty", ("finalize-tasks",), ""),
}
CODE = {"page.py": "a page\n" * 2_000}
KITTY = {
    "kitty-specs/010-old/spec.md": "# Old\n",
    "kitty-specs/010-old/tasks.md": "# Tasks\n\n## Work Package WP01: First\n",
    "kitty-specs/010-old/tasks/WP01-first.md": "---\nwork_package_id: WP01\nlane: doing\n---\n",
}


@pytest.fixture(scope="module")
def states(tmp_path_factory, three):
    """Projects in the states in which the commands are given."""
    place = tmp_path_factory.mktemp("states")
    copied(three, place / "planned")
    begun = copied(three, place / "begun")
    commit(begin(begun, "WP03"), CODE)
    done(copied(begun, place / "review"), *HAND_IN, "--actor", "ada")
    done(copied(place / "review", place / "merged"), "merge", "WP03", "--actor", "bob")
    make_repository(place / "kitty", KITTY)
    return place


def words(case):
    """Return the words of a command."""
    return case.command if case.command[0] == "sync" else ("work", *case.command)


def told(ended):
    """Return the next step of a command that failed; it has to be one."""
    assert ended.code == 1, ended
    assert is_three_lines(ended.err), ended.err
    step = ended.err.splitlines()[-1]
    assert "--debug" not in step, ended.err
    assert "could not read or write" not in ended.err
    return step


def completed(project, case):
    """Type a command again, which has to do its work, once."""
    warm(*words(case), cwd=project).done()
    is_whole(project, case)


def is_whole(project, case):
    assert warm("verify", cwd=project).code == 0
    assert git(project, "fsck", "--connectivity-only", "--no-dangling") == ""
    assert git(project, "status", "--porcelain") == ""
    if case.lane:
        features = done(project, "status")["features"]
        (lanes,) = (each["lanes"] for each in features if each["feature_slug"] == SLUG)
        assert "WP03" in [package["wp_id"] for package in lanes[case.lane]]
    if case.state not in ("planned", "kitty"):
        assert git(project, "show", f"{BRANCH}:page.py") == CODE["page.py"].removesuffix("\n")


@pytest.mark.promise("L16")
@pytest.mark.parametrize("name", tenth([*CASES], ["add", "move", "merge"]))
@pytest.mark.whole
def test_files_that_may_not_grow_amid_a_command_are_told_and_it_is_completed_later(
    states, tmp_path, name
):
    case, chance = CASES[name], random.Random(seed(f"size {name}"))
    path = limited_path(tmp_path)
    for size_bytes in chance.sample(SIZES_BYTES, tenth(3, 1)):
        project = copied(states / case.state, tmp_path / f"{size_bytes}")
        if name == "sync":
            shutil.rmtree(tmp_path / "remote.git", ignore_errors=True)
            on_remote(project, tmp_path / "remote.git")
        command = (THENCE, *words(case))
        first = partial(limit, size_bytes)
        ended = ran(*command, cwd=project, env={"PATH": path}, first=first)
        completed_later(project, case, ended)


def test_move_stands_where_what_goes_with_it_finds_no_room(states, tmp_path):
    case = CASES["move"]
    project = copied(states / case.state, tmp_path / "project")
    (journal,) = project.glob(".git/thence/*/events.jsonl")
    size_bytes = journal.stat().st_size + 1_200  # of the move, not of the record of its code
    ended = ran(
        *(THENCE, *words(case)),
        cwd=project,
        env={"PATH": limited_path(tmp_path)},
        first=partial(limit, size_bytes),
    ).done()
    assert "the move is recorded, and not all that goes with it: File too large" in ended.err
    is_whole(project, case)


def limited_path(folder):
    """Return a PATH whose git is told of a limit on files, as it is of a full disk."""
    program = folder / "bin/git"
    program.parent.mkdir()
    program.write_text(LIMITED_GIT.format(git=shutil.which("git")))
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def limit(size_bytes):
    """Let this process and those that it starts make no file of more bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))


def completed_later(project, case, ended):
    """See that a command has done its work, or told what to do and is completed after that."""
    if ended.code:
        for stash in STASH.findall(told(ended)):
            git(project, *shlex.split(stash)[1:])
        completed(project, case)
        return
    if "type the same command again" in ended.err:
        again = warm(*words(case), cwd=project)
        # `add` and `setup-spec` complete what they recorded, others have nothing left to do
        ended = ended if again.code else again
    commit_left(project, case, ended)


def commit_left(project, case, ended):
    """See to the end of a command that ended well; what it could not commit it has told."""
    if "nothing is committed yet" in ended.err:
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--message", "By hand")
    is_whole(project, case)


def is_all_done(project):
    (feature,) = done(project, "status")["features"]
    assert len(feature["lanes"]["done"]) == 2
    assert warm("verify", cwd=project).code == 0


def test_orchestrate_tells_of_a_journal_that_may_not_grow_and_goes_on_when_it_may(make, tmp_path):
    project = make({"WP01": [], "WP02": []}, slots=2).folder
    (journal,) = project.glob(".git/thence/*/events.jsonl")
    process = subprocess.Popen(
        [THENCE, "work", "orchestrate"],
        cwd=project,
        env=environment(PATH=limited_path(tmp_path)),
        stderr=subprocess.PIPE,
        preexec_fn=partial(limit, journal.stat().st_size),
    )
    with process:
        trouble = next(line for line in process.stderr if b"trouble" in line)
        assert b"File too large" in trouble
        assert b"free some space" in trouble
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        _, stderr = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, stderr
    is_all_done(project)


def set_mode(folder, file_mode, folder_mode):
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.chmod(Path(parent, name), file_mode, follow_symlinks=True)
        os.chmod(parent, folder_mode)


@pytest.mark.parametrize("name", tenth([*CASES], ["merge"]))
@pytest.mark.whole
def test_git_folder_that_may_not_be_written_is_told_and_nothing_is_changed(states, tmp_path, name):
    case = CASES[name]
    project = copied(states / case.state, tmp_path / "project")
    if name == "sync":
        on_remote(project, tmp_path / "remote.git")
    refs = git(project, "for-each-ref")
    set_mode(project / ".git", 0o444, 0o555)
    try:
        ended = thence(*words(case), cwd=project, obeys_permissions=True)
    finally:
        set_mode(project / ".git", 0o644, 0o755)
    assert re.search("right|permission|may write", told(ended))
    assert git(project, "for-each-ref") == refs
    completed(project, case)


@pytest.mark.promise("L16")
@pytest.mark.parametrize(
    ("name", "refused"), [("merge", "reference-transaction"), ("sync", "pre-push")]
)
def test_hook_that_refuses_is_told_and_the_command_completes_without_it(
    states, tmp_path, name, refused
):
    case = CASES[name]
    project = copied(states / case.state, tmp_path / "project")
    if name == "sync":
        on_remote(project, tmp_path / "remote.git")
    hook(project / ".git", refused, REFUSING)
    ended = warm(*words(case), cwd=project)
    assert "the rule of this house" in ended.err
    told(ended)
    (project / ".git/hooks" / refused).unlink()
    completed(project, case)


def test_commit_that_can_not_be_kept_by_a_ref_goes_to_review_all_the_same(states, tmp_path):
    project = copied(states / "begun", tmp_path / "project")
    git(project, "update-ref", "refs/thence/reviewed", "HEAD")  # no ref fits below it
    case = CASES["move"]
    ended = warm(*words(case), cwd=project).done()
    assert "only its branch keeps what went to review" in ended.err
    is_whole(project, case)
