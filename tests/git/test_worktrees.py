"""Worktrees are made whole, once, by however many commands, and removed only when all is kept."""

import os
import shutil
from pathlib import Path

import pytest
from tests.git.repositories import branches, commit, content, git, make_repository, write

from thence.errors import GitFailed
from thence.git.repository import Repository, list_worktrees, repository
from thence.git.worktrees import make, remove, state_of, uncommitted

NAME = "028-sync-WP01"


def place(repo: Repository, name: str = NAME) -> Path:
    return repo.folder / ".worktrees" / name


def made(repo: Repository, name: str = NAME, base: str | list[str] = "main"):
    return make(repo, name, place(repo, name), base)


@pytest.fixture
def repo(tmp_path) -> Repository:
    files = {"a/b": "1\n", ".gitignore": ".worktrees/\n"}
    return repository(make_repository(tmp_path / "Das Projekt ö", files))


def test_branch_in_the_way_is_named_with_what_renames_it(repo):
    git(repo.top, "branch", f"{NAME}/old")
    with pytest.raises(GitFailed) as caught:
        made(repo)
    assert caught.value.hint == f"rename it: git branch -m {NAME}/old {NAME}-old"


def test_base_that_follows_another_does_not_follow_it(repo, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", repo.top, clone)
    git(clone, "config", "branch.autoSetupMerge", "always")
    made(repository(clone), base="origin/main")
    told = git(clone, "config", "--get", f"branch.{NAME}.remote", check=False)
    assert told == ""


def test_branch_without_commits_of_its_own_begins_anew(repo):
    git(repo.top, "branch", NAME)
    begin = commit(repo.top, {"later": "1\n"})
    again = made(repo)
    assert (again.head, again.is_new) == (begin, True)


@pytest.mark.parametrize("what", ["nothing", "branch", "worktree", "gone"])
def test_what_came_about_since_somebody_looked_is_seen_all_the_same(repo, what):
    seen = branches(repo)
    begin = seen["main"]
    if what == "branch":
        git(repo.top, "branch", NAME)
        git(repo.top, "update-ref", f"refs/heads/{NAME}", commit(repo.top, {"work": "1\n"}))
        git(repo.top, "reset", "--quiet", "--hard", begin)
    elif what in ("worktree", "gone"):
        made(repo)
        commit(place(repo), {"work": "1\n"})
    if what == "gone":
        shutil.rmtree(place(repo))
        assert state_of(repo, NAME, place(repo)).kind == "missing"
    found = make(repo, NAME, place(repo), "main", seen)
    assert (found.is_new, (found.path / "work").exists()) == (what == "nothing", what != "nothing")
    assert found.head == branches(repo)[NAME]
    assert state_of(repo, NAME, place(repo), {NAME: place(repo)}).kind == "clean"


def test_files_that_a_killed_command_did_not_write_are_completed(repo):
    made(repo)
    own = repo.common / "worktrees" / NAME
    (own / "index").unlink()
    (own / "index.lock").touch()
    (place(repo) / "README.md").unlink()
    (place(repo) / "a/b").write_text("")
    made(repo)
    assert (place(repo) / "a/b").read_text() == "1\n"
    assert git(place(repo), "status", "--porcelain") == ""
    assert not (own / "index.lock").exists()
    assert git(repo.top, "worktree", "list", "--porcelain").count("worktree ") == 2


def test_worktree_that_the_user_keeps_on_another_disk_is_not_forgotten(repo):
    made(repo)
    git(repo.top, "worktree", "lock", place(repo))
    shutil.rmtree(place(repo))
    with pytest.raises(GitFailed, match="locked"):
        made(repo)
    assert (repo.common / "worktrees" / NAME).exists()


def test_commits_on_no_branch_of_a_folder_that_is_gone_are_not_forgotten(repo):
    made(repo)
    git(place(repo), "checkout", "--quiet", "--detach")
    tip = commit(place(repo), {"work": "1\n"})
    shutil.rmtree(place(repo))
    with pytest.raises(GitFailed, match=f"it stood at {tip} on no branch") as caught:
        made(repo)
    assert f"git branch NAME {tip}" in caught.value.hint
    assert git(repo.top, "worktree", "list").count("\n") == 1


def test_branch_that_is_checked_out_elsewhere_is_told_with_the_place(repo, tmp_path):
    git(repo.top, "worktree", "add", "--quiet", "-b", NAME, tmp_path / "elsewhere")
    with pytest.raises(GitFailed, match=f"{NAME} is checked out at {tmp_path}/elsewhere"):
        made(repo)
    assert state_of(repo, NAME, place(repo)).kind == "moved"
    assert state_of(repo, NAME, place(repo)).path == tmp_path / "elsewhere"
    assert not place(repo).exists()


def test_path_where_something_else_stands_is_refused_and_left_alone(repo):
    write(repo.top, {f".worktrees/{NAME}/mine": "1\n"})
    with pytest.raises(GitFailed, match="the path exists"):
        made(repo)
    assert (place(repo) / "mine").exists()
    assert NAME not in branches(repo)
    assert state_of(repo, NAME, place(repo)).kind == "foreign"


def test_path_with_another_branch_is_refused(repo):
    made(repo)
    git(place(repo), "checkout", "--quiet", "-b", "other")
    with pytest.raises(GitFailed, match="other is checked out at") as caught:
        made(repo)
    assert caught.value.hint == f"git -C {place(repo)} checkout {NAME}"
    assert state_of(repo, NAME, place(repo))[:3] == ("foreign", place(repo), "other")


@pytest.mark.parametrize("name", ["a..b", "-x", "a b", "x.lock", "main/x"])
def test_name_that_git_does_not_take_is_told_and_nothing_is_made(repo, name):
    with pytest.raises(GitFailed):
        made(repo, name)
    assert set(branches(repo)) == {"main"}
    assert len(list_worktrees(repo)) == 1


def test_base_that_is_missing_is_told_and_nothing_is_made(repo):
    with pytest.raises(GitFailed, match="there is no branch or commit nowhere"):
        made(repo, base="nowhere")
    assert not place(repo).exists()
    assert set(branches(repo)) == {"main"}


def test_several_bases_are_merged_past_every_working_tree(repo):
    for number in (1, 2, 3):
        worktree = made(repo, f"dep{number}")
        commit(worktree.path, {f"part{number}": f"{number}\n"})
    worktree = made(repo, base=["dep1", "dep2", "dep3", "main"])
    assert [(worktree.path / f"part{number}").exists() for number in (1, 2, 3)] == [True] * 3
    assert git(worktree.path, "log", "-1", "--format=%s") == "Merge dep3 into dep1"
    assert git(worktree.path, "status", "--porcelain") == ""
    assert content(repo.top, "part1") is None
    assert made(repo, "follows", ["main", "dep1"]).head == branches(repo)["dep1"]
    assert made(repo, "leads", ["dep1", "main"]).head == branches(repo)["dep1"]


def test_bases_that_contradict_each_other_are_told_and_nothing_is_made(repo):
    for number in (1, 2):
        commit(made(repo, f"dep{number}").path, {"a/b": f"{number + 1}\n"})
    with pytest.raises(GitFailed, match="both change a/b") as caught:
        made(repo, base=["dep1", "dep2"])
    assert caught.value.hint.endswith("git merge dep2")
    assert NAME not in branches(repo)
    assert not place(repo).exists()


def test_sparse_worktree_stays_sparse(repo):
    commit(repo.top, {"c/d": "1\n"})
    git(repo.top, "sparse-checkout", "set", "a")
    worktree = made(repo)
    assert (worktree.path / "a/b").exists()
    assert not (worktree.path / "c").exists()
    assert state_of(repo, NAME, worktree.path).kind == "clean"


def test_state_tells_what_is_not_committed_and_what_is_under_way(repo):
    worktree = made(repo)
    write(worktree.path, {"a/b": "2\n", "neu ö": "1\n"})
    state = state_of(repo, NAME, worktree.path)
    assert (state.kind, state.changes) == ("dirty", (" M a/b", "?? neu ö"))
    commit(worktree.path, {"a/b": "2\n", "neu ö": "1\n"})
    assert state_of(repo, NAME, worktree.path).kind == "clean"
    commit(repo.top, {"a/b": "3\n"})
    git(worktree.path, "rebase", "main", check=False)
    state = state_of(repo, NAME, worktree.path)
    assert (state.kind, state.operation) == ("dirty", "rebase")
    write(repo.top, {f"{number:02}": "" for number in range(30)})
    assert len(uncommitted(repo.top)) == 20


def test_worktree_is_removed_with_its_branch_when_all_is_merged(repo):
    worktree = made(repo)
    commit(worktree.path, {"work": "1\n", ".gitignore": "built\n"})
    write(worktree.path, {"built": "x"})
    git(repo.top, "merge", "--quiet", NAME)
    remove(repo, NAME, worktree.path, "main")
    assert not worktree.path.exists()
    assert set(branches(repo)) == {"main"}
    remove(repo, NAME, worktree.path, "main")  # once more is no mistake


@pytest.mark.parametrize("what", ["unmerged", "changed", "staged", "untracked", "bisect", "else"])
def test_worktree_is_never_removed_while_it_holds_anything_of_its_own(repo, what):
    worktree = made(repo)
    if what == "unmerged":
        commit(worktree.path, {"work": "1\n"})
    elif what in {"changed", "staged"}:
        write(worktree.path, {"a/b": "2\n"})
        git(worktree.path, *(["add", "."] if what == "staged" else ["status"]))
    elif what == "untracked":
        write(worktree.path, {"mine": "1\n"})
    elif what == "bisect":
        git(worktree.path, "bisect", "start")
    else:
        git(worktree.path, "checkout", "--quiet", "-b", "else")
    with pytest.raises(GitFailed, match="could not remove the worktree"):
        remove(repo, NAME, worktree.path, "main")
    assert (worktree.path / "README.md").exists()
    assert NAME in branches(repo)
    assert git(repo.top, "worktree", "list").count("\n") == 1


HIDDEN = ["--assume-unchanged", "--skip-worktree"]


@pytest.mark.parametrize("what", ["ignored", "added", "bare", "amended", "detached", *HIDDEN])
def test_worktree_that_git_finds_clean_is_kept_with_what_is_only_there(repo, what):
    path = made(repo).path
    commit(path, {"work": "1\n", ".gitignore": "results\nbuilt\n"})
    write(path, {"built": "x"})
    told = "the repository results/study is in it"
    if what == "amended":
        before = git(path, "rev-parse", "HEAD")
        git(path, "commit", "--quiet", "--amend", "--message", "Anew")
        told = f"no branch has commit {before}"
    elif what == "detached":
        git(path, "switch", "--quiet", "--detach")
        told = "something else is there"
    elif what in HIDDEN:
        git(path, "update-index", what, "a/b")
        write(path, {"a/b": "tuned\n"})
        told = "git hides changes of a/b"
    elif what == "added":
        make_repository(path / "own")
        git(path, "add", "own")
        git(path, "commit", "--quiet", "--message", "Add it")
        told = "it has the submodule own"
    elif what == "bare":
        git(repo.top, "init", "--quiet", "--bare", path / "results/study")
    else:
        make_repository(path / "results/study")
    git(repo.top, "merge", "--quiet", NAME)
    with pytest.raises(GitFailed, match=told) as caught:
        remove(repo, NAME, path, "main")
    assert caught.value.hint
    assert (path / "built").exists()
    assert NAME in branches(repo)


def test_folder_that_is_gone_takes_its_merged_branch_along_and_no_other(repo):
    for name in (NAME, "other"):
        made(repo, name)
        shutil.rmtree(place(repo, name))
    tip = git(repo.top, "commit-tree", "main^{tree}", "-p", "main", stdin=b"Work on it\n")
    git(repo.top, "update-ref", "refs/heads/other", tip)
    remove(repo, NAME, place(repo), "main")
    with pytest.raises(GitFailed, match="has commits that are not in main"):
        remove(repo, "other", place(repo, "other"), "main")
    assert set(branches(repo)) == {"main", "other"}


def test_worktree_of_one_path_seen_through_a_link_is_the_same(repo, tmp_path):
    made(repo)
    (tmp_path / "link").symlink_to(repo.top)
    through = repository(tmp_path / "link")
    assert not make(through, NAME, tmp_path / "link/.worktrees" / NAME, "main").is_new
    assert os.path.samefile(list_worktrees(through)[1].path, place(repo))
