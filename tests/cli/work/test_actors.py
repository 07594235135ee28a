"""Who acts: the one that is named, else the user as git knows them."""

import pytest
from tests.cli.work.projects import done, finalized_project, refused, work
from tests.git.repositories import git

from thence.work.journal.store import EventStore
from thence.work.project.project import find_project

pytestmark = pytest.mark.promise("L8")


@pytest.fixture
def finalized(tmp_path):
    return finalized_project(tmp_path / "r")


def moves(repo):
    """Return the moves in the log: who acted, and who other tools read that it was."""
    with EventStore(find_project(repo)) as store:
        found = [each for each in store.read() if each.event_type == "WPStatusChanged"]
        return [(each.actor, each.payload["changed_by"]) for each in found]


def agent(repo):
    (feature,) = done(repo, "status", "--json").json["features"]
    return feature["lanes"]["doing"][0]["agent"]


def test_a_person_acts_under_the_name_that_git_knows(finalized):
    told = done(finalized, "implement", "WP01").out
    assert "WP01 of 001-sync is in doing, by Ada" in told
    assert moves(finalized) == [("Ada", "user")]
    assert agent(finalized) == "Ada"


def test_two_people_are_two(finalized):
    done(finalized, "implement", "WP01")
    git(finalized, "config", "user.name", "Grace Hopper")
    error = refused(finalized, "implement", "WP01", code=1)
    assert error["guard"] == "not_in_lane"
    assert "already in doing, with Ada since 20" in error["cause"]
    ended = work(finalized, "move-task", "WP01", "--to", "for_review", "--json")
    assert ended.json["error"]["guard"] == "not_its_agent"
    assert "the work of Ada, not Grace Hopper" in ended.json["error"]["cause"]
    assert "--actor" not in ended.json["error"]["hint"]
    git(finalized, "config", "user.name", "Ada")
    assert "is in doing, by Ada" in done(finalized, "implement", "WP01").out


def test_who_is_named_acts_under_that_name(finalized):
    done(finalized, "implement", "WP01", "--actor", "coder")
    assert moves(finalized) == [("coder", "coder")]
    assert agent(finalized) == "coder"


def test_without_a_name_it_is_the_user(finalized):
    git(finalized, "config", "user.name", " ")
    done(finalized, "implement")
    assert moves(finalized) == [("user", "user")]


def test_what_the_user_of_an_older_log_began_is_any_persons_to_go_on_with(finalized):
    git(finalized, "config", "user.name", " ")
    done(finalized, "implement", "WP01")
    git(finalized, "config", "user.name", "Ada")
    assert "is in doing, by Ada" in done(finalized, "implement", "WP01").out
    assert work(finalized, "implement", "WP01", "--actor", "coder").code == 1
