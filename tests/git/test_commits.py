"""Ordinary commits beside a user: hooks, signing, staged work, operations under way, kills."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.git.repositories import (
    WAIT_S,
    begin_work,
    commit,
    content,
    git,
    hook,
    make_repository,
    own_variables,
    sign,
    write,
)
from tests.git.repositories import patches as patches_of

from thence.errors import GitFailed
from thence.git.commits import Commit, commit_files
from thence.git.files import draft_of
from thence.git.repository import repository

PLAN = "kitty-specs/001-a/tasks.md"
NEW = "kitty-specs/001-a/tasks/WP01.md"


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep out what the machine has set up for git."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a repository with a planning file."""
    return make_repository(tmp_path / "r", {PLAN: "plan\n", "mine": "mine\n"})


def make(path: Path, *, text: str = "plan\n", more: bytes = b"more\n") -> Commit | None:
    """Commit a line more of the plan, and a new file."""
    whole = text.encode() + more
    changes = {PLAN: lambda data: whole, NEW: lambda data: data or b"WP01\n"}
    return commit_files(repository(path), changes, "Add WP01\n\nThence: add")


def status(path: Path) -> str:
    """Return what git tells of the whole working tree."""
    return git(path, "status", "--porcelain", "--untracked-files=all")


def test_files_are_committed_and_the_users_staged_and_half_done_work_stays(path: Path) -> None:
    begin_work(path)
    before = patches_of(path)
    made = make(path)
    assert made is not None
    assert made.oid == git(path, "rev-parse", "HEAD")
    assert made.branch == "main"
    assert made.paths == (PLAN, NEW)
    assert content(path, PLAN) == b"plan\nmore\n"
    assert patches_of(path) == before
    assert status(path) == "MM mine"
    assert git(path, "log", "-1", "--format=%(trailers:key=Thence,valueonly)").strip() == "add"
    assert make(path) is None


def test_the_first_commit_of_a_repository_can_be_ours(tmp_path: Path) -> None:
    path = tmp_path / "r"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "r")
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    write(path, {"mine": "staged\n"})
    git(path, "add", "mine")
    made = make(path)
    assert made is not None
    assert made.parent is None
    assert status(path) == "A  mine"


@pytest.mark.parametrize("is_staged", [False, True])
def test_what_the_user_wrote_into_a_file_is_committed_with_what_is_changed(path, is_staged):
    write(path, {PLAN: "plan\nof the user\n"})
    if is_staged:
        git(path, "add", PLAN)
    changes = {PLAN: lambda data: (data or b"").replace(b"plan", b"Plan")}
    assert commit_files(repository(path), changes, "Plan") is not None
    assert content(path, PLAN) == b"Plan\nof the user\n"
    assert status(path) == ""


def test_a_path_staged_otherwise_than_it_lies_makes_the_commit_wait(path: Path) -> None:
    write(path, {PLAN: "staged\n"})
    git(path, "add", PLAN)
    write(path, {PLAN: "half done\n"})
    head = git(path, "rev-parse", "HEAD")
    with pytest.raises(GitFailed) as caught:
        make(path, text="half done\n")
    assert caught.value.recoverable
    assert PLAN in caught.value.cause
    assert git(path, "rev-parse", "HEAD") == head
    assert git(path, "show", f":{PLAN}") == "staged"
    git(path, "commit", "--quiet", "--message", "of the user")
    made = other(path)
    assert made is not None
    assert {*made.paths} == {PLAN, NEW, "other"}


def other(path: Path) -> Commit | None:
    """Commit another file, and the feature's files as they lie."""
    changes = {"other": lambda data: b"other\n"}
    return commit_files(repository(path), changes, "Other", beside=[PLAN, str(Path(NEW).parent)])


def test_path_beside_that_is_half_staged_does_not_hold_a_commit_up(path: Path) -> None:
    write(path, {PLAN: "a lane\n"})
    git(path, "add", PLAN)
    write(path, {PLAN: "half done\n"})
    made = other(path)
    assert made is not None
    assert made.paths == ("other",)
    assert git(path, "show", f":{PLAN}") == "a lane"


