"""Packages that clones gave one number: one keeps it, and what was done on the other counts not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.merge.histories import canonical
from tests.tiers import examples
from tests.work.project_events import SLUG, Clone, planned

from thence.work.board.board import as_json, fold, sentence
from thence.work.board.move_request import GuardFailure, MoveContext
from thence.work.board.transitions import move


def create(clone, wp_id, title, needs=(), **members):
    payload = {"wp_id": wp_id, "title": title, "feature_slug": SLUG, "dependencies": list(needs)}
    return clone.tell("WPCreated", payload, **members)


def package(clone, wp_id="WP10"):
    return fold(clone.events).features[SLUG].packages[wp_id]


def given_twice(*titles):
    """Return clones that each made WP10 while none knew of the others."""
    base = planned().events
    clones = [Clone(node, base) for node in "abc"[: len(titles)]]
    for clone, title in zip(clones, titles, strict=True):
        create(clone, "WP10", title)
    return clones


def share(*clones):
    for _ in clones:
        for clone in clones:
            for other in clones:
                clone.take_in(other)


@pytest.mark.promise("L10")
def test_the_first_keeps_the_number_and_the_other_is_told_in_its_clone():
    ada, bob = given_twice("Read", "Draw")
    share(ada, bob)
    board = fold(bob.events)
    kept = board.features[SLUG].packages["WP10"]
    assert (kept.title, [lost.title for lost in kept.lost]) == ("Read", ["Draw"])
    (conflict,) = board.conflicts
    assert conflict.is_open
    told = "WP10 was given twice: by user (Read) and by user (Draw)"
    assert sentence(conflict) == f"{told}; user's keeps it (first_in_order)"
    here, there = (
        move(board, SLUG, "WP10", "doing", MoveContext(actor="x", node_id=node * 12))
        for node in "ba"
    )
    assert isinstance(here, GuardFailure)
    assert (here.guard, here.may_be_forced) == ("number_given_twice", False)
    assert f"thence work finalize-tasks --add Draw --feature {SLUG}" in here.remedy
    assert not isinstance(there, GuardFailure)


@pytest.mark.promise("L10")
def test_the_one_that_a_move_names_keeps_the_number():
    ada, bob = given_twice("Read", "Draw")
    bob.move("WP10", "planned", "doing", changed_by="bob")
    share(ada, bob)
    assert (package(ada).title, package(ada).agent) == ("Draw", "bob")
    assert fold(ada.events).conflicts[0].rule == "named_by_a_move"
    # a move by somebody who knows both is one of the package that kept the number
    ada.move("WP10", "doing", "for_review")
    share(ada, bob)
    assert (package(bob).title, package(bob).lane) == ("Draw", "for_review")


def test_what_was_done_on_the_lost_one_changes_nothing():
    ada, bob = given_twice("Read", "Draw")
    for clone in (ada, bob):
        clone.move("WP10", "planned", "doing", changed_by=clone.node)
    bob.move("WP10", "doing", "for_review")
    share(ada, bob)
    kept = package(bob)
    assert (kept.title, kept.agent, kept.lane) == ("Read", "a", "doing")
    assert [one.slot for one in fold(bob.events).conflicts] == ["package"]


def test_equal_titles_are_one_package_and_so_is_one_that_is_told_anew():
    ada, bob = given_twice("Read", "Read")
    bob.move("WP10", "planned", "doing")
    share(ada, bob)
    assert (package(ada).lane, package(ada).lost) == ("doing", ())
    create(ada, "WP10", "Read it all")
    assert (package(ada).title, package(ada).lost) == ("Read it all", ())
    assert fold(ada.events).conflicts == ()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=examples(40))
def test_every_order_of_arrival_is_one_board_and_each_title_keeps_or_has_lost_its_number(seed):
    rng = random.Random(seed)
    base = planned(count=0).events
    clones = [Clone(node, base) for node in "abc"]
    titles = []
    for turn in range(rng.randrange(4, 30)):
        clone = rng.choice(clones)
        known = fold(clone.events).features[SLUG].packages
        what = rng.random()
        if what < 0.25:
            titles.append(f"Part {turn}")
            create(clone, f"WP{len(known) + 1:02}", titles[-1])
        elif what < 0.65 and known:
            one = known[rng.choice(sorted(known))]
            clone.move(one.wp_id, one.lane, rng.choice(("doing", "for_review", "rejected")))
        else:
            clone.take_in(rng.choice(clones))
    share(*clones)
    boards = []
    for clone in clones:
        rng.shuffle(clone.events)
        boards.append(canonical(as_json(fold(clone.events))))
    assert len(set(boards)) == 1
    found = fold(clones[0].events).features[SLUG].packages.values()
    kept = [one.title for one in found]
    assert sorted([*kept, *(lost.title for one in found for lost in one.lost)]) == sorted(titles)
