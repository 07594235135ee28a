"""The program git: nobody else's variables, its own words, no lock left behind."""

import os

import pytest
from tests.git.repositories import git, make_repository

from thence.errors import GitFailed
from thence.git.git import Git, disk_hint, in_one_line


def test_what_git_refuses_is_told_in_its_own_words(tmp_path):
    repo = make_repository(tmp_path / "a project")
    with pytest.raises(GitFailed) as caught:
        Git(repo).run("rev-parse", "--verify", "nothing", operation="could not read a commit of")
    error = caught.value
    assert error.operation == "could not read a commit of"
    assert error.place == str(repo)
    assert error.cause == "Needed a single revision"
    assert "\n" not in str(error)
    assert not error.recoverable


def test_variables_of_a_hook_lead_nowhere_and_who_the_user_is_stays(tmp_path, monkeypatch):
    here = make_repository(tmp_path / "here")
    there = make_repository(tmp_path / "there")
    for name, value in {
        "GIT_DIR": there / ".git",
        "GIT_COMMON_DIR": there / ".git",
        "GIT_WORK_TREE": there,
        "GIT_INDEX_FILE": there / ".git/index",
        "GIT_OBJECT_DIRECTORY": there / ".git/objects",
        "GIT_CONFIG_PARAMETERS": "'core.bare=true'",
        "GIT_AUTHOR_NAME": "Grace",
        "GIT_AUTHOR_EMAIL": "grace@example.org",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert Git(here).run("rev-parse", "--show-toplevel") == os.fsencode(here) + b"\n"
    assert Git(here).run("var", "GIT_AUTHOR_IDENT").startswith(b"Grace <grace@example.org>")


def test_words_of_git_are_english_whatever_the_user_speaks(tmp_path, monkeypatch):
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert "not a git repository" in Git(tmp_path).ask("status").stderr


def test_hooks_of_the_user_do_not_run(tmp_path):
    repo = make_repository(tmp_path)
    hook = repo / ".git/hooks/reference-transaction"
    hook.write_text("#!/bin/sh\nthence sync now; exit 1\n")
    hook.chmod(0o755)
    Git(repo).run("update-ref", "refs/heads/other", "HEAD")
    assert git(repo, "branch", "--list", "other").strip() == "other"


def test_folder_that_is_gone_and_git_that_is_missing_are_told(tmp_path, monkeypatch):
    with pytest.raises(GitFailed, match="there is no such folder"):
        Git(tmp_path / "gone").run("status")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitFailed, match="No such file or directory: git") as caught:
        Git(tmp_path).run("status")
    assert caught.value.hint == "install git 2.38 or later"


def test_git_that_takes_too_long_is_ended_and_leaves_no_lock(tmp_path, monkeypatch):
    repo = make_repository(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr("thence.git.git.TIMEOUT_S", 0.5)
    monkeypatch.setattr("thence.git.git._END_S", 0.5)
    # git opens the pipe to read its content, and nobody ever writes to it
    git(repo, "config", "filter.slow.clean", f"cat {pipe}")
    (repo / ".gitattributes").write_text("*.slow filter=slow\n")
    (repo / "a.slow").write_text("a\n")
    with pytest.raises(GitFailed, match=r"git add took longer than 0\.5 s"):
        Git(repo).run("add", "a.slow")
    assert not (repo / ".git/index.lock").exists()
    os.close(os.open(pipe, os.O_RDWR))  # the end of the filter, which no git ends


def test_lock_of_another_git_is_told_as_passing(tmp_path):
    repo = make_repository(tmp_path)
    (repo / ".git/index.lock").touch()
    with pytest.raises(GitFailed, match=r"index\.lock': File exists") as caught:
        Git(repo).run("add", "README.md")
    assert caught.value.recoverable
    assert "wait until the other git command has ended" in caught.value.hint


def test_arguments_that_this_git_does_not_know_name_the_version_that_does(tmp_path):
    repo = make_repository(tmp_path)
    with pytest.raises(GitFailed) as caught:
        Git(repo).run("merge-tree", "--frobnicate", "main", "main")
    assert "2.38 or later" in caught.value.hint


def test_words_are_one_line_without_advice_and_not_endless():
    told = b"warning: old\nerror: no\n\nfatal: never\nhint: try\n"
    assert in_one_line(told) == "no; never"
    assert len(in_one_line(b"word " * 1000)) <= 601


@pytest.mark.parametrize(
    "message",
    [
        "unable to write loose object file: No space left on device",
        "sha1 file '/r/.git/index.lock' write error. Out of diskspace",
        "file write error: File too large",
    ],
)
def test_next_step_of_a_full_disk_is_to_make_room_however_git_says_it(message):
    assert "see that there is room" in disk_hint(message)
    assert disk_hint("not something we can merge") == ""