@pytest.mark.parametrize("name", [f"{NEW}.swp", draft_of(NEW)], ids=["ignored", "draft"])
def test_file_beside_that_is_ignored_or_soon_gone_is_left_out(path: Path, name: str) -> None:
    write(path, {".gitignore": "*.swp\n", name: "half\n", NEW: "WP01\n"})
    made = other(path)
    assert made is not None
    assert {*made.paths} == {NEW, "other"}


@pytest.mark.promise("L1")
def test_hooks_signing_and_identity_are_the_users(path: Path) -> None:
    sign(path)
    git(path, "config", "user.name", "Grace")
    for name in ("pre-commit", "commit-msg", "post-commit"):
        hook(path, name, f"echo {name} >> .git/ran")
    make(path)
    assert (path / ".git/ran").read_text().split() == ["pre-commit", "commit-msg", "post-commit"]
    told = git(path, "cat-file", "commit", "HEAD")
    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in told
    assert "author Grace" in told


def test_a_hook_may_rewrite_our_files_and_commit_and_file_are_its(path: Path) -> None:
    hook(path, "pre-commit", f"sed -i s/more/MORE/ {PLAN}; git add {PLAN} {NEW}")
    begin_work(path)
    make(path)
    assert content(path, PLAN) == b"plan\nMORE\n"
    assert (path / PLAN).read_bytes() == b"plan\nMORE\n"
    assert status(path) == "MM mine"


def test_a_hook_that_rewrites_and_refuses_is_run_once_more(path: Path) -> None:
    script = f"echo >> .git/ran; grep -q more {PLAN} || exit 0; sed -i s/more/MORE/ {PLAN}; exit 1"
    hook(path, "pre-commit", script)
    make(path)
    assert content(path, PLAN) == b"plan\nMORE\n"
    assert status(path) == ""
    assert (path / ".git/ran").read_text() == "\n\n"


def test_a_hook_that_refuses_is_told_in_its_words_and_the_next_commit_brings_it(path):
    hook(path, "pre-commit", "echo the linter says no; exit 1")
    with pytest.raises(GitFailed) as caught:
        make(path)
    assert caught.value.recoverable
    assert "the linter says no" in caught.value.cause
    assert caught.value.hint
    assert status(path) == f" M {PLAN}\n?? {NEW}"
    hook(path, "pre-commit", "exit 0")
    made = other(path)
    assert made is not None
    assert {*made.paths} == {PLAN, NEW, "other"}


def test_what_others_commit_amid_is_not_reverted(path: Path) -> None:
    git(path, "switch", "--quiet", "--create", "side")
    theirs = commit(path, {"theirs": "theirs\n"})
    git(path, "switch", "--quiet", "main")
    once = "test -e .git/ran && exit 0; touch .git/ran"
    hook(path, "pre-commit", f"{once}; git update-ref refs/heads/main {theirs}")
    made = make(path)
    assert made is not None
    assert made.parent == git(path, "rev-parse", "HEAD^")
    assert content(path, "theirs") == b"theirs\n"
    assert content(path, PLAN) == b"plan\nmore\n"


@contextmanager
def adding(path: Path) -> Iterator[list[str]]:
    """Run the user's `git add` in a loop, and return what it refused."""
    refused: list[str] = []
    is_over = threading.Event()

    def add() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            write(path, {"mine": f"{number}\n"})
            done = subprocess.run(
                ["git", "add", "mine"], cwd=path, capture_output=True, env=own_variables()
            )
            refused.extend([os.fsdecode(done.stderr)] if done.returncode else [])

    thread = threading.Thread(target=add)
    thread.start()
    try:
        yield refused
    finally:
        is_over.set()
        thread.join()


def test_commits_of_ours_go_on_beside_a_storm_of_the_users_git_add(path: Path) -> None:
    def one(number: int) -> None:
        name = f"kitty-specs/001-a/tasks/WP{number:02}.md"
        commit_files(repository(path), {name: lambda data: b"made\n"}, f"Add {number}")

    with adding(path) as refused, ThreadPoolExecutor(12) as pool:
        list(pool.map(one, range(12)))
    assert not [each for each in refused if "index.lock" not in each]
    names = git(path, "ls-tree", "--name-only", "HEAD", "kitty-specs/001-a/tasks/").splitlines()
    assert len(names) == 12
    assert "kitty-specs" not in status(path)


