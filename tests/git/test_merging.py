"""Packages are merged into their target all at once, past the user's own working trees."""

from pathlib import Path

import pytest
from tests.cli.work.other_git import with_git
from tests.git.repositories import (
    branches,
    commit,
    content,
    git,
    make_repository,
    patches,
    write,
)

from thence.errors import GitFailed
from thence.git import merging
from thence.git.merging import merge, plan
from thence.git.repository import repository
from thence.git.worktrees import make

TARGET = "028-sync"


def project(path: Path, packages: dict[str, dict[str, str]], target: str = "main") -> Path:
    """Make a repository in which each package has changed files on a branch of its own."""
    top = make_repository(path, {"shared": "one\n", "a/kept": "1\n", "mine": "1\n"})
    for name, files in packages.items():
        git(top, "checkout", "--quiet", "-b", name, "main")
        commit(top, files, f"Work on {name}")
    git(top, "checkout", "--quiet", "main")
    if target != "main":
        git(top, "branch", target)
    return top


THREE = {"wp1": {"one ö": "1\n"}, "wp2": {"a/two": "2\n"}, "wp3": {"shared": "three\n"}}
FIGHT = {"wp1": {"one": "1\n"}, "wp2": {"shared": "two\n"}, "wp3": {"shared": "three\n"}}


# what somebody else commits meanwhile; a hook has git's variables for its own repository
COMMITS = "unset $(git rev-parse --local-env-vars); git -C %s commit -q --allow-empty -m Theirs"


def left_of(top: Path) -> list[Path]:
    """Return the lock files that are left of a merge that has ended: none."""
    return [path for path in (top / ".git").rglob("*.lock") if path.parent.name != "thence"]


def subjects(top: Path, branch: str) -> list[str]:
    return git(top, "log", "--first-parent", "--format=%s", branch).splitlines()


def test_target_that_is_nowhere_checked_out_gets_a_merge_of_each(tmp_path):
    top = project(tmp_path / "top", THREE, TARGET)
    before = patches(top), git(top, "rev-parse", "HEAD")
    merged = merge(repository(top), TARGET, list(THREE))
    assert [(step.branch, step.status) for step in merged.steps] == [
        ("wp1", "clean"),
        ("wp2", "clean"),
        ("wp3", "clean"),
    ]
    assert merged.end == branches(repository(top))[TARGET]
    assert subjects(top, TARGET) == [
        *(f"Merge {name} into {TARGET}" for name in ("wp3", "wp2", "wp1")),
        "Begin",
    ]
    assert git(top, "log", "-1", "--format=%an %ce", TARGET) == "Ada ada@example.org"
    assert content(top, "shared", TARGET) == b"three\n"
    assert content(top, "one ö", TARGET) == b"1\n"
    assert (patches(top), git(top, "rev-parse", "HEAD")) == before


def test_target_that_is_checked_out_gets_files_beside_the_user_s_work(tmp_path):
    top = project(tmp_path / "top", THREE)
    write(top, {"mine": "2\n", "new": "1\n", "a/kept": "2\n", "untracked": "1\n"})
    git(top, "add", "mine", "new")
    write(top, {"mine": "3\n"})
    (top / "README.md").unlink()
    before = patches(top), git(top, "status", "--porcelain")
    merge(repository(top), "main", list(THREE))
    assert (patches(top), git(top, "status", "--porcelain")) == before
    assert (top / "shared").read_text() == "three\n"
    assert (top / "a/two").read_text() == "2\n"


def test_target_that_somebody_moves_meanwhile_gets_the_merge_on_top(tmp_path, monkeypatch):
    top = project(tmp_path / "top", THREE)
    theirs = tmp_path / "theirs"
    moves = f"[ -e {theirs} ] || {{ touch {theirs}; {COMMITS % top}; }}"
    monkeypatch.setenv("PATH", with_git(tmp_path / "bin", "merge --ff-only", moves))
    assert merge(repository(top), "main", list(THREE)).conflict is None
    assert subjects(top, "main") == [
        *(f"Merge {name} into main" for name in ("wp3", "wp2", "wp1")),
        "Theirs",
        "Begin",
    ]
    assert (top / "shared").read_text() == "three\n"
    assert git(top, "status", "--porcelain") == ""


def test_target_that_moves_again_and_again_is_told_as_passing(tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "ATTEMPTS_MAX", 2)
    top = project(tmp_path / "top", {"wp1": THREE["wp1"]})
    monkeypatch.setenv("PATH", with_git(tmp_path / "bin", "merge --ff-only", COMMITS % top))
    with pytest.raises(GitFailed, match="moved it 2 times in the meantime") as caught:
        merge(repository(top), "main", ["wp1"])
    assert caught.value.recoverable
    assert subjects(top, "main") == ["Theirs", "Theirs", "Begin"]
    assert not left_of(top)


