"""The board is a replay of the log: the same for all who hold the same events."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.calls import called
from tests.core.merge.histories import canonical
from tests.work.project_events import PROJECT, SLUG, Clone, package, planned, work_event

from thence.work.board.board import as_json, fold
from thence.work.board.remarks import remarks
from thence.work.board.state import LANES

APPROVAL = {
    "wp_id": "WP01",
    "entry_type": "review",
    "entry_content": "approved",
    "author": "eve",
}
OTHER_PROJECT = "0190a000-0000-7000-8000-000000000002"


@pytest.mark.promise("L7")
def test_no_events_are_an_empty_board():
    assert as_json(fold([])) == {"features": []}


@pytest.mark.promise("L7")
def test_board_shows_each_package_in_the_lane_that_it_was_last_moved_to():
    clone = planned(count=6)
    for number, lane in enumerate(LANES, start=1):
        clone.move(f"WP{number:02}", "planned", lane)
    (feature,) = as_json(fold(clone.events))["features"]
    shown = {lane: [each["wp_id"] for each in found] for lane, found in feature["lanes"].items()}
    assert shown == {
        "planned": ["WP01", "WP06"],
        "doing": ["WP02"],
        "for_review": ["WP03"],
        "approved": [],
        "done": ["WP04"],
        "rejected": ["WP05"],
    }
    assert feature["progress"] == {"done": 1, "total": 6}
    assert feature["conflicts"] == []


@pytest.mark.promise("L8")
def test_approved_is_a_column_until_the_package_moves():
    clone = planned()
    clone.tell("HistoryAdded", APPROVAL)
    clone.move("WP01", "planned", "doing")
    clone.move("WP01", "doing", "for_review")
    assert column(clone) == ("for_review", None), "what was said before it was handed in"
    clone.tell("HistoryAdded", APPROVAL | {"entry_content": "nearly approved"})
    assert column(clone) == ("for_review", None)
    clone.tell("HistoryAdded", APPROVAL)
    assert column(clone) == ("approved", "eve")
    clone.move("WP01", "for_review", "doing", overruled=["not_its_agent"])
    assert column(clone) == ("doing", None)
    package = fold(clone.events).package(SLUG, "WP01")
    assert package.overruled == ("not_its_agent",)
    clone.move("WP01", "doing", "for_review")
    assert column(clone) == ("for_review", None)


@pytest.mark.promise("L7")
def test_note_that_work_is_blocked_is_a_remark_until_the_package_moves():
    clone = planned()

    def shown_after(text, kind="note"):
        clone.tell("HistoryAdded", {"wp_id": "WP01", "entry_type": kind, "entry_content": text})
        return [*remarks(package(clone), None)]

    assert shown_after("blocked: no key") == [], "nobody is at it"
    clone.move("WP01", "planned", "doing")
    assert shown_after("blocked by nothing") == shown_after("blocked", "comment") == []
    assert shown_after("blocked: no key") == shown_after("seen") == ["blocked: no key"]
    assert shown_after("blocked") == ["blocked"]
    assert shown_after(f"blocked: {'word ' * 40}") == [f"blocked: {'word ' * 14}…"]
    clone.move("WP01", "doing", "for_review")
    assert [*remarks(package(clone), None)] == []


def column(clone):
    (feature,) = as_json(fold(clone.events))["features"]
    package = fold(clone.events).package(SLUG, "WP01")
    (name,) = [
        name for name, those in feature["lanes"].items() if "WP01" in [p["wp_id"] for p in those]
    ]
    return name, package.approved_by


@pytest.mark.promise("L10")
def test_one_number_in_two_features_and_projects_are_different_packages():
    clone = planned()
    clone.move("WP01", "planned", "doing")
    clone.move("WP01", "planned", "rejected", feature_slug="029-other")
    elsewhere = work_event(
        "WPStatusChanged", {"wp_id": "WP01", "new_status": "done"}, project_uuid=OTHER_PROJECT
    )
    board = fold([*clone.events, elsewhere])
    assert board.project_uuid == PROJECT
    lanes = {key: feature.packages["WP01"].lane for key, feature in board.features.items()}
    other = f"{OTHER_PROJECT}/{SLUG}"
    assert lanes == {SLUG: "doing", "029-other": "rejected", other: "done"}
    assert board.conflicts == ()


@pytest.mark.parametrize("aggregate_type", ["Feature", "FeatureSpec"])
def test_line_of_another_tool_is_about_the_feature_that_it_is_filed_under(aggregate_type):
    members = {"aggregate_type": aggregate_type, "aggregate_id": SLUG, "feature_slug": None}
    line = work_event("FeatureCreated", {"feature_number": "28"}, **members)
    board = fold([line])
    assert list(board.features) == [SLUG]


def test_events_under_another_id_of_the_project_belong_to_it():
    clone = planned()
    claim = {"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"}
    theirs = work_event("WPStatusChanged", claim, project_uuid=OTHER_PROJECT, clock=9, node="b")
    board = fold([*clone.events, theirs], PROJECT, [OTHER_PROJECT])
    assert list(board.features) == [SLUG]
    assert board.package(SLUG, "WP01").lane == "doing"
    assert fold([theirs, *clone.events], aliases=[PROJECT]).project_uuid == OTHER_PROJECT
    ours = work_event("WPStatusChanged", claim, clock=9)
    (conflict,) = fold([*clone.events, theirs, ours], PROJECT, [OTHER_PROJECT]).conflicts
    assert set(conflict.events) == {ours, theirs}


def taken_twice():
    """Make two clones that both took WP01 and know it, and the two claims; bob's is the last."""
    ada = planned("a")
    bob = Clone("b", ada.events)
    first = ada.move("WP01", "planned", "doing", actor="ada")
    second = bob.move("WP01", "planned", "doing", actor="bob")
    ada.take_in(bob)
    bob.take_in(ada)
    return ada, bob, first, second


