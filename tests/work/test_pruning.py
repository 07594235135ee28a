"""A commit beside `git gc --prune=now`: whatever is pruned, and when, the branch leads to it."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.work.repositories import content, git, make_repository
from tests.work.test_commits import DAY, committed

from thence.errors import GitFailed
from thence.work import commits, landing, pruning
from thence.work.locks import is_alive
from thence.work.objects import Objects
from thence.work.pruning import is_collecting


def is_whole(top: Path) -> bool:
    return git(top, "fsck", "--strict", "--no-dangling") == ""


def pruning_before(monkeypatch, place, name: str, top: Path, times: int = 1) -> list[str]:
    """Prune before a function runs, so many times; return the list that tells of each."""
    original, told = getattr(place, name), []

    def pruned(*arguments, **named):
        if len(told) < times:
            told.append(name)
            git(top, "prune", "--expire=now")
        return original(*arguments, **named)

    monkeypatch.setattr(place, name, pruned)
    return told


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (commits, "commit_tree"),
        (Objects, "remember"),
        (landing.Landing, "prepare"),
        (landing.Landing, "begin"),
        (landing.Landing, "land"),
        (landing.Landing, "_refresh"),
    ],
)
def test_what_is_pruned_before_the_branch_moves_is_made_again(tmp_path, monkeypatch, place, name):
    top = make_repository(tmp_path, {DAY: "0\n"})
    told = pruning_before(monkeypatch, place, name, top)
    committed(top)
    assert told == [name]
    assert content(top, DAY) == (top / DAY).read_bytes() == b"0\n1\n"
    assert is_whole(top)
    assert git(top, "status", "--porcelain") == ""


def test_what_is_always_pruned_is_told_and_changes_nothing(tmp_path, monkeypatch):
    top = make_repository(tmp_path, {DAY: "0\n"})
    told = pruning_before(monkeypatch, commits, "commit_tree", top, times=1_000)
    with pytest.raises(GitFailed, match="changed 20 times meanwhile: ") as caught:
        committed(top)
    assert caught.value.recoverable
    assert len(told) == commits.ATTEMPTS_MAX
    assert content(top, DAY) == (top / DAY).read_bytes() == b"0\n"
    assert is_whole(top)


def test_object_whose_folder_a_gc_takes_away_meanwhile_is_written_again(tmp_path, monkeypatch):
    """What git says when the empty folder goes that it was about to write into."""
    words = "unable to write file .git/objects/07/4ab1: No such file or directory"
    original, tries = Objects.store, []

    def refused(self):
        tries.append(1)
        if len(tries) == 1:
            raise GitFailed("could not write objects into", place=str(top), cause=words)
        original(self)

    top = make_repository(tmp_path, {DAY: "0\n"})
    monkeypatch.setattr(Objects, "store", refused)
    committed(top)
    assert len(tries) > 1
    assert content(top, DAY) == b"0\n1\n"
    assert is_whole(top)


def test_failure_that_no_pruning_explains_is_told_at_once(tmp_path, monkeypatch):
    def failing(*_, **__):
        tries.append(1)
        raise GitFailed("could not commit in", place=str(tmp_path), cause="of another kind")

    top, tries = make_repository(tmp_path, {DAY: "0\n"}), []
    monkeypatch.setattr(commits, "commit_tree", failing)
    with pytest.raises(GitFailed, match="of another kind"):
        committed(top)
    assert len(tries) == 1


def test_what_a_gc_takes_that_had_begun_before_is_written_again_until_it_ends(
    tmp_path, monkeypatch
):
    """A gc takes all that is new as often as it is written, behind the branch's back."""
    top = make_repository(tmp_path, {DAY: "0\n"})
    before = {path.name for path in (top / ".git/objects").glob("??/*")}
    gone: list[int] = []
    write_again = Objects.restore

    def pruned(self):
        new = [path for path in (top / ".git/objects").glob("??/*") if path.name not in before]
        if len(gone) < 3:
            gone.append(len(new))
            for path in new:
                path.unlink()
        else:
            (top / ".git/gc.pid").unlink(missing_ok=True)
        write_again(self)

    (top / ".git/gc.pid").write_text(f"{os.getpid()} {os.uname().nodename}")
    monkeypatch.setattr(Objects, "restore", pruned)
    committed(top)
    assert len(gone) == 3
    assert min(gone) >= 5  # a commit, three trees, a file
    assert is_whole(top)
    assert content(top, DAY) == b"0\n1\n"


def test_gc_that_never_ends_is_waited_for_so_long_and_no_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(pruning, "WAIT_S", 0.3)
    top = make_repository(tmp_path, {DAY: "0\n"})
    (top / ".git/gc.pid").write_text(f"{os.getpid()} {os.uname().nodename}")
    begin = time.monotonic()
    committed(top)
    assert time.monotonic() - begin > 0.3
    (top / ".git/gc.pid").unlink()
    assert is_whole(top)


def test_what_cannot_be_written_again_is_told_once_no_gc_runs(tmp_path, monkeypatch):
    def refused(self):
        (top / ".git/gc.pid").unlink(missing_ok=True)
        tries.append(1)
        raise GitFailed("could not write objects into", place=str(top), cause="it is full")

    top, tries = make_repository(tmp_path, {DAY: "0\n"}), []
    (top / ".git/gc.pid").write_text(f"{os.getpid()} {os.uname().nodename}")
    monkeypatch.setattr(Objects, "restore", refused)
    with pytest.raises(GitFailed, match="it is full"):
        committed(top)
    assert len(tries) == 2


def test_gc_runs_while_its_process_does(tmp_path):
    host = os.uname().nodename
    with subprocess.Popen(["true"]) as ended:
        pass
    assert not is_alive(ended.pid)
    assert not is_collecting(tmp_path)
    for told, is_running in (
        (f"{os.getpid()} {host}", True),
        (f"{ended.pid} {host}", False),
        (f"{os.getpid()} elsewhere.example", False),
        ("", False),
        ("nobody here", False),
        (f"{2**70} {host}", False),
    ):
        (tmp_path / "gc.pid").write_text(told)
        assert is_collecting(tmp_path) is is_running, told


def test_git_notes_its_gc_where_it_is_looked_for(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    seen = []
    with subprocess.Popen(["git", "gc", "--quiet", "--prune=now"], cwd=top) as process:
        while process.poll() is None:
            seen.append(is_collecting(top / ".git"))
    assert any(seen)
    assert not is_collecting(top / ".git")
