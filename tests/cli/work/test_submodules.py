"""Submodules in the worktrees of packages: made ready, seen, and never taken away with work."""

import os

import pytest
from tests.cli.warm import warm
from tests.cli.work.three_packages import SLUG, done
from tests.cli.work.three_packages import begun as begin
from tests.git.repositories import commit, git, make_repository

WORKTREE = f".worktrees/{SLUG}-WP03"


@pytest.fixture
def submodule(tmp_path):
    """A bare remote of a submodule, with one commit."""
    first = make_repository(tmp_path / "first", {"lib.txt": "lib\n"})
    git(tmp_path, "clone", "--quiet", "--bare", first, "lib.git")
    return tmp_path / "lib.git"


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A git configuration of the user's that lets submodules come from a folder."""
    path = tmp_path / "gitconfig"
    path.write_text('[protocol "file"]\nallow = always\n[user]\nname = Ada\nemail = a@b.org\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.fspath(path))
    return {"GIT_CONFIG_GLOBAL": os.fspath(path)}


@pytest.fixture
def with_lib(project, submodule, configured):
    git(
        project, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", submodule, "lib"
    )
    git(project, "commit", "--quiet", "-m", "Use lib")
    return project


def begun(project):
    worktree = begin(project, "WP03")
    if (worktree / "lib/.git").exists():
        git(worktree / "lib", "config", "user.name", "Ada")
        git(worktree / "lib", "config", "user.email", "ada@example.org")
    return worktree


def landed(project, worktree):
    """Hand the package in, merge and accept it."""
    if git(worktree, "status", "--porcelain", "--ignore-submodules=untracked"):
        git(worktree, "commit", "--quiet", "--all", "-m", "Work on it")
    done(project, "move-task", "WP03", "--to", "for_review", "--actor", "ada")
    warm("work", "merge", "WP03", cwd=project).done()
    done(project, "accept", "WP03")


def pruned(project):
    """Return why the worktree stays, "" where it is gone."""
    told = done(project, "merge")
    return told["kept"][0]["reason"] if told["kept"] else ""


@pytest.mark.promise("L8")
def test_new_worktree_has_the_submodules_that_the_main_tree_has(with_lib):
    worktree = begun(with_lib)
    assert (worktree / "lib/lib.txt").read_text() == "lib\n"
    git(with_lib, "submodule", "deinit", "--quiet", "lib")
    other = begin(with_lib, "WP01")
    assert list((other / "lib").iterdir()) == []


def test_submodule_that_can_not_be_had_is_a_warning_and_the_worktree_is_there(with_lib, submodule):
    submodule.rename(submodule.with_name("gone.git"))
    ended = warm("work", "implement", "WP03", cwd=with_lib).done()
    assert "could not fill its submodules" in ended.err
    assert (with_lib / WORKTREE / ".gitmodules").exists()


@pytest.mark.promise("L17")
def test_worktree_with_a_submodule_stays_with_its_commits(with_lib):
    worktree = begun(with_lib)
    oid = commit(worktree / "lib", {"fix.txt": "fix\n"})
    landed(with_lib, worktree)
    assert pruned(with_lib) == (
        "it has the submodule lib; see what is there, then remove it yourself:"
        f" git worktree remove --force {worktree}"
    )
    assert git(worktree / "lib", "rev-parse", "HEAD") == oid
