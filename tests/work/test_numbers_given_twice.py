"""Packages that clones gave one number stay both on the board, each with its own events."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.merge.histories import canonical
from tests.tiers import examples
from tests.work.project_events import SLUG, Clone, planned

from thence.errors import PlanningError
from thence.work.board.board import as_json, fold, sentence
from thence.work.board.move_request import GuardFailure, MoveContext
from thence.work.board.package_numbers import by_number
from thence.work.board.transitions import move
from thence.work.names import is_derived
from thence.work.overlaps import at_work

TITLES = ("Read", "Draw", "Send")


def create(clone, wp_id, title, needs=(), **members):
    payload = {"wp_id": wp_id, "title": title, "feature_slug": SLUG, "dependencies": list(needs)}
    return clone.tell("WPCreated", payload, **members)


def packages(events):
    found = fold(events).features[SLUG].packages
    return {wp_id: (each.title, each.lane) for wp_id, each in found.items()}


def twins(events):
    return sorted(filter(is_derived, packages(events)))


def given_twice(*titles, needs=((), ())):
    """Return clones that each made WP10 while none knew of the others, and share all of it."""
    base = planned().events
    clones = [Clone(node, base) for node in "abc"[: len(titles)]]
    for clone, title, each in zip(clones, titles, (*needs, ()), strict=False):
        create(clone, "WP10", title, each)
    return clones


def share(*clones):
    for _ in clones:
        for clone in clones:
            for other in clones:
                clone.take_in(other)


@pytest.mark.promise("L10")
def test_the_first_has_the_number_and_the_second_a_name_of_its_own():
    ada, bob = given_twice("Read", "Draw")
    bob.move("WP10", "planned", "doing", changed_by="bob")
    bob.move("WP10", "doing", "for_review")
    share(ada, bob)
    (name,) = twins(ada.events)
    made = fold(ada.events).package(SLUG, name).created_event
    assert name.startswith("WP10-")
    assert made.lower().endswith(name[5:])
    assert packages(ada.events) == packages(bob.events)
    assert packages(ada.events)["WP10"] == ("Read", "planned")
    assert packages(ada.events)[name] == ("Draw", "for_review")
    (conflict,) = fold(ada.events).conflicts
    assert not conflict.is_open, "each has a name, and nothing is left to do"
    told = "WP10 was given twice: by user (Read) and by user (Draw)"
    assert sentence(conflict) == f"{told}; user's is {name}"
    # what is told of the number when both are known means the first
    bob.move("WP10", "planned", "rejected")
    assert packages(bob.events)["WP10"] == ("Read", "rejected")
    assert packages(bob.events)[name] == ("Draw", "for_review")


def test_equal_title_and_dependencies_are_one_package():
    ada, bob = given_twice("Read", "Read", needs=(("WP01",), ("WP01",)))
    bob.move("WP10", "planned", "doing")
    share(ada, bob)
    assert packages(ada.events)["WP10"] == ("Read", "doing")
    assert not twins(ada.events)
    assert fold(ada.events).conflicts == ()
    one, other = given_twice("Read", "Read", needs=(("WP01",), ("WP02",)))
    share(one, other)
    assert len(twins(one.events)) == 1


def test_a_package_that_is_told_anew_is_the_same():
    ada = Clone("a", planned().events)
    create(ada, "WP10", "Read")
    bob = Clone("b", ada.events)
    create(bob, "WP10", "Read it all")
    assert packages(bob.events)["WP10"] == ("Read it all", "planned")
    assert not twins(bob.events)


def test_dependencies_mean_the_package_of_their_own_clone():
    ada, bob = given_twice("Read", "Draw")
    create(ada, "WP11", "After reading", ["WP10"])
    create(bob, "WP12", "After drawing", ["WP10"])
    share(ada, bob)
    (name,) = twins(ada.events)
    found = fold(ada.events).features[SLUG].packages
    assert (found["WP11"].dependencies, found["WP12"].dependencies) == (("WP10",), (name,))


def test_three_that_share_a_number_are_three():
    clones = given_twice(*TITLES)
    share(*clones)
    assert {title for title, _ in packages(clones[0].events).values()} >= set(TITLES)
    assert len(twins(clones[0].events)) == 2
    assert not [each for each in fold(clones[0].events).conflicts if each.is_open]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=examples(40))
def test_no_package_is_lost_and_every_order_of_arrival_is_one_board(seed):
    rng = random.Random(seed)
    base = planned(count=0).events
    clones = [Clone(node, base) for node in "abc"]
    lanes: dict[str, str] = {}
    last: dict[str, str | None] = {}
    for turn in range(rng.randrange(4, 30)):
        clone = rng.choice(clones)
        known = fold(clone.events).features[SLUG].packages
        number = 1 + max((int(wp_id[2:4]) for wp_id in known), default=0)
        what = rng.random()
        if what < 0.25:
            title = f"{rng.choice(TITLES)} {turn}"
            create(clone, f"WP{number:02}", title)
            lanes[title], last[title] = "planned", None
        elif what < 0.65 and known:
            package = known[rng.choice(sorted(known))]
            new = rng.choice(("doing", "for_review", "rejected"))
            # no other clone has moved it meanwhile
            if last[package.title] == package.lane_event:
                moved = move_by_name(clone, package.wp_id, package.lane, new)
                lanes[package.title], last[package.title] = new, moved.event_id
        else:
            clone.take_in(rng.choice(clones))
    share(*clones)
    boards = []
    for clone in clones:
        rng.shuffle(clone.events)
        boards.append(canonical(as_json(fold(clone.events))))
    assert len(set(boards)) == 1
    found = fold(clones[0].events).features[SLUG].packages.values()
    assert sorted(each.title for each in found) == sorted(lanes)
    assert {each.title: each.lane for each in found} == lanes


def move_by_name(clone, wp_id, before, lane):
    """Move a package as a command does, which states which one it means."""
    packages_ = fold(clone.events).features[SLUG].packages
    payload = {"wp_id": wp_id, "previous_status": before, "new_status": lane}
    payload, causes = by_number({**payload, "changed_by": clone.node}, packages_)
    return clone.tell("WPStatusChanged", payload, causes=causes)


def branch_made(clone, wp_id):
    name = f"{SLUG}-{wp_id}"
    payload = {"work_package_id": wp_id, "worktree_path": f".worktrees/{name}", "branch_name": name}
    return clone.tell("WorkspaceCreated", payload)


def begun_twice():
    """Return a clone that holds two packages which were begun under one number, and the twin."""
    ada, bob = given_twice("Read", "Draw", needs=((), ("WP01",)))
    for clone in (ada, bob):
        clone.move("WP10", "planned", "doing", changed_by=clone.node)
        branch_made(clone, "WP10")
    share(ada, bob)
    (name,) = twins(ada.events)
    return ada, name


def test_each_has_its_own_agent_branch_and_clone():
    ada, name = begun_twice()
    found = fold(ada.events).features[SLUG].packages
    assert {found["WP10"].agent, found[name].agent} == {"a", "b"}
    assert found["WP10"].workspace.node_id == found["WP10"].agent * 12
    assert found[name].workspace.node_id == found[name].agent * 12
    assert [each.slot for each in fold(ada.events).conflicts] == ["number"]


def test_no_clone_moves_the_one_on_the_branch_of_the_other():
    ada, name = begun_twice()
    board = fold(ada.events)
    found = board.features[SLUG].packages
    for package, other in ((found["WP10"], found[name]), (found[name], found["WP10"])):
        here = MoveContext(actor=package.agent, node_id=package.workspace.node_id)
        there = MoveContext(actor=package.agent, node_id=other.workspace.node_id)
        tried = [move(board, SLUG, package.wp_id, "for_review", facts) for facts in (here, there)]
        told = [each.guard if isinstance(each, GuardFailure) else None for each in tried]
        # the branch of the second has its short name until the clone that made it has renamed it
        refused = "number_given_twice"
        assert told == ([None, refused] if package.wp_id == "WP10" else [refused, None])


def test_package_without_the_number_goes_its_way_under_its_own_name():
    ada, name = begun_twice()
    assert {*at_work(fold(ada.events).features[SLUG])} == {"WP10", name}
    ada.move("WP01", "planned", "for_review")
    board = fold(ada.events)
    done = move(board, SLUG, "WP01", "done", MoveContext(actor="x", is_forced=True, reason="so"))
    (resolved,) = [each for each in done.follow_ups if each.event_type == "DependencyResolved"]
    assert resolved.payload["wp_id"] == name
    payload, causes = by_number(resolved.payload, board.features[SLUG].packages)
    assert (payload["wp_id"], payload["dependency_wp_id"]) == ("WP10", "WP01")
    ada.tell("DependencyResolved", payload, causes=causes)
    found = fold(ada.events).features[SLUG].packages
    assert (dict(found[name].resolved), dict(found["WP10"].resolved)) == ({"WP01": "completed"}, {})


def test_event_that_states_neither_means_the_first():
    ada, name = begun_twice()
    board = fold(ada.events).features[SLUG].packages
    heads = (board["WP10"].created_event, board[name].created_event)
    note = {"wp_id": "WP10", "entry_type": "note", "entry_content": "of which?"}
    ada.tell("HistoryAdded", note, causes=heads)
    found = fold(ada.events).features[SLUG].packages
    assert [each.text for each in found["WP10"].history] == ["of which?"]
    ada.tell("HistoryAdded", note, causes=heads[::-1])
    found = fold(ada.events).features[SLUG].packages
    assert [each.text for each in found[name].history] == ["of which?"]


def test_two_of_one_number_are_no_dependencies_of_one_package():
    ada, bob = given_twice("Read", "Draw")
    share(ada, bob)
    (name,) = twins(ada.events)
    packages_ = fold(ada.events).features[SLUG].packages
    with pytest.raises(PlanningError, match="one number"):
        by_number({"wp_id": "WP11", "dependencies": ["WP10", name]}, packages_)
    payload, causes = by_number({"wp_id": "WP11", "dependencies": [name]}, packages_)
    payload = {**payload, "title": "After", "feature_slug": SLUG}
    ada.tell("WPCreated", payload, causes=causes)
    assert fold(ada.events).features[SLUG].packages["WP11"].dependencies == (name,)