BEGUN = {
    "merge": "git merge other",
    "cherry-pick": "git cherry-pick other",
    "revert": "git commit -qam later --allow-empty; git revert --no-edit other",
    "rebase": "git rebase other",
    "rebase by patches": "git rebase --apply other",
    "am": "git format-patch --stdout -1 other | git am",
    "bisect": "git bisect start",
    "detached": "git checkout --quiet --detach",
}


@pytest.mark.parametrize("name", BEGUN)
def test_nothing_is_committed_inside_what_the_user_has_begun(path: Path, name: str) -> None:
    git(path, "switch", "--quiet", "--create", "other")
    commit(path, {"mine": "theirs\n"})
    git(path, "switch", "--quiet", "-")
    commit(path, {"mine": "ours\n"})
    subprocess.run(BEGUN[name], shell=True, cwd=path, capture_output=True, env=own_variables())
    head, files = git(path, "rev-parse", "HEAD"), {*(path / ".git").iterdir()}
    with pytest.raises(GitFailed) as caught:
        make(path)
    assert caught.value.recoverable
    told = {"detached": "HEAD is detached"}.get(name, f"a {name.split()[0]} is under way there")
    assert caught.value.cause == told
    assert git(path, "rev-parse", "HEAD") == head
    assert files <= {*(path / ".git").iterdir()}
    assert (path / NEW).read_bytes() == b"WP01\n"


@pytest.mark.parametrize("index", ["--no-sparse-index", "--sparse-index"])
def test_a_sparse_checkout_stays_sparse(path: Path, index: str) -> None:
    commit(path, {"far/file": "far\n", "near/file": "near\n"})
    git(path, "sparse-checkout", "set", index, "near")
    hook(path, "pre-commit", "git checkout -- .")
    make(path)
    assert content(path, PLAN) == b"plan\nmore\n"
    assert content(path, "far/file") == b"far\n"
    assert not (path / "far").exists()
    assert status(path) == ""


def test_files_that_the_user_ignores_are_committed(path: Path) -> None:
    commit(path, {".gitignore": "kitty-specs/\n"})
    made = make(path)
    assert made is not None
    assert NEW in made.paths


def test_another_git_that_holds_the_index_is_waited_for(path: Path) -> None:
    lock = path / ".git/index.lock"
    lock.touch()
    threading.Timer(0.5, lock.unlink).start()
    assert make(path) is not None
    assert status(path) == ""


def killed(path: Path, name: str, script: str) -> None:
    """Commit in a process that a hook kills together with, or without, its git."""
    hook(path, name, script)
    code = (
        "import sys; from pathlib import Path; from tests.git.test_commits import make;"
        "make(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], timeout=WAIT_S, env=own_variables(), cwd=Path.cwd()
    )
    assert done.returncode == -signal.SIGKILL
    (path / ".git/hooks" / name).unlink()


OF_GIT = "thence=$(ps -o ppid= -p $PPID)"


@pytest.mark.parametrize("name", ["pre-commit", "post-commit"])
def test_commit_goes_on_where_our_process_alone_was_killed(path: Path, name: str) -> None:
    begin_work(path)
    killed(path, name, f"{OF_GIT}; kill -9 $thence")
    assert make(path) is None
    assert content(path, PLAN) == b"plan\nmore\n"
    assert status(path) == "MM mine"


def test_a_kill_before_the_commit_leaves_files_that_the_next_one_brings(path: Path) -> None:
    killed(path, "pre-commit", f"{OF_GIT}; kill -9 $thence $PPID")
    assert (path / ".git/index.lock").exists()
    made = other(path)
    assert made is not None
    assert {*made.paths} == {PLAN, NEW, "other"}
    assert status(path) == ""


def test_the_git_of_a_killed_command_is_waited_for(path: Path) -> None:
    killed(path, "pre-commit", f"{OF_GIT}; kill -9 $thence; sleep 1")
    made = commit_files(repository(path), {"other": lambda data: b"other\n"}, "Other")
    assert made is not None
    assert made.paths == ("other",)
    assert content(path, PLAN) == b"plan\nmore\n"
    assert status(path) == ""


def test_what_a_hook_leaves_running_is_not_waited_for(path: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hook(path, "post-commit", f"sleep 1000 & echo $! >> {pids}")
    make(path)
    assert make(path, more=b"again\n") is not None
    for pid in pids.read_text().split():
        os.kill(int(pid), signal.SIGKILL)  # it runs on