def test_plan_tells_all_and_changes_nothing(tmp_path):
    top = project(tmp_path / "top", {**FIGHT, "wp4": {"four": "4\n"}})
    git(top, "merge", "--quiet", "wp1")
    before = branches(repository(top)), git(top, "status", "--porcelain")
    told = plan(repository(top), "main", ["wp1", "wp2", "wp3", "wp4"], before[0])
    assert [(step.branch, step.status, step.files) for step in told.steps] == [
        ("wp1", "merged", ()),
        ("wp2", "clean", ()),
        ("wp3", "conflict", ("shared",)),
        ("wp4", "clean", ()),
    ]
    assert told.conflict == told.steps[2]
    assert (branches(repository(top)), git(top, "status", "--porcelain")) == before


def test_branch_that_is_missing_is_told_before_anything_is_merged(tmp_path):
    top = project(tmp_path / "top", THREE)
    for names, target in ((["wp1", "wp9"], "main"), (["wp1"], "nowhere")):
        with pytest.raises(GitFailed, match=r"there is no branch (wp9|nowhere)"):
            merge(repository(top), target, names)
    assert len(subjects(top, "main")) == 1


@pytest.mark.parametrize("how", ["half done", "staged", "untracked"])
def test_work_of_the_user_that_is_in_the_way_is_told_and_nothing_changes(tmp_path, how):
    top = project(tmp_path / "top", THREE)
    name = "one ö" if how == "untracked" else "shared"
    write(top, {name: "mine\n"})
    if how == "staged":
        git(top, "add", name)
    before = patches(top), branches(repository(top))
    with pytest.raises(GitFailed, match="could not bring the merge into") as caught:
        merge(repository(top), "main", list(THREE))
    assert not left_of(top)
    assert name.split()[0] in caught.value.cause
    assert "commit your changes" in caught.value.hint
    assert (patches(top), branches(repository(top))) == before
    assert (top / name).read_text() == "mine\n"
    assert not (top / "a/two").exists()


@pytest.mark.parametrize("is_linked", [False, True])
def test_operation_of_the_user_is_told_as_passing(tmp_path, is_linked):
    top = project(tmp_path / "top", FIGHT)
    if is_linked:
        git(top, "checkout", "--quiet", "-b", "other")
        git(top, "worktree", "add", "--quiet", tmp_path / "linked", "main")
    folder = tmp_path / "linked" if is_linked else top
    commit(folder, {"shared": "four\n"})
    told = {"merge": f"a merge is under way in {tmp_path}", "rebase": "checked out branch"}
    for command, words in told.items():
        git(folder, command, "wp2", check=False)
        with pytest.raises(GitFailed, match=words):
            merge(repository(top), "main", ["wp1"])
        git(folder, command, "--abort")
    assert merge(repository(top), "main", ["wp1"]).conflict is None


def test_histories_without_a_common_commit_are_told(tmp_path):
    top = project(tmp_path / "top", {})
    git(top, "checkout", "--quiet", "--orphan", "stranger")
    git(top, "commit", "--quiet", "--message", "From elsewhere")
    git(top, "checkout", "--quiet", "main")
    with pytest.raises(GitFailed, match="unrelated histories"):
        merge(repository(top), "main", ["stranger"])


def test_bare_repository_is_merged_in(tmp_path):
    top = project(tmp_path / "top", THREE)
    git(top, "clone", "--quiet", "--bare", ".", tmp_path / "b.git")
    git(tmp_path / "b.git", "config", "user.name", "Ada")
    git(tmp_path / "b.git", "config", "user.email", "ada@example.org")
    merge(repository(tmp_path / "b.git"), "main", list(THREE))
    assert content(tmp_path / "b.git", "shared") == b"three\n"


def test_submodule_moves_with_the_merge_and_its_files_stay(tmp_path):
    part = make_repository(tmp_path / "part")
    top = project(tmp_path / "top", {})
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", part, "part")
    git(top, "commit", "--quiet", "--message", "Add a part")
    git(top, "config", "submodule.recurse", "true")
    later = commit(part, {"new": "1\n"})
    git(top, "branch", "wp1")
    tree = make(repository(top), "wp1", tmp_path / "wp1", "main").path
    git(tree, "update-index", "--cacheinfo", f"160000,{later},part")
    git(tree, "commit", "--quiet", "--message", "Use it")
    merge(repository(top), "main", ["wp1"])
    assert git(top, "rev-parse", "main:part") == later
    assert git(top, "status", "--porcelain") == " M part"
    assert not (top / "part/new").exists()