@pytest.mark.promise("L14")
@pytest.mark.promise("L10")
def test_double_claim_between_clones_is_a_conflict_that_both_see_and_the_next_move_ends():
    ada, bob, first, second = taken_twice()
    assert canonical(as_json(fold(ada.events))) == canonical(as_json(fold(bob.events)))
    (conflict,) = as_json(fold(ada.events))["features"][0]["conflicts"]
    assert conflict == {
        "subject": f"{PROJECT}/{SLUG}/WP01",
        "events": [first.event_id, second.event_id],
        "rule": "last_writer",
        "winner": second.event_id,
        "people": ["ada", "bob"],
        "sentence": "ada and bob both took WP01; bob's claim counts (last_writer)",
    }
    assert package(ada).agent == "bob"
    ada.move("WP01", "doing", "for_review", actor="bob")
    board = fold(ada.events)
    assert as_json(board)["features"][0]["conflicts"] == []
    assert len(board.conflicts) == 1
    assert board.open_conflicts(f"{PROJECT}/{SLUG}/WP01") == ()


@pytest.mark.promise("L10")
@pytest.mark.promise("L11")
@given(st.randoms(use_true_random=False))
def test_later_move_that_names_both_sides_settles_a_conflict_in_any_order(chance):
    ada, bob, *claims = taken_twice()
    moved = ada.move("WP01", "doing", "planned", actor="ada")
    bob.take_in(ada)
    boards = set()
    for clone in (ada, bob, ada, bob):
        chance.shuffle(clone.events)
        boards.add(canonical(as_json(fold(clone.events))))
    assert len(boards) == 1
    (conflict,) = fold(ada.events).conflicts
    assert {*conflict.heads} == {*claims}
    assert conflict.resolved_by == moved
    assert package(ada).lane == "planned"


@pytest.mark.promise("L10")
def test_conflict_is_shown_with_its_own_feature():
    claim = {"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"}
    elsewhere = {"feature_slug": "029-other"}
    events = [work_event("WPStatusChanged", claim, node=node, **elsewhere) for node in "ab"]
    # another program names the feature in the payload alone
    events.append(work_event("WPStatusChanged", claim | {"feature_slug": SLUG}, feature_slug=None))
    shown = {each["feature_slug"]: each for each in as_json(fold(events))["features"]}
    assert (len(shown["029-other"]["conflicts"]), shown[SLUG]["conflicts"]) == (1, [])
    (conflict,) = shown["029-other"]["conflicts"]
    assert conflict["events"] == [event.event_id for event in events[:2]]
    third = work_event("WPStatusChanged", claim | elsewhere, feature_slug=None, node="c")
    (conflict,) = fold([*events, third]).conflicts
    assert len(conflict.events) == 3


moves = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["WP01", "WP02"]),
    st.sampled_from(LANES),
    st.sampled_from(LANES),
    st.booleans(),
)


@pytest.mark.promise("L11")
@given(st.lists(moves, max_size=12), st.randoms(use_true_random=False))
def test_clones_that_hold_the_same_events_see_the_same_board(written, chance):
    start = planned().events
    clones = {node: Clone(node, start) for node in "abc"}
    for node, wp_id, previous, new, is_merged in written:
        clones[node].move(wp_id, previous, new, actor=node)
        if is_merged:
            clones[node].take_in(clones["abc"[("abc".index(node) + 1) % 3]])
    whole = Clone()
    for clone in clones.values():
        whole.take_in(clone)
    expected = fold(whole.events)
    for _ in range(3):
        chance.shuffle(whole.events)
        found = fold([*whole.events, *whole.events[:4]])
        assert found == expected
        assert canonical(found) == canonical(expected)
        assert json.dumps(as_json(found)) == json.dumps(as_json(expected))


def long_project(count, packages=100):
    """Make the events of packages that go round and round, noted and ticked on the way."""
    chance = random.Random(3)
    names = [f"WP{number:02}" for number in range(packages)]
    events, last, lanes = [], {}, dict.fromkeys(names, "planned")
    following = {"planned": "doing", "doing": "for_review", "for_review": "doing"}
    for clock in range(1, count + 1):
        wp_id = chance.choice(names)
        kind = chance.choice(["WPStatusChanged", "WPStatusChanged", "HistoryAdded", "ErrorLogged"])
        new = following[lanes[wp_id]]
        payload = {
            "WPStatusChanged": {"previous_status": lanes[wp_id], "new_status": new},
            "HistoryAdded": {"entry_type": "note", "entry_content": "half-way"},
            "ErrorLogged": {"error_type": "validation", "error_message": "not yet"},
        }[kind]
        if kind == "WPStatusChanged":
            lanes[wp_id] = new
        causes = [last[wp_id]] if wp_id in last else []
        event = work_event(
            kind, {"wp_id": wp_id, **payload}, node=chance.choice("ab"), clock=clock, causes=causes
        )
        last[wp_id] = event.event_id
        events.append(event)
    return events


@pytest.mark.promise("L13")
def test_calls_of_a_board_grow_with_its_events():
    def calls(count):
        events = long_project(count)
        with called() as codes:
            board = fold(events)
        assert len(board.features[SLUG].packages) == 100
        return len(codes)

    assert calls(10_000) < 11 * calls(1_000)
