"""The lock of an index keeps git off it, and never stays behind a command that was killed."""

import errno
import os

import pytest
from tests.log.processes import started
from tests.work.repositories import git, make_repository

from thence.errors import GitFailed
from thence.work.index_lock import IndexLock

TAKE = """
import sys
from pathlib import Path
from thence.work.index_lock import IndexLock

IndexLock(Path(sys.argv[1]), Path(sys.argv[1])).take()
print("taken", flush=True)
sys.stdin.readline()
"""


def test_git_leaves_the_index_alone_while_the_lock_is_held(tmp_path):
    top = make_repository(tmp_path)
    lock = IndexLock(top / ".git", top)
    lock.take()
    (top / "new").touch()
    git(top, "add", "new", check=False)
    assert git(top, "ls-files") == "README.md"
    lock.release()
    lock.release()
    git(top, "add", "new")
    assert not (top / ".git/index.lock").exists()


def test_lock_of_a_killed_command_of_ours_is_taken_over(tmp_path):
    top = make_repository(tmp_path)
    process = started(TAKE, top / ".git")
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert (top / ".git/index.lock").exists()
    lock = IndexLock(top / ".git", top)
    lock.take()
    lock.release()
    assert not list((top / ".git").glob("*index*.*"))


def test_lock_of_somebody_else_is_waited_for_then_told_and_left(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.work.index_lock.WAIT_S", 0.02)
    top = make_repository(tmp_path)
    (top / ".git/index.lock").write_bytes(b"DIRC")
    with pytest.raises(GitFailed, match="another git command runs there") as caught:
        IndexLock(top / ".git", top).take()
    assert caught.value.recoverable
    assert (top / ".git/index.lock").read_bytes() == b"DIRC"


def test_disk_without_links_takes_the_lock_too(tmp_path, monkeypatch):
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    top = make_repository(tmp_path)
    lock = IndexLock(top / ".git", top)
    lock.take()
    second = IndexLock(top / ".git", top)
    second.take()  # one of ours, whose command is gone as far as can be told
    second.release()
    assert not list((top / ".git").glob("*index*.*"))


def test_folder_that_can_not_hold_a_lock_is_told(tmp_path):
    with pytest.raises(GitFailed, match="No such file or directory"):
        IndexLock(tmp_path / "gone", tmp_path).take()
