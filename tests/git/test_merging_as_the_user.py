"""A merge is made as its user would make it: hooks, signing, identity, and what refuses it."""

from pathlib import Path

import pytest
from tests.git.repositories import begin_work, content, git, hook, patches, sign, write
from tests.git.test_merging import THREE, left_of, project, subjects

from thence.errors import GitFailed
from thence.git.merging import merge
from thence.git.repository import repository

NAMES = list(THREE)


@pytest.fixture
def top(tmp_path) -> Path:
    return project(tmp_path / "top", THREE)


def test_hooks_run_for_the_move_and_none_for_the_merge_commits(top, tmp_path):
    told = tmp_path / "told"
    for name in ("pre-merge-commit", "commit-msg", "post-merge", "pre-commit", "pre-push"):
        hook(top, name, f"echo {name} >> {told}")
    merge(repository(top), "main", NAMES)
    assert told.read_text().split() == ["post-merge"]


def test_hook_has_the_locale_and_the_patterns_of_its_user(top, tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    told = tmp_path / "told"
    hook(top, "post-merge", f'git ls-files "*ared" >> {told}; echo "$LC_ALL" >> {told}')
    merge(repository(top), "main", ["wp1"])
    assert told.read_text() == "shared\nC.UTF-8\n"


def test_merges_are_signed_where_the_user_signs(top):
    sign(top)
    merge(repository(top), "main", NAMES)
    for number in range(3):
        assert "gpgsig" in git(top, "cat-file", "commit", f"main~{number}")
    git(top, "reset", "--quiet", "--hard", "main~3")
    sign(top, "echo no secret key >&2; exit 2")
    with pytest.raises(GitFailed, match="gpg failed to sign") as caught:
        merge(repository(top), "main", NAMES)
    assert "git config user.signingKey" in caught.value.hint
    assert not left_of(top)


def test_merges_are_by_whom_git_knows_and_by_nobody_else(top):
    git(top, "config", "user.name", "Ö")
    git(top, "config", "user.email", "o@b.c")
    merge(repository(top), "main", ["wp1"])
    assert git(top, "log", "-1", "--format=%an %ce") == "Ö o@b.c"
    git(top, "config", "user.name", "")
    with pytest.raises(GitFailed, match="git knows no name or e-mail") as caught:
        merge(repository(top), "main", ["wp2"])
    assert "user.name" in caught.value.hint


def test_settings_of_the_user_for_merges_lead_to_the_same(top):
    for name, value in (
        ("merge.ff", "only"),
        ("merge.autoStash", "true"),
        ("branch.main.mergeOptions", "--squash"),
        ("push.recurseSubmodules", "on-demand"),
    ):
        git(top, "config", name, value)
    begin_work(top)
    before = patches(top)
    merge(repository(top), "main", NAMES)
    assert (len(subjects(top, "main")), patches(top)) == (4, before)


@pytest.mark.parametrize("name", ["pre-push", "update", "reference-transaction"])
def test_rule_that_protects_a_branch_which_is_nowhere_checked_out_is_told(tmp_path, name):
    top = project(tmp_path / "top", THREE, "release")
    before = git(top, "rev-parse", "release")
    words = f"{name} says: release is protected"
    if name == "reference-transaction":
        hook(top, name, f'grep -q refs/heads/release && echo "{words}" >&2 && exit 1; exit 0')
    else:
        hook(top, name, f'echo "{words}" >&2; exit 1')
    with pytest.raises(GitFailed, match=words):
        merge(repository(top), "release", NAMES)
    assert git(top, "rev-parse", "release") == before
    assert not left_of(top)


def test_sparse_checkout_stays_sparse(top):
    git(top, "sparse-checkout", "set", "a")
    assert not (top / "other/file").exists()
    git(top, "checkout", "--quiet", "-b", "wp5")
    write(top, {"other/file": "1\n"})
    git(top, "add", "--sparse", "other/file")
    git(top, "commit", "--quiet", "--message", "Elsewhere")
    git(top, "checkout", "--quiet", "main")
    git(top, "sparse-checkout", "reapply")
    merge(repository(top), "main", [*NAMES, "wp5"])
    assert content(top, "other/file") == b"1\n"
    assert not (top / "other/file").exists()
    assert (top / "a/two").exists()
    assert git(top, "status", "--porcelain") == ""


def test_git_that_is_killed_when_it_has_moved_the_target_has_merged_all(top):
    hook(top, "post-merge", "[ -d .git ] && kill -9 $PPID")
    assert merge(repository(top), "main", NAMES).conflict is None
    assert len(subjects(top, "main")) == 4
    assert git(top, "status", "--porcelain") == ""
    assert not left_of(top)
