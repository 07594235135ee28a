"""Two people who took one package read who has it and where the commits lie, and may settle it."""

import json

import pytest
from tests.cli.work.projects import TASKS
from tests.work.boards import bare, clone, done, features, published, work
from tests.work.repositories import commit, git

pytestmark = pytest.mark.promise("L10")
BRANCH = "001-sync-WP01"


@pytest.fixture
def clones(tmp_path):
    """Make two clones whose people both took WP01, of which each knows of both."""
    remote = bare(tmp_path / "remote")
    ada = clone(remote, tmp_path / "ada")
    done(ada, "setup-spec", "Sync")
    (ada / "kitty-specs/001-sync/tasks.md").write_text(TASKS)
    done(ada, "finalize-tasks")
    published(ada)
    git(ada, "push", "--quiet", "origin", "main")
    bob = clone(remote, tmp_path / "bob")
    done(bob, "publish")
    done(bob, "add-history", "WP02", "bob's clock is ahead")
    for folder in (ada, bob):
        done(folder, "implement", "WP01")
    for number in range(2):
        commit(ada / f".worktrees/{BRANCH}", {"a": f"{number}\n"}, "Work")
    for folder in (ada, bob, ada):
        published(folder)
    return ada, bob


def conflict_of(folder):
    ended = work(folder, "conflicts", "--json")
    assert ended.code == 3
    (found,) = ended.json["conflicts"]
    return found


def package(folder):
    (feature,) = done(folder, "status", "--json").json["features"]
    return next(each for lane in feature["lanes"].values() for each in lane if each["agent"])


def settled(folder, *arguments):
    return done(folder, "settle", "WP01", *arguments, "--reason", "she is further", "--json").json


def test_conflict_names_people_package_and_commits(clones):
    ada, bob = clones
    told = f"ada and bob both took WP01; ada's two commits lie on {BRANCH}; bob's claim stands"
    found = conflict_of(ada)
    assert (found["people"], found["sentence"]) == (["ada", "bob"], f"{told} (last_writer)")
    assert f"  conflict: {told} (last_writer)" in done(ada, "status").out
    assert "ada and bob both took WP01; bob's claim stands" in done(bob, "status").out
    git(ada, "push", "--quiet", "origin", BRANCH)
    git(bob, "fetch", "--quiet")
    assert f"ada's two commits lie on origin/{BRANCH}; bob's" in done(bob, "status").out
    assert features(ada) == features(bob)


def test_who_lost_a_claim_learns_it_from_the_next_command(clones):
    ada, bob = clones
    ended = work(ada, "move-task", "WP01", "--to", "for_review", "--json")
    assert "note: your claim of WP01 lost to bob's: thence work settle WP01" in ended.err
    notes = done(ada, "status", "--json").json["notes"]
    assert any(note.startswith("your claim of WP01 lost to bob's") for note in notes)
    assert "lost" not in done(bob, "status").err
    settled(bob, "--winner", "bob")
    published(bob)
    published(ada)
    assert "lost" not in done(ada, "status").err


@pytest.mark.parametrize("named", ["actor", "event"])
def test_board_stands_as_the_winner_that_was_chosen_says(clones, named):
    ada, bob = clones
    found = conflict_of(bob)
    (loser,) = {*found["events"]} - {found["winner"]}
    assert package(bob)["agent"] == "bob"
    told = settled(bob, "--winner", "ada" if named == "actor" else loser)
    assert (told["winners"], told["lane"], told["agent"]) == ([loser], "doing", "ada")
    published(bob)
    published(ada)
    assert features(ada) == features(bob)
    assert package(ada)["agent"] == "ada"
    assert work(ada, "conflicts").code == 0
    (past,) = done(ada, "conflicts", "--all", "--json").json["conflicts"]
    assert (past["rule"], past["winner"], past["open"]) == ("settled", loser, False)
    done(ada, "move-task", "WP01", "--to", "rejected", "--reason", "not needed")
    (feature,) = json.loads(features(ada))
    assert [each["wp_id"] for each in feature["lanes"]["rejected"]] == ["WP01"]


def test_settled_differently_at_once_is_a_conflict_that_can_be_settled(clones):
    ada, bob = clones
    settled(ada, "--winner", "ada")
    settled(bob, "--winner", "bob")
    assert (package(ada)["agent"], package(bob)["agent"]) == ("ada", "bob")
    for folder in (ada, bob, ada):
        published(folder)
    assert features(ada) == features(bob)
    last = package(ada)["agent"]
    assert f"{last}'s choice stands (last_writer)" in done(ada, "status").out
    other = "ada" if last == "bob" else "bob"
    settled(ada, "--winner", other)
    assert package(ada)["agent"] == other
    assert work(ada, "conflicts").code == 0


def test_what_settles_nothing_is_refused(clones):
    ada, _ = clones
    ended = work(ada, "settle", "WP01", "--winner", "carol", "--reason", "x", "--json")
    assert "(bob's claim)" in ended.json["error"]["hint"]
    ended = work(ada, "settle", "WP01", "--winner", "ada", "--reason", " ", "--json")
    assert ended.json["error"]["guard"] == "reason_missing"
    ended = work(ada, "settle", "WP02", "--winner", "ada", "--reason", "x", "--json")
    assert ended.json["error"]["guard"] == "no_conflict"
