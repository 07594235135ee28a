"""What somebody else has pushed of a package's branch is merged, built upon, and taken over."""

from pathlib import Path

import pytest
from tests.git.repositories import commit, git
from tests.work.boards import bare, clone, done, synced, work

from thence.work.journal.store import EventStore

SLUG = "000-general"
BRANCH = f"{SLUG}-WP01"


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path]:
    """Two clones of a project with two packages; Bob has begun the first and pushed nothing."""
    remote = bare(tmp_path / "remote.git")
    ada, bob = clone(remote, tmp_path / "ada"), clone(remote, tmp_path / "bob")
    done(bob, "finalize-tasks", "--add", "First")
    done(bob, "finalize-tasks", "--add", "Second", "--after", "WP01")
    git(bob, "push", "--quiet")
    done(bob, "implement", "WP01")
    commit(tree(bob), {"first.txt": "bob's\n"}, "Write the first")
    shared(bob, ada)
    git(ada, "pull", "--quiet")
    return ada, bob


def tree(folder: Path, wp_id: str = "WP01") -> Path:
    return folder / f".worktrees/{SLUG}-{wp_id}"


def shared(one: Path, other: Path) -> None:
    synced(one)
    git(other, "fetch", "--quiet")


def pushed(bob, ada):
    """Push the branch of WP01 from one clone, and fetch it into the other."""
    git(bob, "push", "--quiet", "origin", BRANCH)
    git(ada, "fetch", "--quiet")


@pytest.mark.promise("L3")
def test_branch_that_another_clone_pushed_is_merged(clones):
    ada, bob = clones
    done(bob, "move-task", "WP01", "--to", "for_review")
    shared(bob, ada)
    assert "WP01 stays: its code is not here: git fetch, if bob has pushed it" in (
        work(ada, "merge").out
    )
    told = work(ada, "merge", "WP01").failure(1)
    assert f"git fetch, if someone else did it (they push it: git push -u origin {BRANCH})" in told
    pushed(bob, ada)
    assert done(ada, "merge", "--dry-run", "--json").json["steps"][0]["status"] == "clean"
    assert done(ada, "merge", "WP01", "--json").json["merged"] == [BRANCH]
    assert (ada / "first.txt").read_text() == "bob's\n"
    git(ada, "push", "--quiet")
    done(ada, "accept", "WP01")
    assert git(ada, "branch", "--list", BRANCH) == "", "no branch is made for it"


@pytest.mark.parametrize("is_pushed", [True, False])
def test_package_that_begins_without_the_code_it_needs_says_so(clones, is_pushed):
    ada, bob = clones
    done(bob, "move-task", "WP01", "--to", "for_review")
    shared(bob, ada)
    if is_pushed:
        pushed(bob, ada)
    told = "WP02 is without the code of WP01, which is not here: git fetch, if bob has pushed it"
    assert (told in done(ada, "implement", "WP02").err) is not is_pushed
    assert (tree(ada, "WP02") / "first.txt").exists() is is_pushed
    refused = work(ada, "implement", "WP01")
    assert "WP01 is in review, handed in by bob: to send it back takes a reason" in refused.err


def test_newer_commits_on_the_remote_are_merged_and_the_own_branch_stays(clones):
    ada, bob = clones
    pushed(bob, ada)
    done(ada, "implement", "WP01", "--take-over")
    commit(tree(bob), {"more.txt": "bob's\n"}, "Write more")
    pushed(bob, ada)
    done(ada, "merge", "WP01")
    assert (ada / "more.txt").read_text() == "bob's\n"


def test_own_commits_go_before_others_beside_them(clones):
    ada, bob = clones
    pushed(bob, ada)
    done(ada, "implement", "WP01", "--take-over")
    commit(tree(ada), {"ada.txt": "ada's\n"}, "Write it otherwise")
    commit(tree(bob), {"more.txt": "bob's\n"}, "Write more")
    pushed(bob, ada)
    done(ada, "merge", "WP01")
    assert (ada / "ada.txt").exists()
    assert not (ada / "more.txt").exists()


def test_package_that_is_taken_over_goes_on_where_it_was_pushed(clones):
    ada, bob = clones
    pushed(bob, ada)
    told = done(ada, "implement", "WP01", "--take-over").out
    assert "bob has not pushed" in told
    assert (tree(ada) / "first.txt").read_text() == "bob's\n"
    commit(tree(ada), {"second.txt": "ada's\n"}, "Write the rest")
    done(ada, "move-task", "WP01", "--to", "for_review")
    with EventStore.at(ada) as store:
        (reviewed,) = (e for e in store.read() if e.header.event_type == "WPReviewed")
    assert reviewed.payload["base"] == git(ada, "merge-base", "main", BRANCH)
    assert len(reviewed.payload["patches"]) == 2


@pytest.mark.promise("L10")
def test_branch_pushed_under_a_number_that_was_given_twice_is_not_merged_for_it(tmp_path):
    remote = bare(tmp_path / "remote.git")
    both = [clone(remote, tmp_path / name) for name in ("ada", "bob")]
    for folder in both:
        done(folder, "finalize-tasks", "--add", f"{folder.name}'s")
        done(folder, "implement", "WP01")
        commit(tree(folder), {f"{folder.name}.txt": "mine\n"}, "Work")
    for folder in (*both, *both):
        synced(folder)
    (feature,) = done(both[0], "status", "--json").json["features"]
    (kept,) = feature["lanes"]["doing"]
    late = next(folder for folder in both if kept["title"] != f"{folder.name}'s")
    # under the number that it has lost
    git(late, "push", "--quiet", "origin", "000-general-WP01")
    third = clone(remote, tmp_path / "third")
    refused = work(third, "merge", "WP01", "--json")
    assert refused.json["error"]["guard"] == "no_branch"
    assert [each.name for each in third.glob("*.txt")] == []
