"""Two people who took one package read who has it; a move settles it."""

import json

import pytest
from tests.cli.work.projects import TASKS
from tests.git.repositories import commit, git
from tests.work.boards import done, features, synced, two_clones, work

pytestmark = pytest.mark.promise("L10")
BRANCH = "001-sync-WP01"
TREE = f".worktrees/{BRANCH}"


@pytest.fixture
def clones(tmp_path):
    """Make two clones whose people both took WP01, of which each knows of both."""
    ada, bob = two_clones(tmp_path, TASKS)
    done(bob, "add-history", "WP02", "bob's clock is ahead")
    for folder in (ada, bob):
        done(folder, "implement", "WP01")
    for folder in (ada, bob, ada):
        synced(folder)
    return ada, bob


def conflict_of(folder):
    (found,) = done(folder, "status", "--json").json["here"]["conflicts"]
    return found


def open_conflicts(folder):
    return done(folder, "status", "--json").json["summary"]["conflicts"]


def package(folder):
    (feature,) = done(folder, "status", "--json").json["features"]
    return next(each for lane in feature["lanes"].values() for each in lane if each["agent"])


def test_conflict_names_people_and_package_the_same_in_both_clones(clones):
    ada, bob = clones
    told = "ada and bob both took WP01; bob's claim counts (last_writer)"
    found = conflict_of(ada)
    assert (found["people"], found["sentence"]) == (["ada", "bob"], told)
    assert f"  conflict: {told}" in done(ada, "status").out
    assert f"  conflict: {told}" in done(bob, "status").out
    assert features(ada) == features(bob)


def test_who_lost_a_claim_is_refused_and_takes_the_package_back(clones):
    ada, bob = clones
    ended = work(ada, "move-task", "WP01", "--to", "for_review", "--json")
    assert "WP01 is the work of bob, not ada" in ended.err
    done(ada, "implement", "WP01", "--take-over")
    synced(ada)
    synced(bob)
    assert features(ada) == features(bob)
    assert package(bob)["agent"] == "ada"
    done(ada, "move-task", "WP01", "--to", "for_review", "--force", "--reason", "so")
    assert open_conflicts(ada) == 0
    (feature,) = json.loads(features(ada))
    assert [each["agent"] for each in feature["lanes"]["for_review"]] == ["ada"]


def untouched(ada):
    """Leave a branch without a commit of its own, at a later commit than the winner's began."""
    commit(ada, {"other.py": "other\n"})
    git(ada / TREE, "merge", "--quiet", "main")


def worked_on(ada):
    commit(ada / TREE, {"mine.py": "mine\n"})


@pytest.mark.promise("L15")
@pytest.mark.parametrize("lost", [untouched, worked_on])
def test_branch_of_who_lost_is_not_taken_for_what_the_winner_handed_in(clones, lost):
    ada, bob = clones
    lost(ada)
    commit(bob / TREE, {"first.py": "first\n"})
    done(bob, "mark-status", "T001")
    done(bob, "move-task", "WP01", "--to", "for_review")
    git(bob, "push", "--quiet", "origin", BRANCH)
    for folder in (bob, ada):
        synced(folder)
    assert "changed since" not in done(ada, "status").out, "before the winner's branch is here"
    git(ada, "fetch", "--quiet")
    assert "changed since" not in done(ada, "status").out
    done(ada, "merge", "WP01")
    assert git(ada, "show", "main:first.py") == "first"
    assert "mine.py" not in git(ada, "ls-tree", "--name-only", "main").split()
    git(ada, "push", "--quiet", "origin", "main")
    done(ada, "accept", "WP01")
    assert git(ada, "branch", "--list", BRANCH), "what the loser did stays hers"
