"""The refs as one look shows them: default branch, working trees, upstreams."""

from tests.git.repositories import git, make_repository

from thence.git.refs import refs_of
from thence.git.repository import repository


def test_default_branch_is_what_origin_says_then_a_usual_name_then_the_only_one(tmp_path):
    origin = make_repository(tmp_path / "origin")
    git(origin, "branch", "--move", "release")
    git(tmp_path, "clone", "--quiet", "origin", "clone")
    clone = tmp_path / "clone"
    assert refs_of(repository(origin)).default == "release"
    git(origin, "branch", "alpha")
    assert refs_of(repository(origin)).default == "release"  # it is the one checked out
    git(origin, "branch", "master")
    assert refs_of(repository(origin)).default == "master"
    git(clone, "branch", "main")
    assert refs_of(repository(clone)).default == "release"


def test_detached_head_is_on_no_branch_and_nor_is_one_without_a_commit(tmp_path):
    top = make_repository(tmp_path / "top")
    git(top, "checkout", "--quiet", "--detach")
    found = refs_of(repository(top))
    assert (found.here, found.default, found.trees) == (None, "main", {})
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "empty")
    assert refs_of(repository(tmp_path / "empty"))[:5] == ({}, {}, {}, {}, {})


def test_commits_upstreams_and_our_own_refs_are_told(tmp_path):
    origin = make_repository(tmp_path / "origin")
    git(tmp_path, "clone", "--quiet", "--origin=theirs", "origin", "größe")
    clone = tmp_path / "größe"
    tip = git(clone, "rev-parse", "HEAD")
    git(clone, "branch", "--quiet", "--track", "local", "main")
    git(clone, "update-ref", "refs/thence/base/001-a/WP01", tip)
    git(origin, "branch", "thence-board")
    git(clone, "fetch", "--quiet", "theirs")
    found = refs_of(repository(clone))
    assert found.branches == {"local": tip, "main": tip}
    assert found.upstreams == {"refs/heads/main": "refs/remotes/theirs/main"}
    assert found.remotes == {"main": "theirs"}
    assert found.commits["refs/thence/base/001-a/WP01"] == tip
    assert found.on_remotes("thence-board") == ["refs/remotes/theirs/thence-board"]
    assert found.here == "main"


def test_branch_has_the_working_tree_that_is_there_the_main_one_first(tmp_path):
    top = make_repository(tmp_path / "top")
    for name in ("side", "gone"):
        git(top, "worktree", "add", "--quiet", "-b", name, tmp_path / f"{name}\nwörk")
    git(top, "worktree", "add", "--quiet", "--force", tmp_path / "again", "main")
    (tmp_path / "gone\nwörk").rename(tmp_path / "elsewhere")
    found = refs_of(repository(top))
    assert found.trees == {"main": top, "side": tmp_path / "side\nwörk"}


def test_bare_repository_has_no_default_branch_by_who_looks_at_it(tmp_path):
    source = make_repository(tmp_path / "source")
    git(source, "branch", "--move", "alpha")
    git(source, "branch", "beta")
    git(tmp_path, "clone", "--quiet", "--bare", source, "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", tmp_path / "tree", "beta")
    found = refs_of(repository(tmp_path / "tree"))
    assert (found.here, found.default, found.trees) == ("beta", None, {"beta": tmp_path / "tree"})
