"""A conflict is opened, resolved and given up in a private working tree; the user's stay as is."""

from pathlib import Path

import pytest
from tests.work.repositories import begin_work, content, git, hook, patches, write
from tests.work.test_merging import FIGHT, TARGET, left_of, project, subjects

from thence.errors import GitFailed
from thence.work.vcs.merging import abort, merge, resume
from thence.work.vcs.repository import repository
from thence.work.vcs.unfinished_merge import tree_of, unfinished

NAMES = [*FIGHT, "wp4"]


@pytest.fixture
def note(tmp_path) -> Path:
    return tmp_path / "home/merge.json"


@pytest.fixture
def top(tmp_path, note) -> Path:
    """Make a project whose third package of four conflicts, open in its private tree."""
    top = project(tmp_path / "top", {**FIGHT, "wp4": {"four": "4\n"}})
    begin_work(top)
    before, begin = patches(top), git(top, "rev-parse", "main")
    outcome = merge(repository(top), "main", NAMES, note)
    assert (outcome.status, outcome.merged, outcome.commit) == ("conflict", (), begin)
    assert outcome.conflict is not None
    assert (outcome.conflict.branch, outcome.conflict.files) == ("wp3", ("shared",))
    assert outcome.tree == tree_of(note)
    assert "<<<<<<<" in (outcome.tree / "shared").read_text()
    assert (git(top, "rev-parse", "main"), patches(top)) == (begin, before)
    assert not (top / ".git/MERGE_HEAD").exists()
    return top


def resolve(note: Path, text: str = "two and three\n") -> None:
    write(tree_of(note), {"shared": text})
    git(tree_of(note), "add", "shared")


def test_conflict_that_was_resolved_is_committed_and_the_rest_is_merged(top, note):
    repo, before = repository(top), patches(top)
    with pytest.raises(GitFailed, match="shared still has conflicts"):
        resume(repo, note)
    with pytest.raises(GitFailed, match="the merge of wp3 into main is not finished") as caught:
        merge(repo, "main", NAMES, note)
    assert str(tree_of(note)) in caught.value.hint
    resolve(note)
    outcome = resume(repo, note)
    assert (outcome.status, outcome.merged) == ("done", tuple(NAMES))
    assert subjects(top, "main") == [
        *(f"Merge {name} into main" for name in ("wp4", "wp3", "wp2", "wp1")),
        "Begin",
    ]
    assert content(top, "shared") == b"two and three\n"
    assert (patches(top), git(top, "status", "--porcelain")) == (before, "MM mine")
    assert not left_of(top, note)


def test_conflict_that_the_user_commits_is_gone_on_with(top, note):
    resolve(note)
    git(tree_of(note), "commit", "--quiet", "--no-edit")
    assert resume(repository(top), note).status == "done"
    assert content(top, "shared") == b"two and three\n"
    assert len(subjects(top, "main")) == 5


def test_conflict_that_the_user_gives_up_by_git_is_opened_again(top, note):
    git(tree_of(note), "merge", "--abort")
    again = resume(repository(top), note)
    assert again.conflict is not None
    assert (again.conflict.branch, again.tree) == ("wp3", tree_of(note))
    resolve(note)
    assert resume(repository(top), note).status == "done"


def test_resolution_stays_where_somebody_has_moved_the_target_meanwhile(top, note):
    resolve(note)
    git(top, "commit", "--quiet", "--only", "--message", "Mine", "mine")
    outcome = resume(repository(top), note)
    assert (outcome.status, set(outcome.merged)) == ("done", set(NAMES))
    assert subjects(top, "main") == ["Merge wp4 into main", "Merge wp3 into main", "Mine", "Begin"]
    assert content(top, "shared") == b"two and three\n"
    assert content(top, "one") == b"1\n"
    assert git(top, "status", "--porcelain") == ""


def test_second_conflict_is_opened_on_top_of_what_was_resolved(tmp_path, note):
    packages = {**FIGHT, "wp4": {"shared": "four\n"}}
    top = project(tmp_path / "top", packages)
    merge(repository(top), "main", NAMES, note)
    resolve(note)
    second = resume(repository(top), note)
    assert second.conflict is not None
    assert second.conflict.branch == "wp4"
    resolve(note, "all\n")
    assert resume(repository(top), note).status == "done"
    assert content(top, "shared") == b"all\n"
    assert len(subjects(top, "main")) == 5


@pytest.mark.parametrize("name", ["one", "new"])
def test_what_is_not_staged_in_the_private_tree_is_never_lost(top, note, name):
    resolve(note)
    write(tree_of(note), {name: "of the user\n"})
    with pytest.raises(GitFailed, match=f"it holds what is not staged: {name}"):
        resume(repository(top), note)
    git(tree_of(note), "add", name)
    resume(repository(top), note)
    assert content(top, name) == b"of the user\n"


def test_hooks_run_when_a_resolved_conflict_is_committed(top, note):
    resolve(note)
    hook(top, "commit-msg", "echo commit-msg says no >&2; exit 1")
    with pytest.raises(GitFailed, match="commit-msg says no"):
        resume(repository(top), note)
    (top / ".git/hooks/commit-msg").unlink()
    assert resume(repository(top), note).status == "done"
    assert content(top, "shared") == b"two and three\n"


def test_abort_takes_the_private_tree_away_and_the_target_never_had_any_of_it(top, note):
    begin, before = git(top, "rev-parse", "main"), patches(top)
    assert abort(repository(top), note) == begin
    assert (git(top, "rev-parse", "main"), patches(top)) == (begin, before)
    assert not (top / "one").exists()
    assert not left_of(top, note)
    for go, verb in ((abort, "abort"), (resume, "resume")):
        with pytest.raises(GitFailed, match=f"there is no merge to {verb}"):
            go(repository(top), note)


def test_conflict_whose_private_tree_is_gone_can_be_aborted(top, note):
    git(top, "worktree", "remove", "--force", tree_of(note))
    with pytest.raises(GitFailed, match="no such folder") as caught:
        resume(repository(top), note)
    assert "abort" in caught.value.hint
    abort(repository(top), note)
    assert not left_of(top, note)


def test_conflict_in_a_target_that_is_checked_out_nowhere_is_resolved_all_the_same(tmp_path, note):
    top = project(tmp_path / "top", FIGHT, TARGET)
    assert merge(repository(top), TARGET, list(FIGHT), note).status == "conflict"
    resolve(note)
    assert resume(repository(top), note).status == "done"
    assert content(top, "shared", TARGET) == b"two and three\n"
    assert len(subjects(top, "main")) == 1


def test_conflict_that_is_not_to_be_opened_is_only_told(tmp_path, note):
    top = project(tmp_path / "top", FIGHT)
    outcome = merge(repository(top), "main", list(FIGHT), note, opens=False)
    assert (outcome.status, outcome.tree) == ("conflict", None)
    assert outcome.conflict is not None
    assert outcome.conflict.files == ("shared",)
    assert unfinished(note) is None
    assert len(subjects(top, "main")) == 1
    assert not left_of(top, note)
