"""Who acts: the one that is named, else the user as git knows them."""

import pytest
from tests.cli.work.projects import done, refused, work
from tests.git.repositories import git

from thence.work.journal.store import EventStore
from thence.work.project.project import find_project

pytestmark = pytest.mark.promise("L8")


def moves(repo):
    """Return the moves in the log: who acted, and who other tools read that it was."""
    with EventStore(find_project(repo)) as store:
        found = [each for each in store.read() if each.event_type == "WPStatusChanged"]
        return [(each.actor, each.payload["changed_by"]) for each in found]


def agent(repo):
    (feature,) = done(repo, "status", "--json").json["features"]
    return feature["lanes"]["doing"][0]["agent"]


def test_a_person_acts_under_the_name_that_git_knows(repo):
    told = done(repo, "implement", "WP01").out
    assert "WP01 of 001-sync is in doing, by Ada" in told
    assert moves(repo) == [("Ada", "user")]
    assert agent(repo) == "Ada"


def test_two_people_are_two(repo):
    done(repo, "implement", "WP01")
    git(repo, "config", "user.name", "Grace Hopper")
    error = refused(repo, "implement", "WP01", code=1)
    assert error["guard"] == "not_in_lane"
    assert "already in doing, with Ada since 20" in error["cause"]
    ended = work(repo, "move-task", "WP01", "--to", "for_review", "--json")
    assert ended.json["error"]["guard"] == "not_its_agent"
    assert "the work of Ada, not Grace Hopper" in ended.json["error"]["cause"]
    assert "--actor" not in ended.json["error"]["hint"]
    git(repo, "config", "user.name", "Ada")
    assert "is in doing, by Ada" in done(repo, "implement", "WP01").out


def test_who_is_named_acts_under_that_name(repo):
    done(repo, "implement", "WP01", "--actor", "coder")
    assert moves(repo) == [("coder", "coder")]
    assert agent(repo) == "coder"


def test_without_a_name_it_is_the_user(repo):
    git(repo, "config", "user.name", " ")
    done(repo, "implement")
    assert moves(repo) == [("user", "user")]


def test_what_the_user_of_an_older_log_began_is_any_persons_to_go_on_with(repo):
    git(repo, "config", "user.name", " ")
    done(repo, "implement", "WP01")
    git(repo, "config", "user.name", "Ada")
    assert "is in doing, by Ada" in done(repo, "implement", "WP01").out
    assert work(repo, "implement", "WP01", "--actor", "coder").code == 1
